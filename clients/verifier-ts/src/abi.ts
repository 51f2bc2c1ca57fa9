/** Solidity's abi.encode of flat tuples, and reading it strictly: encoding again must give the same bytes. */

import { ascii, concat, fixed, same, toInt } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import { RecordInvalid } from "./checklist.ts";

export type AbiType = "uint8" | "uint64" | "uint256" | "bool" | "address" | "bytes2" | "bytes8" | "bytes32" | "bytes";
export type AbiValue = bigint | Bytes;

const WORD = 32;
const INTEGERS: Record<string, number> = { uint8: 8, uint64: 64, uint256: 256, bool: 1 };
const OCTETS: Record<string, number> = { address: 20, bytes2: 2, bytes8: 8, bytes32: 32 };

/** Strings are given as their UTF-8 bytes, type "bytes": the encoding is the same. */
export function encode(types: AbiType[], values: AbiValue[]): Bytes {
  const heads: Bytes[] = [];
  const tails: Bytes[] = [];
  let end = types.length * WORD;
  types.forEach((type, i) => {
    const value = values[i] as AbiValue;
    if (type === "bytes") {
      const tail = dynamic(value as Bytes);
      heads.push(fixed(BigInt(end), WORD));
      tails.push(tail);
      end += tail.length;
    } else {
      heads.push(word(type, value));
    }
  });
  return concat(...heads, ...tails);
}

/** A Solidity string literal, as a value of type "bytes". */
export const literal = (text: string): Bytes => ascii(text);

function dynamic(value: Bytes): Bytes {
  const padding = new Uint8Array((WORD - (value.length % WORD)) % WORD);
  return concat(fixed(BigInt(value.length), WORD), value, padding);
}

function word(type: AbiType, value: AbiValue): Bytes {
  if (typeof value === "bigint") return fixed(value, WORD);
  const padding = new Uint8Array(WORD - value.length);
  return type === "address" ? concat(padding, value) : concat(value, padding);
}

/** Throws RecordInvalid for anything but `abi.encode` of `types`. */
export function decode(types: AbiType[], data: Bytes): AbiValue[] {
  const values = types.map((type, i) => {
    const head = slice(data, i * WORD, WORD);
    if (type === "bytes") return tailAt(data, toInt(head));
    const bits = INTEGERS[type];
    if (bits !== undefined) {
      const value = toInt(head);
      if (value >> BigInt(bits)) throw new RecordInvalid(`a ${type} is too large`);
      return value;
    }
    const size = OCTETS[type] as number;
    return type === "address" ? head.slice(WORD - size) : head.slice(0, size);
  });
  if (!same(encode(types, values), data)) throw new RecordInvalid(`is not abi.encode(${types.join(", ")})`);
  return values;
}

function tailAt(data: Bytes, offset: bigint): Bytes {
  if (offset > BigInt(data.length)) throw new RecordInvalid("an offset points beyond the record");
  const length = toInt(slice(data, Number(offset), WORD));
  if (length > BigInt(data.length)) throw new RecordInvalid("a length exceeds the record");
  return slice(data, Number(offset) + WORD, Number(length));
}

function slice(data: Bytes, start: number, size: number): Bytes {
  if (start + size > data.length) throw new RecordInvalid("the record is too short");
  return data.slice(start, start + size);
}

/** The first word of a record, its kind. */
export function kindOf(record: Bytes): number {
  if (record.length < WORD || record.slice(0, WORD - 1).some((byte) => byte !== 0)) {
    throw new RecordInvalid("does not begin with a uint8 kind");
  }
  return record[WORD - 1] as number;
}
