/** Commit seals: whose they are, and whether they are a quorum of a validator set. */

import { secp256k1 } from "@noble/curves/secp256k1.js";
import { hex, keccak, same } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import { Refused } from "./checklist.ts";
import { sealDigest } from "./header.ts";
import type { Header } from "./header.ts";
import { readExtraData } from "./qbft-extra.ts";

/** Part of the text "Practical byzantine fault tolerance". */
const MIX_HASH = "63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365";
/** keccak of the RLP of an empty list. */
const NO_OMMERS = hex(keccak(new Uint8Array([0xc0])));
/** How many rounds are tried to explain a seal that is no validator's. */
const ROUNDS_TRIED = 16n;

export const quorum = (validators: number): number => Math.ceil((2 * validators) / 3);

/** Who sealed `header`, in hexadecimal: a quorum of `validators` (hexadecimal as well), which it must name. */
export function verifySeals(header: Header, validators: Set<string>): Set<string> {
  checkFixedFields(header);
  const extra = readExtraData(header.extraData);
  const listed = extra.validators.map(hex);
  if (listed.length !== validators.size || !listed.every((address) => validators.has(address))) {
    throw new Refused("QBFT_VALIDATORS", `block ${header.number} names another validator set`);
  }
  return sealedBy(header, validators);
}

/** The same in contract mode: the header names no validators and carries no vote. */
export function verifyContractSeals(header: Header, validators: Set<string>): Set<string> {
  checkFixedFields(header);
  const extra = readExtraData(header.extraData);
  if (extra.validators.length || extra.vote !== null) {
    throw new Refused("QBFT_NOT_EMPTY", `block ${header.number} names validators or a vote in contract mode`);
  }
  return sealedBy(header, validators);
}

function sealedBy(header: Header, validators: Set<string>): Set<string> {
  const extra = readExtraData(header.extraData);
  if (!validators.has(hex(header.coinbase))) {
    throw new Refused("QBFT_PROPOSER", `the proposer of block ${header.number} is no validator`);
  }
  const digest = sealDigest(header);
  const signers = new Set<string>();
  for (const seal of extra.seals) {
    const signer = recover(digest, seal);
    if (!validators.has(signer)) throw stranger(header, seal, validators);
    if (signers.has(signer)) throw new Refused("SEAL_DUPLICATE", `0x${signer} sealed twice`);
    signers.add(signer);
  }
  if (signers.size < quorum(validators.size)) {
    throw new Refused("SEAL_QUORUM", `${signers.size} seals of ${quorum(validators.size)} on block ${header.number}`);
  }
  return signers;
}

function checkFixedFields(header: Header): void {
  const holds =
    header.difficulty === 1n &&
    hex(header.mixHash) === MIX_HASH &&
    hex(header.ommersHash) === NO_OMMERS &&
    same(header.nonce, new Uint8Array(8));
  if (!holds) throw new Refused("QBFT_FIXED_FIELD", `block ${header.number} is no QBFT block`);
}

/** The account, in hexadecimal, whose seal (r, s, recovery id) over `digest` this is. */
function recover(digest: Bytes, seal: Bytes): string {
  const recovery = seal[64] as number;
  if (recovery > 1) throw new Refused("SEAL_MALFORMED", "the recovery id of a seal is 0 or 1");
  try {
    const signature = secp256k1.Signature.fromBytes(seal.slice(0, 64)).addRecoveryBit(recovery);
    const point = signature.recoverPublicKey(digest).toBytes(false);
    return hex(keccak(point.slice(1)).slice(12));
  } catch {
    throw new Refused("SEAL_MALFORMED", "a seal is no secp256k1 signature");
  }
}

function stranger(header: Header, seal: Bytes, validators: Set<string>): Refused {
  for (let round = 0n; round < ROUNDS_TRIED; round++) {
    try {
      if (validators.has(recover(sealDigest(header, round), seal))) {
        return new Refused("SEAL_OTHER_ROUND", `a seal of round ${round} on block ${header.number}`);
      }
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
    }
  }
  return new Refused("SEAL_NOT_VALIDATOR", `block ${header.number} is sealed by an account that is no validator`);
}
