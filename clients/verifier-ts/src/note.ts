/** Checkpoints: C2SP tlog-checkpoint in a C2SP signed note: the log's signature line, then those of witnesses. */

import { ascii, concat, hex, same, sha256, utf8 } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import { Refused } from "./checklist.ts";
import { EDDSA, verifies } from "./keys.ts";
import { MAX_SIZE } from "./merkle.ts";

/** A signature line. */
export interface Line {
  signer: string;
  keyId: Bytes;
  /** What follows the key id. */
  value: Bytes;
}

export interface Note {
  /** What is signed. */
  body: Bytes;
  origin: string;
  size: bigint;
  root: Bytes;
  lines: Line[];
}

/** A log's key: the name is the origin. */
export interface LogKey {
  origin: string;
  key: Bytes;
}

/** A witness's key (C2SP tlog-cosignature, v1). */
export interface WitnessKey {
  name: string;
  key: Bytes;
  keyId: Bytes;
}

const MAX_BYTES = 65536;
/** No Unicode space and no plus sign (C2SP signed-note), nor a control character. */
const NAME = /^[^+\x00-\x20\x7f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]{1,255}$/u;
const SIZE = /^(0|[1-9][0-9]{0,18})$/;
const CONTROL = /[\x00-\x09\x0b-\x1f\x7f]/;
const ED25519_TYPE = 1;
const COSIGNATURE_TYPE = 4;
const MAX_LINES = 64;

/** Origin, size, root, an empty line, and signature lines. */
const NOTE = /^([^\n]+)\n([^\n]+)\n([^\n]+)\n\n((?:[^\n]+\n)+)$/;
const LINE = /^— ([^\n ]+) ([^\n]+)$/;

/** Says nothing about the signatures. There are as many as one for the log and one for each of `cosigners`. */
export function readNote(data: Bytes, cosigners: number): Note {
  const text = data.length <= MAX_BYTES ? utf8(data) : null;
  const parts = text === null || CONTROL.test(text) ? null : NOTE.exec(text);
  if (parts === null) throw malformed("must be origin, size, root, an empty line and signature lines");
  const [origin, size, root, tail] = parts.slice(1) as [string, string, string, string];
  const lines = tail.slice(0, -1).split("\n").map(readLine);
  if (lines.length !== 1 + cosigners || lines.length > MAX_LINES) {
    throw malformed(`${lines.length} signature lines, there must be ${1 + cosigners}`);
  }
  const rootBytes = base64(root);
  if (!NAME.test(origin)) throw malformed("the origin has spaces or plus signs");
  if (!SIZE.test(size) || BigInt(size) > MAX_SIZE) throw malformed("the size is no decimal up to 2^63 - 1");
  if (rootBytes?.length !== 32) throw malformed("the root is no base64 of 32 bytes");
  return { body: ascii(`${origin}\n${size}\n${root}\n`), origin, size: BigInt(size), root: rootBytes, lines };
}

function readLine(text: string): Line {
  const [signer, signature] = LINE.exec(text)?.slice(1) ?? [];
  const value = signature === undefined ? null : base64(signature);
  if (signer === undefined || !NAME.test(signer) || value === null || value.length < 5) {
    throw malformed("a signature line is an em dash, a name, and base64 of key id and signature");
  }
  return { signer, keyId: value.slice(0, 4), value: value.slice(4) };
}

const malformed = (detail: string): Refused => new Refused("CHECKPOINT_MALFORMED", detail);

/** The bytes of base64 in its one canonical spelling, or null. */
function base64(text: string): Bytes | null {
  const data = Buffer.from(text, "base64");
  return data.toString("base64") === text ? new Uint8Array(data) : null;
}

/** First four bytes of SHA-256(name, newline, type, key). */
function keyId(name: string, type: number, key: Bytes): Bytes {
  return sha256(ascii(`${name}\n`), new Uint8Array([type]), key).slice(0, 4);
}

export const keyIdOf = ({ origin, key }: LogKey): Bytes => keyId(origin, ED25519_TYPE, key);

/** Those of `keys` that have this id: an identifier that two keys may share. */
export const namedKeys = (keys: LogKey[], id: Bytes): LogKey[] => keys.filter((key) => same(id, keyIdOf(key)));

/** Which of the keys made the signature. */
export function signerOf(keys: LogKey[], message: Bytes, signature: Bytes): LogKey | undefined {
  return keys.find(({ key }) => verifies({ suite: EDDSA, key }, message, signature));
}

/** The verifier key as text, for comparison with a pinned one. */
export function verifierKeyOf(logKey: LogKey): string {
  const encoded = Buffer.from(concat(new Uint8Array([ED25519_TYPE]), logKey.key)).toString("base64");
  return `${logKey.origin}+${hex(keyIdOf(logKey))}+${encoded}`;
}

/** The witness key whose verifier key `text` is; null for anything else. */
export function readWitnessKey(text: string): WitnessKey | null {
  const [name, identifier, encoded] = /^([^+]*)\+([^+]*)\+([^]*)$/.exec(text)?.slice(1) ?? [];
  const data = encoded === undefined ? null : base64(encoded);
  if (name === undefined || data?.length !== 33 || data[0] !== COSIGNATURE_TYPE || !NAME.test(name)) return null;
  const key = data.slice(1);
  const id = keyId(name, COSIGNATURE_TYPE, key);
  return hex(id) === identifier ? { name, key, keyId: id } : null;
}
