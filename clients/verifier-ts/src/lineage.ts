/** Which headers are on the ledger: pinned, parents of trusted ones, or sealed along the validators' lineage. */

import { hex, same } from "./bytes.ts";
import { Refused } from "./checklist.ts";
import type { Assurance } from "./checklist.ts";
import { followContract } from "./contract-lineage.ts";
import type { Header } from "./header.ts";
import { readExtraData } from "./qbft-extra.ts";
import type { Vote } from "./qbft-extra.ts";
import { verifySeals } from "./qbft.ts";
import type { TrustRoots, ValidatorContract } from "./trust-roots.ts";

export interface HeaderTrust {
  assurance: Assurance;
  assumptions: string[];
}

/** (1) They ascend and link; (2) none contradicts a pin; (3) seals along the lineage; (4) the rest is reached. */
export function trustHeaders(headers: Header[], roots: TrustRoots): HeaderTrust | Promise<HeaderTrust> {
  checkLinks(headers); // (1)
  const pinned: number[] = []; // (2)
  headers.forEach((header, index) => {
    const pin = header.number === 0n ? roots.genesisHash : roots.pinnedBlocks.get(header.number);
    if (pin === undefined) return;
    if (!same(pin, header.hash)) throw new Refused("BLOCK_PIN_MISMATCH", `block ${header.number} has another hash`);
    pinned.push(index);
  });
  if (roots.validatorContract !== null) return trustByContract(headers, pinned, roots.validatorContract); // (3)
  if (headers.some((header) => header.validatorsProof !== null)) {
    throw new Refused("HEADER_FIELDS", "a proof of validators outside of contract mode");
  }
  if (roots.engine === "qbft") return trustSealed(headers, pinned, roots); // (3)
  checkReached(headers, new Set(pinned), "BLOCK_NOT_PINNED"); // (4)
  const numbers = pinned.map((index) => headers[index]?.number).join(", ");
  const sentence = `The engine has no commit seals: that the blocks are the network's rests only on pinned ${numbers}.`;
  return { assurance: "ENGINE_WITHOUT_SEALS", assumptions: [sentence] };
}

function checkLinks(headers: Header[]): void {
  headers.slice(1).forEach((header, index) => {
    const before = headers[index] as Header;
    if (header.number <= before.number) {
      throw new Refused("HEADER_ORDER", `block ${header.number} stands after ${before.number}`);
    }
    if (header.number === before.number + 1n && !same(header.parentHash, before.hash)) {
      throw new Refused("HEADER_PARENT", `block ${header.number} does not follow block ${before.number}`);
    }
  });
}

const followsOn = (headers: Header[], index: number): boolean =>
  headers[index + 1]?.number === (headers[index] as Header).number + 1n;

/** Every header is in `trusted`, or the parent of the next one, all the way to a trusted one. */
function checkReached(headers: Header[], trusted: Set<number>, otherwise: string): void {
  for (let index = headers.length - 1; index >= 0; index--) {
    if (!trusted.has(index) && !followsOn(headers, index)) {
      throw new Refused(otherwise, `nothing pinned vouches for block ${headers[index]?.number}`);
    }
  }
}

async function trustByContract(
  headers: Header[],
  pinned: number[],
  contract: ValidatorContract,
): Promise<HeaderTrust> {
  const { start, trusted, replayed } = await followContract(headers, pinned, contract);
  checkReached(headers, trusted, "LINEAGE_NO_START");
  const mode = replayed ? "replay of every header" : "skips, each sealed by over a third of the set trusted before";
  return {
    assurance: "SEALED_BY_QUORUM",
    assumptions: [
      `Validators were read from contract 0x${hex(contract.address)} (contract mode), from pinned block ${headers[start]?.number} by ${mode}.`,
      `Code 0x${hex(contract.codeHash)} answers getValidators with the array at storage slot ${contract.slot}.`,
      "Of every validator set on the way, fewer than a third are faulty, retired keys included.",
    ],
  };
}

function trustSealed(headers: Header[], pinned: number[], roots: TrustRoots): HeaderTrust {
  const start = pinned[0];
  if (start === undefined) throw new Refused("LINEAGE_NO_START", "no header of the bundle is pinned");
  const followed = headers.slice(start);
  const first = followed[0] as Header;
  const contiguous = followed.every((_, i) => i === followed.length - 1 || followsOn(followed, i));
  const replaying = contiguous && first.number % roots.epochLength === 0n;
  if (replaying) replay(followed, roots);
  else skip(followed);
  checkReached(headers, new Set(headers.keys().filter((index) => index >= start)), "LINEAGE_NO_START");
  for (const header of headers.slice(0, start + 1)) {
    // Reached by hash, which covers neither seals nor round: they are verified all the same.
    if (header.number !== 0n) verifySeals(header, validatorsOf(header));
  }
  const mode = replaying ? "replay of every header" : "skips, each sealed by over a third of the set trusted before";
  return {
    assurance: "SEALED_BY_QUORUM",
    assumptions: [
      `Validators were read from the headers (header mode), from pinned block ${first.number} by ${mode}.`,
      "Of every validator set on the way, fewer than a third are faulty, retired keys included.",
    ],
  };
}

const validatorsOf = (header: Header): Set<string> => new Set(readExtraData(header.extraData).validators.map(hex));

/** Each header: a quorum of the set that it names, and more than a third of the set trusted before. */
function skip(headers: Header[]): void {
  let trusted = validatorsOf(headers[0] as Header);
  for (const header of headers.slice(1)) {
    const own = validatorsOf(header);
    const signers = verifySeals(header, own);
    if (3 * signers.intersection(trusted).size <= trusted.size) {
      throw new Refused("LINEAGE_SKIP", `too few trusted validators sealed block ${header.number}`);
    }
    trusted = own;
  }
}

/** The votes that count: "add" or "drop" and the subject, with who cast them. */
type Tally = Map<string, Set<string>>;

function replay(headers: Header[], roots: TrustRoots): void {
  const first = headers[0] as Header;
  let validators = roots.transitions.get(first.number + 1n) ?? validatorsOf(first);
  let tally: Tally = new Map();
  for (const header of headers.slice(1)) {
    verifySeals(header, validators);
    const { vote } = readExtraData(header.extraData);
    if (header.number % roots.epochLength === 0n) tally = new Map();
    else if (vote !== null) validators = count(validators, tally, hex(header.coinbase), vote);
    const override = roots.transitions.get(header.number + 1n);
    if (override !== undefined) {
      validators = override;
      tally = new Map();
    }
  }
}

/** Records one vote in `tally`; the validators after it. */
function count(validators: Set<string>, tally: Tally, voter: string, vote: Vote): Set<string> {
  const subject = hex(vote.subject);
  const mine = vote.add ? `add ${subject}` : `drop ${subject}`;
  const opposite = vote.add ? `drop ${subject}` : `add ${subject}`;
  const voters = (tally.get(mine) ?? new Set()).add(voter);
  tally.set(mine, voters);
  tally.get(opposite)?.delete(voter);
  if (voters.size < Math.floor(validators.size / 2) + 1) return validators;
  tally.delete(mine);
  tally.delete(opposite);
  if (vote.add) return new Set(validators).add(subject);
  for (const cast of tally.values()) cast.delete(subject);
  return new Set([...validators].filter((address) => address !== subject));
}
