/** Which document a bundle is about: that of its statement, or one of the manifest in the statement's place. */

import type { DocumentProof } from "./bundle.ts";
import { hex, same } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import * as cbor from "./cbor.ts";
import { Refused } from "./checklist.ts";
import { leafHash, ProofInvalid, rootFromInclusion } from "./merkle.ts";
import type { Head } from "./merkle.ts";
import { DOCUMENT_TYPE } from "./statement.ts";
import type { Statement } from "./statement.ts";

const LEAF_FORMAT = 1;

/** What a reader should know about how the document is meant; empty where there is nothing to know. */
export function checkDocument(statement: Statement, proof: DocumentProof | null, digest: Bytes): string {
  if (statement.manifest !== null) return checkInManifest(statement, statement.manifest, proof, digest);
  if (proof !== null) throw new Refused("DOCUMENT_PROOF_UNEXPECTED", "the statement is about one document");
  checkDigest(statement.digest as Bytes, digest);
  return "";
}

function checkDigest(found: Bytes, digest: Bytes): void {
  if (same(found, digest)) return;
  const about = `the bundle is about the document 0x${hex(found)}`;
  throw new Refused("DOCUMENT_DIGEST", `${about}; that says nothing about 0x${hex(digest)}`);
}

function checkInManifest(statement: Statement, tree: Head, proof: DocumentProof | null, digest: Bytes): string {
  if (proof === null) throw new Refused("DOCUMENT_PROOF_MISSING", "a manifest, and a proof of no document in it");
  const leaf = readLeaf(proof.leaf);
  checkDigest(leaf.digest, digest);
  if (leaf.documentType !== statement.documentType) {
    throw new Refused("MANIFEST_TYPE_MIXED", "the leaf is of another type than the manifest");
  }
  let root: Bytes;
  try {
    root = rootFromInclusion(proof.index, tree.size, leafHash(proof.leaf), proof.path);
  } catch (error) {
    if (!(error instanceof ProofInvalid)) throw error;
    const reason = error.reason === "INDEX_OUT_OF_RANGE" ? "DOCUMENT_INDEX" : `DOCUMENT_${error.reason}`;
    throw new Refused(reason, `document ${proof.index} of ${tree.size}: ${error.reason}`);
  }
  if (!same(root, tree.root)) throw new Refused("DOCUMENT_ROOT", "the path leads to another root than the manifest's");
  return `document ${proof.index + 1n} of the ${tree.size} of a manifest`;
}

interface Leaf {
  digest: Bytes;
  documentType: string;
}

function readLeaf(data: Bytes): Leaf {
  let value: cbor.Cbor;
  try {
    value = cbor.read(data);
  } catch (error) {
    if (!(error instanceof cbor.CborMalformed)) throw error;
    throw new Refused("MANIFEST_LEAF_MALFORMED", error.message);
  }
  const [format, salt, digest, documentType, subject] = Array.isArray(value) && value.length === 5 ? value : [];
  const found = cbor.bytes(digest, 32);
  const octets = found !== null && cbor.bytes(salt, 16) !== null && cbor.bytes(subject, 32) !== null;
  if (format !== LEAF_FORMAT || !octets || typeof documentType !== "string" || !DOCUMENT_TYPE.test(documentType)) {
    throw new Refused("MANIFEST_LEAF_MALFORMED", "must be [1, salt, digest, document type, salted subject]");
  }
  return { digest: found, documentType };
}
