/** The log's promise to log the statement (docs/formats/promise.md). Whether it was kept is not looked at. */

import { hex } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import * as cbor from "./cbor.ts";
import type { Cbor } from "./cbor.ts";
import { Refused } from "./checklist.ts";
import { readSign1, sigStructure } from "./cose.ts";
import { EDDSA } from "./keys.ts";
import { namedKeys, signerOf } from "./note.ts";
import type { LogKey } from "./note.ts";
import { readDid } from "./statement.ts";
import { utc } from "./times.ts";

const MAX_BYTES = 400_000;
const MAX_IDS = 10_000;
const MAX_REQUEST_ID = 128;
const MAX_MS = 1n << 63n;
const CONTENT_TYPE = "application/silkledger-promise+cbor";

/** What the log promised, as a sentence. */
export function verifyPromise(promise: Bytes | null, keys: LogKey[], statementId: Bytes): string {
  if (promise === null) throw new Refused("PROMISE_NOT_IN_BUNDLE", "whoever made the bundle put none in");
  try {
    return verify(promise, keys, statementId);
  } catch (error) {
    throw error instanceof cbor.CborMalformed ? malformed(error.message) : error;
  }
}

function verify(promise: Bytes, keys: LogKey[], statementId: Bytes): string {
  const { protectedBytes, protectedHeader, unprotected, payload, signature } = readSign1(promise, MAX_BYTES);
  const header = cbor.map(protectedHeader, [1, 3, 4]);
  const keyId = cbor.bytes(header?.get(4));
  const other = header?.get(1) !== EDDSA || header.get(3) !== CONTENT_TYPE;
  if (other || keyId === null || unprotected.size || payload === null) throw malformed("other headers than it has");
  const named = namedKeys(keys, keyId);
  if (!named.length) throw new Refused("PROMISE_KEY", "the promise names no key that counts");
  const signer = signerOf(named, sigStructure(protectedBytes, payload), signature);
  if (signer === undefined) {
    throw new Refused("PROMISE_SIGNATURE", "the promise's signature does not verify");
  }
  const { origin, ids, acceptedMs, logByMs } = readContent(cbor.read(payload));
  if (origin !== signer.origin) throw new Refused("ORIGIN_MISMATCH", `a promise of the log ${origin}`);
  if (!ids.includes(hex(statementId))) {
    throw new Refused("PROMISE_OTHER_STATEMENT", `about ${ids.length} statements, none of which is this one`);
  }
  return `accepted ${utc(acceptedMs / 1000n)}, to be logged by ${utc(logByMs / 1000n)}`;
}

interface Content {
  origin: string;
  /** Hexadecimal. */
  ids: string[];
  acceptedMs: bigint;
  logByMs: bigint;
}

function readContent(value: Cbor): Content {
  const fields = cbor.map(value, [1, 2, 3, 4, 5, 6]);
  if (fields === null) throw malformed("the payload must be a map with exactly the keys 1 to 6");
  const [origin, listed, , , organisation, request] = [1, 2, 3, 4, 5, 6].map((key) => fields.get(key));
  const ids = Array.isArray(listed) ? listed.map((item) => cbor.bytes(item, 32)) : [];
  const [acceptedMs, logByMs] = [cbor.uint(fields.get(3)), cbor.uint(fields.get(4))];
  if (!ids.length || ids.length > MAX_IDS || ids.includes(null)) throw malformed("must list statement ids");
  if (acceptedMs === null || logByMs === null || !acceptedMs || acceptedMs > logByMs || logByMs >= MAX_MS) {
    throw malformed("times must be Unix milliseconds, log by not before accepted at");
  }
  const length = typeof request === "string" ? [...request].length : 0;
  if (length < 1 || length > MAX_REQUEST_ID) throw malformed("the request id is malformed");
  if (typeof origin !== "string" || readDid(organisation) === null) throw malformed("origin or organisation");
  return { origin, ids: ids.map((id) => hex(id as Bytes)), acceptedMs, logByMs };
}

const malformed = (detail: string): Refused => new Refused("PROMISE_MALFORMED", detail);
