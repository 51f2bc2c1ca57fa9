/** Transaction receipts, read strictly; blooms; and the root of the trie that all receipts of a block make. */

import { createMPT } from "@ethereumjs/mpt";
import { hex, keccak, minimal } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import { Refused } from "./checklist.ts";
import * as rlp from "./rlp.ts";
import type { Item } from "./rlp.ts";
import { EMPTY_ROOT } from "./trie.ts";

export interface EventLog {
  address: Bytes;
  topics: Bytes[];
  data: Bytes;
}

export interface Receipt {
  cumulativeGas: bigint;
  bloom: Bytes;
  logs: EventLog[];
}

/** `[status, cumulative gas, bloom, logs]`, behind a type byte for a typed transaction. */
export function readReceipt(value: Bytes): Receipt {
  if (!value.length) throw new Refused("RECEIPT_SHAPE", "a receipt is not empty");
  const first = value[0] as number;
  const typed = first > 0 && first <= 0x7f;
  const items = rlp.decodeList(typed ? value.slice(1) : value, "receipt");
  const status = items[0] instanceof Uint8Array ? hex(items[0]) : "list";
  if (items.length !== 4 || !["", "01"].includes(status) || !Array.isArray(items[3])) {
    throw new Refused("RECEIPT_SHAPE", "a receipt is [status, gas, bloom, logs]");
  }
  const cumulativeGas = rlp.integer(items[1], "cumulative gas", 8);
  const bloom = rlp.octets(items[2], "bloom", 256);
  const logs = items[3].map(readLog);
  const bits = logs.flatMap((log) => [log.address, ...log.topics]).reduce((sum, item) => sum | bitsOf(item), 0n);
  if (bits !== bloomBits(bloom)) throw new Refused("RECEIPT_BLOOM", "the bloom is not that of the logs");
  return { cumulativeGas, bloom, logs };
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

/** A bloom filter as one integer of 2048 bits. */
export const bloomBits = (bloom: Bytes): bigint => BigInt(`0x${hex(bloom)}`);

/** The three bits of one address or topic (yellow paper 4.4.3). */
function bitsOf(item: Bytes): bigint {
  const digest = keccak(item);
  const bit = (i: number): bigint => 1n << BigInt((((digest[i] as number) << 8) | (digest[i + 1] as number)) & 2047);
  return bit(0) | bit(2) | bit(4);
}

/** False only if no log under `bloom` has `item` as address or topic. */
export function bloomAdmits(bloom: Bytes, item: Bytes): boolean {
  const bits = bitsOf(item);
  return (bloomBits(bloom) & bits) === bits;
}

/** Root of the trie with `values[i]` at `rlp(i)`. */
export async function receiptsRoot(values: Bytes[]): Promise<Bytes> {
  if (!values.length) return EMPTY_ROOT;
  const trie = await createMPT();
  for (const [index, value] of values.entries()) await trie.put(rlp.encode(minimal(BigInt(index))), value);
  return trie.root();
}

