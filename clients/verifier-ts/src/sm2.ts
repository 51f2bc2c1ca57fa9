/**
 * SM2 signatures with SM3 (GB/T 32918.2), signer id 1234567812345678: verification only.
 *
 * The curve arithmetic is @noble/curves', with the parameters of GB/T 32918.5; SM3 is that of Node's OpenSSL.
 */

import { createHash } from "node:crypto";
import { weierstrass } from "@noble/curves/abstract/weierstrass.js";
import { ascii, fixed, toInt } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";

const CURVE = {
  p: 0xfffffffeffffffffffffffffffffffffffffffff00000000ffffffffffffffffn,
  n: 0xfffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123n,
  h: 1n,
  a: 0xfffffffeffffffffffffffffffffffffffffffff00000000fffffffffffffffcn,
  b: 0x28e9fa9e9d9f5e344d5a9e4bcf6509a7f39789f515ab8f92ddbcbd414d940e93n,
  Gx: 0x32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7n,
  Gy: 0xbc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0n,
};
const Point = weierstrass(CURVE);
const SIGNER_ID = ascii("1234567812345678");
/** Bits of the signer id, in two bytes. */
const ID_LENGTH = new Uint8Array([0, 128]);

function sm3(...parts: Bytes[]): Bytes {
  const hash = createHash("sm3");
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

export function isKey(key: Bytes): boolean {
  try {
    Point.fromBytes(key).assertValidity();
    return true;
  } catch {
    return false;
  }
}

/** Section 7.1: t = r + s, and r is e + x of [s]G + [t]P. */
export function verify(signature: Bytes, message: Bytes, key: Bytes): boolean {
  const r = toInt(signature.slice(0, 32));
  const s = toInt(signature.slice(32));
  const t = (r + s) % CURVE.n;
  if (r === 0n || r >= CURVE.n || s === 0n || s >= CURVE.n || t === 0n) return false;
  const point = Point.fromBytes(key);
  const { x: xA, y: yA } = point.toAffine();
  const { a, b, Gx, Gy } = CURVE;
  const z = sm3(ID_LENGTH, SIGNER_ID, ...[a, b, Gx, Gy, xA, yA].map((value) => fixed(value, 32)));
  const e = toInt(sm3(z, message));
  const { x } = Point.BASE.multiply(s).add(point.multiply(t)).toAffine();
  return (e + x) % CURVE.n === r;
}
