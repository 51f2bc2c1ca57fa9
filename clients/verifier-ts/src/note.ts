/** Checkpoints: C2SP tlog-checkpoint in a C2SP signed note, with exactly one signature line. */

import { ascii, concat, hex, sha256, utf8 } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import { Refused } from "./checklist.ts";
import { MAX_SIZE } from "./merkle.ts";

export interface Note {
  /** What is signed. */
  body: Bytes;
  origin: string;
  size: bigint;
  root: Bytes;
  signer: string;
  keyId: Bytes;
  signature: Bytes;
}

/** A log's key: the name is the origin. */
export interface LogKey {
  origin: string;
  key: Bytes;
}

const MAX_BYTES = 65536;
/** No Unicode space and no plus sign (C2SP signed-note), nor a control character. */
const NAME = /^[^+\x00-\x20\x7f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]{1,255}$/u;
const SIZE = /^(0|[1-9][0-9]{0,18})$/;
const CONTROL = /[\x00-\x09\x0b-\x1f\x7f]/;
const ED25519_TYPE = new Uint8Array([1]);

/** Origin, size, root, an empty line, and one signature line. */
const NOTE = /^([^\n]+)\n([^\n]+)\n([^\n]+)\n\n— ([^\n ]+) ([^\n]+)\n$/;

/** Says nothing about the signature. */
export function readNote(data: Bytes): Note {
  const text = data.length <= MAX_BYTES ? utf8(data) : null;
  const parts = text === null || CONTROL.test(text) ? null : NOTE.exec(text);
  if (parts === null) throw malformed("must be origin, size, root, an empty line and one signature line");
  const [origin, size, root, signer, signature] = parts.slice(1) as [string, string, string, string, string];
  const rootBytes = base64(root);
  const signatureBytes = base64(signature);
  if (!NAME.test(origin) || !NAME.test(signer)) throw malformed("a name has spaces or plus signs");
  if (!SIZE.test(size) || BigInt(size) > MAX_SIZE) throw malformed("the size is no decimal up to 2^63 - 1");
  if (rootBytes?.length !== 32) throw malformed("the root is no base64 of 32 bytes");
  if (signatureBytes === null || signatureBytes.length < 5) throw malformed("the signature is no base64");
  return {
    body: ascii(`${origin}\n${size}\n${root}\n`),
    origin,
    size: BigInt(size),
    root: rootBytes,
    signer,
    keyId: signatureBytes.slice(0, 4),
    signature: signatureBytes.slice(4),
  };
}

const malformed = (detail: string): Refused => new Refused("CHECKPOINT_MALFORMED", detail);

/** The bytes of base64 in its one canonical spelling, or null. */
function base64(text: string): Bytes | null {
  const data = Buffer.from(text, "base64");
  return data.toString("base64") === text ? new Uint8Array(data) : null;
}

/** First four bytes of SHA-256(name, newline, type, key). */
export function keyIdOf({ origin, key }: LogKey): Bytes {
  return sha256(ascii(`${origin}\n`), ED25519_TYPE, key).slice(0, 4);
}

/** The verifier key as text, for comparison with a pinned one. */
export function verifierKeyOf(logKey: LogKey): string {
  const encoded = Buffer.from(concat(ED25519_TYPE, logKey.key)).toString("base64");
  return `${logKey.origin}+${hex(keyIdOf(logKey))}+${encoded}`;
}
