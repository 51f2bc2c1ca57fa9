/** That a statement is in the log, under the head whose anchor was the first to cover it. */

import * as abi from "./abi.ts";
import type { Anchor } from "./anchor.ts";
import type { LogSection, Recorded } from "./bundle.ts";
import { ascii, keccak, same, utf8 } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import * as cbor from "./cbor.ts";
import { RecordInvalid, Refused } from "./checklist.ts";
import { readSign1, sigStructure } from "./cose.ts";
import type { Sign1 } from "./cose.ts";
import { EDDSA } from "./keys.ts";
import { leafHash, ProofInvalid, rootFromInclusion, verifyConsistency } from "./merkle.ts";
import type { Head } from "./merkle.ts";
import { namedKeys, readNote, signerOf, verifierKeyOf } from "./note.ts";
import type { Line, LogKey, Note } from "./note.ts";
import type { ProvenHistories } from "./state.ts";
import type { TrustRoots } from "./trust-roots.ts";

const MAX_RECEIPT = 4096;

/** A key of the log with the blocks, both included, between which it counts. */
interface OriginKey {
  recorded: Bytes;
  addedAt: bigint;
  endedAt: bigint | null;
}

/** What LogAnchor's whole history of an origin says of its keys. */
function keysOf(records: Recorded[]): OriginKey[] {
  const keys: OriginKey[] = [];
  for (const [place, { block, record }] of records.entries()) {
    const kind = abi.kindOf(record);
    if (place === 0) {
      if (kind !== 1) throw new RecordInvalid("the first record of an origin is its registration");
      const values = abi.decode(["uint8", "bytes", "address", "bytes", "bytes32"], record);
      if (utf8(values[1] as Bytes) === null) throw new RecordInvalid("the origin is not UTF-8");
      keys.push({ recorded: values[3] as Bytes, addedAt: block, endedAt: null });
      continue;
    }
    if (kind === 1) throw new RecordInvalid("an origin is registered once");
    if (kind !== 2 && kind !== 3) throw new RecordInvalid("unknown kind of origin record");
    const recorded = abi.decode(["uint8", "bytes"], record)[1] as Bytes;
    const known = keys.find((key) => same(key.recorded, recorded));
    if (kind === 2) {
      if (known !== undefined) throw new RecordInvalid("a key is added once");
      keys.push({ recorded, addedAt: block, endedAt: null });
    } else {
      if (known === undefined || known.endedAt !== null) throw new RecordInvalid("the ended key does not count");
      known.endedAt = block;
    }
  }
  return keys;
}

/** The log's keys that count at the registration block: registered or added by then, and not ended before. */
export function countingLogKeys(
  log: LogSection,
  anchor: Anchor,
  histories: ProvenHistories,
  block: bigint,
  pinned: TrustRoots["log"],
): LogKey[] {
  const { origin } = readNote(log.checkpoint, log.cosigners.length);
  if (!same(keccak(ascii(origin)), anchor.originId)) {
    throw new Refused("ORIGIN_MISMATCH", `the anchor is not of the log ${origin}`);
  }
  const all = keysOf(histories.records("LogAnchor", anchor.originId));
  const registered = all[0]?.addedAt;
  if (registered === undefined || registered > block) {
    throw new Refused("ORIGIN_NOT_REGISTERED", `${origin} was not registered by then`);
  }
  const known = all
    .filter(({ recorded }) => recorded.length === 33 && recorded[0] === 1)
    .map((item) => ({ ...item, key: { origin, key: item.recorded.slice(1) } }));
  const counting = known.filter(
    ({ addedAt, endedAt }) => addedAt <= block && (endedAt === null || block <= endedAt),
  );
  if (!counting.length) throw new Refused("LOG_KEY_UNREADABLE", `${origin} has no key of a known kind`);
  const isPinned = ({ key }: { key: LogKey }): boolean => pinned?.verifierKey === verifierKeyOf(key);
  if (pinned !== null && (pinned.origin !== origin || !known.some(isPinned))) {
    throw new Refused("LOG_KEY_NOT_PINNED", `${pinned.verifierKey} is pinned, which the log ${origin} never had`);
  }
  return counting.map(({ key }) => key);
}

/** The checkpoint, whose first signature line is the log's, by one of its keys. */
export function verifyCheckpoint(log: LogSection, keys: LogKey[]): Note {
  const note = readNote(log.checkpoint, log.cosigners.length);
  const line = note.lines[0] as Line;
  const named = namedKeys(keys, line.keyId).filter(({ origin }) => origin === line.signer);
  if (!named.length) throw new Refused("CHECKPOINT_KEY", "the first signature line is by no key that counts");
  if (signerOf(named, note.body, line.value) === undefined) {
    throw new Refused("CHECKPOINT_SIGNATURE", "the checkpoint's signature does not verify");
  }
  return note;
}

