/** Block headers: raw RLP read strictly, and the engine's block hash. */

import { keccak } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import { Refused } from "./checklist.ts";
import { readExtraData, sealedFor } from "./qbft-extra.ts";
import * as rlp from "./rlp.ts";
import type { Item } from "./rlp.ts";

export type Engine = "no-seals" | "qbft";

/** Trie nodes under the header's state root: who the validators are, in QBFT contract mode. */
export interface ValidatorsProof {
  account: Bytes[];
  /** Of the array's length, then of each item. */
  slots: Bytes[][];
}

export interface Header {
  raw: Bytes;
  hash: Bytes;
  parentHash: Bytes;
  ommersHash: Bytes;
  coinbase: Bytes;
  stateRoot: Bytes;
  receiptsRoot: Bytes;
  logsBloom: Bytes;
  difficulty: bigint;
  number: bigint;
  gasUsed: bigint;
  timestamp: bigint;
  extraData: Bytes;
  mixHash: Bytes;
  nonce: Bytes;
  validatorsProof: ValidatorsProof | null;
}

/** Size in bytes of each field, "int" for an integer, 0 for any length. Later forks append the last six. */
const FIELDS: (number | "int")[] = [
  32, 32, 20, 32, 32, 32, 256, "int", "int", "int", "int", "int", 0, 32, 8, "int", 32, "int", "int", 32, 32,
];
const REQUIRED = 15;
const NUMBER = 8;
const COUNTERS = [NUMBER, 9, 10, 11];
const EXTRA_DATA = 12;

export function readHeader(raw: Bytes, engine: Engine): Header {
  const items = rlp.decodeList(raw, "header");
  if (engine === "qbft" && items.length === 3 && Array.isArray(items[0])) {
    const header = readHeader(rlp.encode(items[0]), engine);
    const account = nodes(items[1]);
    return { ...header, validatorsProof: { account, slots: rlp.list(items[2], "slot proofs").map(nodes) } };
  }
  if (items.length < REQUIRED || items.length > FIELDS.length) {
    throw new Refused("HEADER_FIELDS", `a header has no ${items.length} fields`);
  }
  items.forEach(checkField);
  for (const index of COUNTERS) {
    if (integerAt(items, index) >> 64n) throw new Refused("HEADER_FIELDS", "a counter exceeds 64 bits");
  }
  const octets = (index: number): Bytes => items[index] as Bytes;
  return {
    raw,
    hash: blockHash(raw, items, engine),
    parentHash: octets(0),
    ommersHash: octets(1),
    coinbase: octets(2),
    stateRoot: octets(3),
    receiptsRoot: octets(5),
    logsBloom: octets(6),
    difficulty: integerAt(items, 7),
    number: integerAt(items, NUMBER),
    gasUsed: integerAt(items, 10),
    timestamp: integerAt(items, 11),
    extraData: octets(EXTRA_DATA),
    mixHash: octets(13),
    nonce: octets(14),
    validatorsProof: null,
  };
}

const nodes = (item: Item | undefined): Bytes[] =>
  rlp.list(item, "proof").map((node) => rlp.octets(node, "trie node"));

const integerAt = (items: Item[], index: number): bigint => rlp.integer(items[index], `header field ${index}`);

function checkField(item: Item, index: number): void {
  const size = FIELDS[index];
  if (size === "int") {
    rlp.integer(item, `header field ${index}`);
  } else if (!(item instanceof Uint8Array) || (size && item.length !== size)) {
    throw new Refused("HEADER_FIELDS", `header field ${index} must be ${size || "some"} bytes`);
  }
}

/** QBFT hashes the header with round 0 and without seals; genesis is not rewritten. */
function blockHash(raw: Bytes, items: Item[], engine: Engine): Bytes {
  if (engine === "no-seals") return keccak(raw);
  const extra = readExtraData(items[EXTRA_DATA] as Bytes);
  if (integerAt(items, NUMBER) === 0n) return keccak(raw);
  return keccak(withExtraData(items, sealedFor(extra, 0n)));
}

function withExtraData(items: Item[], extraData: Bytes): Bytes {
  return rlp.encode(items.map((item, index) => (index === EXTRA_DATA ? extraData : item)));
}

/** What a commit seal of this header signs, in its own round or in another. */
export function sealDigest(header: Header, round?: bigint): Bytes {
  const extra = readExtraData(header.extraData);
  const items = rlp.decodeList(header.raw, "header");
  return keccak(withExtraData(items, sealedFor(extra, round ?? extra.round)));
}
