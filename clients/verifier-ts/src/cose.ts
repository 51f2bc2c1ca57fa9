/** COSE_Sign1 (RFC 9052) behind tag 18, in deterministic CBOR, nothing left over. Form only. */

import * as cbor from "./cbor.ts";
import type { Cbor } from "./cbor.ts";
import type { Bytes } from "./bytes.ts";

const TAG_18 = 0xd2;

export interface Sign1 {
  /** As received: what is signed. */
  protectedBytes: Bytes;
  protectedHeader: Map<number | bigint | string, Cbor>;
  unprotected: Map<number | bigint | string, Cbor>;
  /** Null when detached. */
  payload: Bytes | null;
  signature: Bytes;
}

/** Throws cbor.CborMalformed. */
export function readSign1(data: Bytes, maxBytes: number): Sign1 {
  if (data.length > maxBytes) throw new cbor.CborMalformed(`${data.length} bytes, at most ${maxBytes}`);
  if (data[0] !== TAG_18) throw new cbor.CborMalformed("does not start with CBOR tag 18");
  const parts = cbor.read(data.slice(1));
  if (!Array.isArray(parts) || parts.length !== 4) throw new cbor.CborMalformed("is no array of four items");
  const [protectedBytes, unprotected, payload, signature] = parts;
  const fits =
    protectedBytes instanceof Uint8Array &&
    unprotected instanceof Map &&
    (payload === null || payload instanceof Uint8Array) &&
    signature instanceof Uint8Array;
  if (!fits) throw new cbor.CborMalformed("is no COSE_Sign1");
  const protectedHeader = cbor.read(protectedBytes);
  if (!(protectedHeader instanceof Map)) throw new cbor.CborMalformed("the protected header is no map");
  return { protectedBytes, protectedHeader, unprotected, payload, signature };
}

/** What the signature covers (RFC 9052 section 4.4), without external data. */
export function sigStructure(protectedBytes: Bytes, payload: Bytes): Bytes {
  return cbor.write(["Signature1", protectedBytes, new Uint8Array(), payload]);
}
