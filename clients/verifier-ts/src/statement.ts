/** Signed statements and manifests (docs/formats/statement.md, manifest.md), read strictly. Not a verification. */

import { hex, sha256, utf8 } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import * as cbor from "./cbor.ts";
import type { Cbor } from "./cbor.ts";
import { Refused } from "./checklist.ts";
import { readSign1, sigStructure } from "./cose.ts";
import { ES256K, isKey, isSuite } from "./keys.ts";
import type { Head } from "./merkle.ts";
import type { Suite } from "./keys.ts";

export interface Statement {
  id: Bytes;
  issuer: Did;
  /** `controller` or `delegate-<n>`. */
  fragment: string;
  documentType: string;
  supersedes: Bytes | null;
  /** Of the one document that it is about; null for a manifest. */
  digest: Bytes | null;
  /** The tree over the leaves of its documents; null for a statement about one. */
  manifest: Head | null;
  suite: Suite;
  /** Present exactly under `#controller`. */
  controllerKey: Bytes | null;
  signature: Bytes;
  /** What the signature covers. */
  signed: Bytes;
}

export interface Did {
  text: string;
  chainId: bigint;
  address: Bytes;
}

const MAX_BYTES = 8192;
const MAX_SUBJECT = 256;
const MAX_AUDIENCE = 64;
/** 9999-12-31T23:59:59Z. */
const MAX_ISSUED_AT = 253402300799n;
const [ALG, CONTENT_TYPE, KID, CLAIMS, HASH_ALG, PREIMAGE_TYPE] = [1, 3, 4, 15, 258, 259] as const;
const MANIFEST_TYPE = "application/silkledger-manifest+cbor";
const MAX_DOCUMENTS = 10000n;
const LEAF_FORMAT = 1;
const [ISS, SUB, IAT, TYPE, SALT] = [1, 2, 6, -70001, -70002] as const;
const [SUPERSEDES, AUDIENCE, CONTROLLER_KEY] = [-70003, -70004, -70005] as const;
const SHA_256 = -16;

const DID = /^did:ethr:(0x[1-9a-f][0-9a-f]*):0x([0-9a-f]{40})$/;
const FRAGMENT = /^(controller|delegate-[1-9][0-9]{0,5})$/;
export const DOCUMENT_TYPE = /^[A-Za-z0-9]{1,8}$/;
const MEDIA_TYPE = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,63}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,63}(;[ -~]{1,96})?$/;
/** Control, bidirectional and zero-width characters. */
const HIDDEN = /[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\uffff]/;

export function readStatement(data: Bytes): Statement {
  try {
    return read(data);
  } catch (error) {
    if (!(error instanceof cbor.CborMalformed)) throw error;
    throw malformed(error.message);
  }
}

function read(data: Bytes): Statement {
  const sign1 = readSign1(data, MAX_BYTES);
  if (sign1.unprotected.size) throw malformed("the unprotected header must be empty");
  const payload = required(sign1.payload, "the payload must be inside");
  const ofManifest = sign1.protectedHeader.get(CONTENT_TYPE) === MANIFEST_TYPE;
  const header = required(
    cbor.map(sign1.protectedHeader, [ALG, KID, CLAIMS, ...(ofManifest ? [CONTENT_TYPE] : [HASH_ALG, PREIMAGE_TYPE])]),
    "the protected header lacks a label, or has one that is not accepted",
  );
  const suite = header.get(ALG);
  if (!isSuite(suite)) throw malformed("no such algorithm is accepted");
  const claims = required(
    cbor.map(header.get(CLAIMS), [ISS, SUB, IAT, TYPE, SALT], [SUPERSEDES, AUDIENCE, CONTROLLER_KEY]),
    "a claim is missing, or is not accepted",
  );
  checkClaims(claims);
  const issuer = required(readDid(claims.get(ISS)), "the issuer is no did:ethr in its one spelling");
  const fragment = readFragment(header.get(KID), issuer);
  const signed = sigStructure(sign1.protectedBytes, payload);
  const controllerKey = readControllerKey(claims, fragment, suite);
  const supersedes = optional(claims, SUPERSEDES, 32);
  return {
    id: sha256(signed),
    issuer,
    fragment,
    documentType: claims.get(TYPE) as string,
    supersedes,
    digest: ofManifest ? null : readDigest(header, payload),
    manifest: ofManifest ? readManifest(payload) : null,
    suite,
    controllerKey,
    signature: sign1.signature,
    signed,
  };
}

