/** Strict RLP: what @ethereumjs/rlp reads, if writing it again gives the same bytes. */

import { RLP } from "@ethereumjs/rlp";
import { same, toInt } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import { Refused } from "./checklist.ts";

export type Item = Bytes | Item[];

export const encode = (item: Item): Bytes => RLP.encode(item);

/** A list stands in at most so many others; headers, receipts and trie nodes need at most four. */
const MAX_DEPTH = 16;

/** The library copies the rest of the data once per level: without a bound, a small file takes it hours. */
function checkDepth(data: Bytes): void {
  const ends: number[] = [];
  let at = 0;
  while (at < data.length) {
    while (ends.length && (ends.at(-1) as number) <= at) ends.pop();
    const first = data[at] as number;
    if (first >= 0xc0 && ends.length > MAX_DEPTH) {
      throw new Refused("RLP_NOT_CANONICAL", `nested deeper than ${MAX_DEPTH}`);
    }
    const marker = first < 0x80 ? 0 : first - (first < 0xc0 ? 0x80 : 0xc0);
    const digits = marker > 55 ? data.subarray(at + 1, at + marker - 54) : new Uint8Array();
    const length = marker > 55 ? digits.reduce((sum, digit) => sum * 256 + digit, 0) : marker;
    const start = at + 1 + digits.length;
    if (first >= 0xc0) ends.push(start + length);
    at = first >= 0xc0 ? start : start + length;
  }
}

export function decode(data: Bytes): Item {
  checkDepth(data);
  let item: Item;
  let again: Bytes;
  try {
    item = RLP.decode(data) as Item;
    again = RLP.encode(item);
  } catch (error) {
    throw new Refused("RLP_NOT_CANONICAL", (error as Error).message);
  }
  if (!same(again, data)) throw new Refused("RLP_NOT_CANONICAL", "the items have another encoding");
  return item;
}

export function decodeList(data: Bytes, what: string): Item[] {
  return list(decode(data), what);
}

export function list(item: Item | undefined, what: string, size?: number): Item[] {
  if (!Array.isArray(item) || (size !== undefined && item.length !== size)) {
    throw new Refused("RLP_SHAPE", `${what} must be a list${size === undefined ? "" : ` of ${size} items`}`);
  }
  return item;
}

export function octets(item: Item | undefined, what: string, size?: number): Bytes {
  if (!(item instanceof Uint8Array) || (size !== undefined && item.length !== size)) {
    throw new Refused("RLP_SHAPE", `${what} must be a byte string${size === undefined ? "" : ` of ${size} bytes`}`);
  }
  return item;
}

/** A minimal big-endian integer of at most `maxBytes`. */
export function integer(item: Item | undefined, what: string, maxBytes = 32): bigint {
  const data = octets(item, what);
  if (data[0] === 0) throw new Refused("RLP_NOT_CANONICAL", `${what} has leading zeros`);
  if (data.length > maxBytes) throw new Refused("RLP_SHAPE", `${what} exceeds ${maxBytes} bytes`);
  return data.length ? toInt(data) : 0n;
}
