/** The anchor event: a log of the LogAnchor contract, in a receipt that the registration block's header names. */

import * as abi from "./abi.ts";
import { ascii, concat, hex, keccak, minimal, same } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import type { Bundle } from "./bundle.ts";
import { RecordInvalid, Refused } from "./checklist.ts";
import * as rlp from "./rlp.ts";
import type { Item } from "./rlp.ts";
import { EMPTY_ROOT, provenValue } from "./trie.ts";

const ANCHORED = keccak(ascii("Anchored(bytes32,uint64,bytes32,uint64,bytes32)"));

export interface Anchor {
  originId: Bytes;
  size: bigint;
  root: Bytes;
  previousSize: bigint;
}

interface EventLog {
  address: Bytes;
  topics: Bytes[];
  data: Bytes;
}

export async function verifyAnchor(section: Bundle["anchor"], root: Bytes, logAnchor: Bytes): Promise<Anchor> {
  if (same(root, EMPTY_ROOT)) throw new Refused("PROOF_EMPTY_ROOT", "the block has no receipts");
  const value = await provenValue(root, rlp.encode(minimal(section.transaction)), section.proof);
  if (value === null) throw new Refused("PROOF_ABSENT", `the block has no transaction ${section.transaction}`);
  const logs = readReceipt(value);
  if (section.log >= BigInt(logs.length)) throw new Refused("ANCHOR_LOG_INDEX", `no log at ${section.log}`);
  return readAnchored(logs[Number(section.log)] as EventLog, logAnchor);
}

/** The logs of `[status, cumulative gas, bloom, logs]`, behind a type byte for a typed transaction. */
function readReceipt(value: Bytes): EventLog[] {
  if (!value.length) throw new Refused("RECEIPT_SHAPE", "a receipt is not empty");
  const first = value[0] as number;
  const typed = first > 0 && first <= 0x7f;
  const items = rlp.decodeList(typed ? value.slice(1) : value, "receipt");
  const status = items[0] instanceof Uint8Array ? hex(items[0]) : "list";
  if (items.length !== 4 || !["", "01"].includes(status) || !Array.isArray(items[3])) {
    throw new Refused("RECEIPT_SHAPE", "a receipt is [status, gas, bloom, logs]");
  }
  rlp.integer(items[1], "cumulative gas", 8);
  const bloom = rlp.octets(items[2], "bloom", 256);
  const logs = items[3].map(readLog);
  if (!same(bloomOf(logs), bloom)) throw new Refused("RECEIPT_BLOOM", "the bloom is not that of the logs");
  return logs;
}

function readLog(item: Item): EventLog {
  const [address, topics, data] = rlp.list(item, "log", 3);
  const words = rlp.list(topics, "topics");
  if (words.length > 4) throw new Refused("RECEIPT_SHAPE", "a log has at most four topics");
  return {
    address: rlp.octets(address, "log address", 20),
    topics: words.map((word) => rlp.octets(word, "topic", 32)),
    data: rlp.octets(data, "log data"),
  };
}

/** 2048 bits, three of them per address and topic (yellow paper 4.4.3). */
function bloomOf(logs: EventLog[]): Bytes {
  const bloom = new Uint8Array(256);
  for (const item of logs.flatMap((log) => [log.address, ...log.topics])) {
    const digest = keccak(item);
    for (const i of [0, 2, 4]) {
      const bit = (((digest[i] as number) << 8) | (digest[i + 1] as number)) & 2047;
      bloom[255 - (bit >> 3)] = (bloom[255 - (bit >> 3)] as number) | (1 << (bit & 7));
    }
  }
  return bloom;
}

function readAnchored(log: EventLog, logAnchor: Bytes): Anchor {
  const topics = concat(...log.topics);
  if (!same(log.address, logAnchor) || topics.length !== 64 || !same(topics.slice(0, 32), ANCHORED)) {
    throw new Refused("ANCHOR_EVENT", "the log is no anchor event of the LogAnchor contract");
  }
  try {
    const values = abi.decode(["uint64", "bytes32", "uint64", "bytes32"], log.data);
    const [size, root, previousSize] = values as [bigint, Bytes, bigint, Bytes];
    return { originId: topics.slice(32), size, root, previousSize };
  } catch (error) {
    if (!(error instanceof RecordInvalid)) throw error;
    throw new Refused("ANCHOR_EVENT", "the event's data are malformed");
  }
}
