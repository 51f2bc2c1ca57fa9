/** Signature suites (docs/formats/suites.md): public keys, and verifying 64-byte signatures. */

import { ed25519 } from "@noble/curves/ed25519.js";
import { p256 } from "@noble/curves/nist.js";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { hex, keccak } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import * as sm2 from "./sm2.ts";

/** By COSE algorithm number. */
export type Suite = -47 | -7 | -8 | -65601;

export const ES256K = -47;
export const EDDSA = -8;

export interface PublicKey {
  suite: Suite;
  key: Bytes;
}

interface Algorithm {
  multicodec: string;
  keySize: number;
  isKey: (key: Bytes) => boolean;
  verify: (signature: Bytes, message: Bytes, key: Bytes) => boolean;
}

const ALGORITHMS: Record<Suite, Algorithm> = {
  [-47]: {
    multicodec: "e701",
    keySize: 33,
    isKey: (key) => secp256k1.utils.isValidPublicKey(key, true),
    verify: (signature, message, key) => secp256k1.verify(signature, message, key, { lowS: true }),
  },
  [-7]: {
    multicodec: "8024",
    keySize: 33,
    isKey: (key) => p256.utils.isValidPublicKey(key, true),
    verify: (signature, message, key) => p256.verify(signature, message, key, { lowS: true }),
  },
  [-8]: {
    multicodec: "ed01",
    keySize: 32,
    isKey: () => true,
    verify: (signature, message, key) => ed25519.verify(signature, message, key, { zip215: false }),
  },
  [-65601]: { multicodec: "8624", keySize: 33, isKey: sm2.isKey, verify: sm2.verify },
};

export function isSuite(value: unknown): value is Suite {
  return typeof value === "number" && Object.hasOwn(ALGORITHMS, value);
}

/** Whether `key` is a point of the suite's curve in its one encoding (Ed25519: decoded when verifying). */
export function isKey({ suite, key }: PublicKey): boolean {
  return key.length === ALGORITHMS[suite].keySize && ALGORITHMS[suite].isKey(key);
}

/** The key of a `did/pub/Multikey/…` attribute; null for key bytes of no known suite. */
export function fromMulticodec(value: Bytes): PublicKey | null {
  const prefix = hex(value.slice(0, 2));
  const found = Object.entries(ALGORITHMS).find(([, algorithm]) => algorithm.multicodec === prefix);
  if (found === undefined) return null;
  const key = { suite: Number(found[0]) as Suite, key: value.slice(2) };
  return isKey(key) ? key : null;
}

/** Whether `signature` (r then s, low s where the suite asks for it) over `message` is by `key`. */
export function verifies({ suite, key }: PublicKey, message: Bytes, signature: Bytes): boolean {
  if (signature.length !== 64) return false;
  try {
    return ALGORITHMS[suite].verify(signature, message, key);
  } catch {
    // The library throws at numbers out of range and at points off the curve.
    return false;
  }
}

/** The account of a compressed secp256k1 key. */
export function addressOf(key: Bytes): Bytes {
  return keccak(secp256k1.Point.fromBytes(key).toBytes(false).slice(1)).slice(12);
}