/** Of a hash envelope (RFC 9995). */
function readDigest(header: Map<number, Cbor>, payload: Bytes): Bytes {
  if (header.get(HASH_ALG) !== SHA_256) throw malformed("the payload hash must be SHA-256");
  if (!matches(header.get(PREIMAGE_TYPE), MEDIA_TYPE)) throw malformed("the content type is no media type");
  return required(cbor.bytes(payload, 32), "the payload must be a digest of 32 bytes");
}

function readManifest(payload: Bytes): Head {
  const fields = cbor.map(cbor.read(payload), [1, 2, 3]);
  if (fields === null) throw new Refused("MANIFEST_PAYLOAD_MALFORMED", "must be a map with the keys 1, 2 and 3");
  const size = cbor.uint(fields.get(1));
  const root = cbor.bytes(fields.get(2), 32);
  if (size === null || size < 1n || size > MAX_DOCUMENTS) {
    throw new Refused("MANIFEST_SIZE", `a manifest holds 1 to ${MAX_DOCUMENTS} documents`);
  }
  if (root === null) throw new Refused("MANIFEST_PAYLOAD_MALFORMED", "the root must be 32 bytes");
  if (fields.get(3) !== LEAF_FORMAT) throw new Refused("MANIFEST_LEAF_FORMAT", `must be ${LEAF_FORMAT}`);
  return { size, root };
}

function checkClaims(claims: Map<number, Cbor>): void {
  const subject = claims.get(SUB);
  const length = typeof subject === "string" ? [...subject].length : 0;
  const plain = typeof subject === "string" && subject.trim() === subject && !HIDDEN.test(subject);
  if (!plain || length < 1 || length > MAX_SUBJECT) throw malformed("the subject is malformed");
  const issuedAt = cbor.uint(claims.get(IAT));
  if (issuedAt === null || issuedAt < 1n || issuedAt > MAX_ISSUED_AT) throw malformed("issued at is malformed");
  if (!matches(claims.get(TYPE), DOCUMENT_TYPE)) throw malformed("the document type is malformed");
  required(cbor.bytes(claims.get(SALT), 16), "the salt must be 16 bytes");
  if (claims.has(AUDIENCE)) checkAudience(claims.get(AUDIENCE));
}

function checkAudience(value: Cbor | undefined): void {
  const members = Array.isArray(value) ? value : [];
  const different = new Set(members).size === members.length;
  if (!members.length || members.length > MAX_AUDIENCE || !different || members.some((did) => readDid(did) === null)) {
    throw malformed(`the audience must be 1 to ${MAX_AUDIENCE} different DIDs`);
  }
}

export function readDid(value: Cbor | undefined): Did | null {
  const match = typeof value === "string" ? DID.exec(value) : null;
  if (match === null) return null;
  const [text, chainId, address] = match as unknown as [string, string, string];
  return { text, chainId: BigInt(chainId), address: new Uint8Array(Buffer.from(address, "hex")) };
}

function readFragment(value: Cbor | undefined, issuer: Did): string {
  const kid = utf8(required(cbor.bytes(value), "the kid must be bytes")) ?? "";
  const fragment = kid.slice(issuer.text.length + 1);
  if (!kid.startsWith(`${issuer.text}#`) || !FRAGMENT.test(fragment)) {
    throw malformed("the kid must be <issuer DID>#controller or <issuer DID>#delegate-<n>");
  }
  return fragment;
}

function readControllerKey(claims: Map<number, Cbor>, fragment: string, suite: Suite): Bytes | null {
  const key = optional(claims, CONTROLLER_KEY, 33);
  if (fragment !== "controller") {
    if (key !== null) throw malformed("only a statement under #controller carries a controller key");
    return null;
  }
  if (suite !== ES256K || key === null || !isKey({ suite, key })) {
    throw malformed("a statement under #controller is ES256K and carries its key");
  }
  return key;
}

function optional(claims: Map<number, Cbor>, label: number, size: number): Bytes | null {
  if (!claims.has(label)) return null;
  return required(cbor.bytes(claims.get(label), size), `claim ${label} must be ${size} bytes`);
}

const matches = (value: Cbor | undefined, pattern: RegExp): boolean => typeof value === "string" && pattern.test(value);

function required<T>(value: T | null, otherwise: string): T {
  if (value === null) throw malformed(otherwise);
  return value;
}

const malformed = (detail: string): Refused => new Refused("STATEMENT_MALFORMED", detail);

/** For sentences. */
export const idText = (id: Bytes): string => `0x${hex(id)}`;
