/** Who the validators are in QBFT contract mode: an array in a contract's storage, proven under a state root. */

import { fixed, hex, keccak, same, toInt } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import { Refused } from "./checklist.ts";
import type { Header } from "./header.ts";
import { readExtraData } from "./qbft-extra.ts";
import { verifyContractSeals } from "./qbft.ts";
import * as rlp from "./rlp.ts";
import { EMPTY_ROOT, provenValue } from "./trie.ts";
import type { ValidatorContract } from "./trust-roots.ts";

const MAX_VALIDATORS = 256n;
const WORD = 1n << 256n;

interface Followed {
  start: number;
  /** Indexes of headers that the seals, or the pin, vouch for. */
  trusted: Set<number>;
  replayed: boolean;
}

/** From the first pinned header that proves the validators; see docs/formats/evidence.md, contract mode. */
export async function followContract(
  headers: Header[],
  pinned: number[],
  contract: ValidatorContract,
): Promise<Followed> {
  const sets = new Map<number, Set<string>>();
  for (const [index, header] of headers.entries()) {
    if (header.validatorsProof !== null) sets.set(index, await validatorsAt(header, contract));
  }
  const start = pinned.find((index) => sets.has(index));
  if (start === undefined) throw new Refused("LINEAGE_NO_START", "no pinned header proves who the validators are");
  const trusted = new Set([start]);
  let current = sets.get(start) as Set<string>;
  let replayed = true;
  for (const [index, header] of headers.entries()) {
    const signers = sealers(headers, index, sets);
    if (index <= start) continue;
    if (signers === null || !trusted.has(index - 1)) replayed = false;
    if (signers === null) continue;
    if (!trusted.has(index - 1) && 3 * signers.intersection(current).size <= current.size) {
      throw new Refused("LINEAGE_SKIP", `too few trusted validators sealed block ${header.number}`);
    }
    trusted.add(index);
    current = sets.get(index) ?? (sets.get(index - 1) as Set<string>);
  }
  return { start, trusted, replayed };
}

/** Who sealed the header; null where it stands as its hash covers it, round 0 and no seals. */
function sealers(headers: Header[], index: number, sets: Map<number, Set<string>>): Set<string> | null {
  const header = headers[index] as Header;
  const extra = readExtraData(header.extraData);
  if (!extra.seals.length && extra.round === 0n) return null;
  const validators = headers[index - 1]?.number === header.number - 1n ? sets.get(index - 1) : undefined;
  if (validators === undefined) {
    throw new Refused("VALIDATORS_NOT_PROVEN", `nothing proves who the validators of block ${header.number} are`);
  }
  return verifyContractSeals(header, validators);
}

/** The validators of the block after `header`, in hexadecimal. */
async function validatorsAt(header: Header, contract: ValidatorContract): Promise<Set<string>> {
  const { account, slots } = header.validatorsProof ?? { account: [], slots: [] };
  const storageRoot = await storageOf(header, contract, account);
  const length = slots[0] === undefined ? 0n : await wordAt(storageRoot, contract.slot, slots[0]);
  if (length === 0n || length > MAX_VALIDATORS || BigInt(slots.length) !== length + 1n) {
    throw new Refused("VALIDATOR_SET", `block ${header.number} proves ${slots.length - 1} of ${length} validators`);
  }
  const first = toInt(keccak(fixed(contract.slot, 32)));
  const words: bigint[] = [];
  for (const [index, nodes] of slots.slice(1).entries()) {
    words.push(await wordAt(storageRoot, (first + BigInt(index)) % WORD, nodes));
  }
  const addresses = words.every((word) => word > 0n && word < 1n << 160n);
  if (!addresses || new Set(words).size !== words.length) {
    throw new Refused("VALIDATOR_SET", `the validators at block ${header.number} are not ${length} addresses`);
  }
  return new Set(words.map((word) => hex(fixed(word, 20))));
}

async function storageOf(header: Header, contract: ValidatorContract, proof: Bytes[]): Promise<Bytes> {
  if (same(header.stateRoot, EMPTY_ROOT)) throw new Refused("PROOF_EMPTY_ROOT", "the state is empty");
  const value = await provenValue(header.stateRoot, keccak(contract.address), proof);
  const other = new Refused("VALIDATOR_CONTRACT", `at block ${header.number} the contract has other code, or none`);
  if (value === null) throw other;
  const items = rlp.decodeList(value, "account");
  if (items.length !== 4) throw new Refused("ACCOUNT_SHAPE", "an account has four items");
  rlp.integer(items[0], "nonce", 8);
  rlp.integer(items[1], "balance");
  const storageRoot = rlp.octets(items[2], "storage root", 32);
  if (!same(rlp.octets(items[3], "code hash", 32), contract.codeHash)) throw other;
  return storageRoot;
}

async function wordAt(storageRoot: Bytes, slot: bigint, proof: Bytes[]): Promise<bigint> {
  const value = await provenValue(storageRoot, keccak(fixed(slot, 32)), proof);
  if (value === null) return 0n;
  const word = rlp.integer(rlp.decode(value), "storage word");
  if (word === 0n) throw new Refused("SLOT_SHAPE", "a stored word is not zero");
  return word;
}
