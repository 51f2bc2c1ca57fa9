/** Octets: comparison, hexadecimal, hashes, integers. */

import { createHash } from "node:crypto";
import { bigIntToUnpaddedBytes, bytesToBigInt, concatBytes, equalsBytes, setLengthLeft } from "@ethereumjs/util";
import { keccak_256 } from "@noble/hashes/sha3.js";

export type Bytes = Uint8Array;

export const concat = concatBytes;
export const same = equalsBytes;
export const toInt = bytesToBigInt;

/** Minimal big-endian bytes; zero is the empty string, as RLP writes it. */
export function minimal(value: bigint): Bytes {
  return value === 0n ? new Uint8Array() : bigIntToUnpaddedBytes(value);
}

/** Big-endian in exactly `size` bytes. */
export function fixed(value: bigint, size: number): Bytes {
  return setLengthLeft(minimal(value), size);
}

export function keccak(data: Bytes): Bytes {
  return keccak_256(data);
}

export function sha256(...parts: Bytes[]): Bytes {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

/** Lower-case digits, without 0x: also the key under which byte strings stand in a Map. */
export function hex(data: Bytes): string {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex");
}

/** The bytes of `0x` and hexadecimal digits, `size` bytes if given; null for anything else. */
export function fromHex(text: string, size?: number): Bytes | null {
  if (!/^0x([0-9a-fA-F]{2})*$/.test(text)) return null;
  const data = new Uint8Array(Buffer.from(text.slice(2), "hex"));
  return size === undefined || data.length === size ? data : null;
}

export function ascii(text: string): Bytes {
  return new TextEncoder().encode(text);
}

/** The text of UTF-8 bytes, byte order mark included; null if they are not UTF-8. */
export function utf8(data: Bytes): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    return null;
  }
}

/** Negative, zero or positive: the order of unsigned bytes. */
export function compare(a: Bytes, b: Bytes): number {
  return Buffer.compare(a, b);
}
