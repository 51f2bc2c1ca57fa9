/** Deterministic CBOR (RFC 8949 section 4.2.1): a reader that accepts one encoding per value, and no other. */

import { decode, encode, rfc8949EncodeOptions } from "cborg";
import { same } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";

/** Integers are numbers when they fit 53 bits, else bigints. */
export type Cbor = number | bigint | string | boolean | null | Bytes | Cbor[] | Map<number | bigint | string, Cbor>;

export class CborMalformed extends Error {}

const READING = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  rejectDuplicateMapKeys: true,
  useMaps: true,
};

/**
 * The one item that `data` is. Guarantees that no other bytes are read as the same value: no floats, no tags,
 * no undefined, only integers and text as map keys. Throws CborMalformed.
 */
export function read(data: Bytes): Cbor {
  let value: unknown;
  let again: Bytes;
  try {
    value = decode(data, READING);
    checkKinds(value);
    again = encode(value, rfc8949EncodeOptions);
  } catch (error) {
    throw new CborMalformed(`not deterministic CBOR: ${(error as Error).message}`);
  }
  if (!same(again, data)) throw new CborMalformed("another encoding of this value is the deterministic one");
  return value as Cbor;
}

export const write = (value: Cbor): Bytes => encode(value, rfc8949EncodeOptions);

function isInteger(value: unknown): boolean {
  return typeof value === "bigint" || Number.isSafeInteger(value);
}

function checkKinds(value: unknown): void {
  if (value instanceof Map) {
    for (const [key, item] of value) {
      if (typeof key !== "string" && !isInteger(key)) throw new CborMalformed("a map key of a kind that is refused");
      checkKinds(item);
    }
  } else if (Array.isArray(value)) {
    for (const item of value) checkKinds(item);
  } else {
    const plain = value === null || typeof value === "boolean" || typeof value === "string";
    const allowed = plain || isInteger(value) || value instanceof Uint8Array;
    if (!allowed) throw new CborMalformed("a kind that is refused");
  }
}

/** An unsigned 64-bit integer, or null. */
export function uint(value: Cbor | undefined): bigint | null {
  if (typeof value !== "number" && typeof value !== "bigint") return null;
  const number = BigInt(value);
  return number >= 0n && number < 1n << 64n ? number : null;
}

/** A byte string, of `size` bytes where given, or null. */
export function bytes(value: Cbor | undefined, size?: number): Bytes | null {
  return value instanceof Uint8Array && (size === undefined || value.length === size) ? value : null;
}

/** A map with all of `keys` and at most `optional` besides, or null. */
export function map(value: Cbor | undefined, keys: number[], optional: number[] = []): Map<number, Cbor> | null {
  if (!(value instanceof Map)) return null;
  const known = [...keys, ...optional];
  const closed = [...value.keys()].every((key) => known.includes(key as number));
  return closed && keys.every((key) => value.has(key)) ? (value as Map<number, Cbor>) : null;
}