interface Inclusion {
  sign1: Sign1;
  keyId: Bytes;
  size: bigint;
  index: bigint;
  path: Bytes[];
}

function readReceipt(data: Bytes): Inclusion {
  const malformed = new Refused("RECEIPT_MALFORMED", "is no COSE receipt of inclusion in its only form");
  try {
    const sign1 = readSign1(data, MAX_RECEIPT);
    const header = cbor.map(sign1.protectedHeader, [1, 4, 395]);
    const keyId = cbor.bytes(header?.get(4), 4);
    const proofs = cbor.map(cbor.map(sign1.unprotected, [396])?.get(396), [-1])?.get(-1);
    const encoded = Array.isArray(proofs) && proofs.length === 1 ? cbor.bytes(proofs[0]) : null;
    const wrong = header?.get(1) !== EDDSA || header.get(395) !== 1 || sign1.payload !== null;
    if (wrong || keyId === null || encoded === null) throw malformed;
    const proof = cbor.read(encoded);
    const [size, index, path] = Array.isArray(proof) && proof.length === 3 ? proof : [];
    const hashes = Array.isArray(path) ? path.map((item) => cbor.bytes(item, 32)) : [null];
    const numbers = [cbor.uint(size), cbor.uint(index)];
    if (numbers.includes(null) || hashes.includes(null)) throw malformed;
    const [sizeNumber, indexNumber] = numbers as [bigint, bigint];
    return { sign1, keyId, size: sizeNumber, index: indexNumber, path: hashes as Bytes[] };
  } catch (error) {
    throw error instanceof cbor.CborMalformed ? malformed : error;
  }
}

const INCLUSION_REASONS: Record<string, string> = {
  SIZE_ZERO: "RECEIPT_SIZE_ZERO",
  SIZE_TOO_LARGE: "RECEIPT_MALFORMED",
  INDEX_OUT_OF_RANGE: "RECEIPT_INDEX",
  PATH_TOO_LONG: "RECEIPT_PATH_TOO_LONG",
  PATH_TOO_SHORT: "RECEIPT_PATH_TOO_SHORT",
};

/** The statement's leaf index under the checkpoint. */
export function verifyReceipt(receipt: Bytes, statement: Bytes, keys: LogKey[], checkpoint: Head): bigint {
  const { sign1, keyId, size, index, path } = readReceipt(receipt);
  const named = namedKeys(keys, keyId);
  if (!named.length) throw new Refused("RECEIPT_KEY", "the receipt names no key that counts");
  let root: Bytes;
  try {
    root = rootFromInclusion(index, size, leafHash(statement), path);
  } catch (error) {
    if (!(error instanceof ProofInvalid)) throw error;
    throw new Refused(INCLUSION_REASONS[error.reason] as string, `leaf ${index} of ${size}: ${error.reason}`);
  }
  if (signerOf(named, sigStructure(sign1.protectedBytes, root), sign1.signature) === undefined) {
    throw new Refused("RECEIPT_SIGNATURE", "the log did not sign the root that the path leads to");
  }
  if (size !== checkpoint.size) throw new Refused("RECEIPT_SIZE", `a proof for ${size}, checkpoint ${checkpoint.size}`);
  if (!same(root, checkpoint.root)) throw new Refused("RECEIPT_ROOT", "the path leads to another root");
  return index;
}

export function verifyRegistration(checkpoint: Head, consistency: Bytes[] | null, anchor: Anchor, leaf: bigint): void {
  if ((consistency === null) !== (checkpoint.size === anchor.size)) {
    throw new Refused("SIZE_NOT_LINKED", "a consistency proof goes with different sizes, and only then");
  }
  const [older, newer] = checkpoint.size <= anchor.size ? [checkpoint, anchor] : [anchor, checkpoint];
  try {
    verifyConsistency(older, newer, consistency ?? []);
  } catch (error) {
    if (!(error instanceof ProofInvalid)) throw error;
    throw new Refused("SIZE_NOT_LINKED", `checkpoint and anchor: ${error.reason}`);
  }
  if (leaf >= anchor.size) throw new Refused("ANCHOR_DOES_NOT_COVER", `leaf ${leaf} is not below ${anchor.size}`);
  if (leaf < anchor.previousSize) {
    throw new Refused("ANCHOR_NOT_FIRST", `leaf ${leaf} was anchored before, at size ${anchor.previousSize}`);
  }
}
