/** RFC 9162 trees with SHA-256: the root that an inclusion path leads to, and consistency of two heads. */

import { same, sha256 } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";

export const MAX_SIZE = (1n << 63n) - 1n;

/** `reason` is one of docs/formats/receipt.md. */
export class ProofInvalid extends Error {
  readonly reason: string;

  constructor(reason: string) {
    super(reason);
    this.reason = reason;
  }
}

const LEAF = new Uint8Array([0]);
const NODE = new Uint8Array([1]);

export const leafHash = (entry: Bytes): Bytes => sha256(LEAF, entry);
const nodeHash = (left: Bytes, right: Bytes): Bytes => sha256(NODE, left, right);

/** Section 2.1.3.2. The size is a claim: most paths verify under a neighbouring size too. */
export function rootFromInclusion(index: bigint, size: bigint, leaf: Bytes, path: Bytes[]): Bytes {
  if (size < 1n) throw new ProofInvalid("SIZE_ZERO");
  if (size > MAX_SIZE) throw new ProofInvalid("SIZE_TOO_LARGE");
  if (index >= size) throw new ProofInvalid("INDEX_OUT_OF_RANGE");
  let fn = index;
  let sn = size - 1n;
  let root = leaf;
  for (const sibling of path) {
    if (sn === 0n) throw new ProofInvalid("PATH_TOO_LONG");
    if (fn & 1n || fn === sn) {
      root = nodeHash(sibling, root);
      while (!(fn & 1n) && fn !== 0n) {
        fn >>= 1n;
        sn >>= 1n;
      }
    } else {
      root = nodeHash(root, sibling);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  if (sn !== 0n) throw new ProofInvalid("PATH_TOO_SHORT");
  return root;
}

export interface Head {
  size: bigint;
  root: Bytes;
}

/** Section 2.1.4.2, by recursion on the tree: the roots of both sizes that `path` leads to. */
export function verifyConsistency(older: Head, newer: Head, path: Bytes[]): void {
  if (older.size < 1n) throw new ProofInvalid("SIZE_ZERO");
  if (newer.size > MAX_SIZE) throw new ProofInvalid("SIZE_TOO_LARGE");
  if (older.size > newer.size) throw new ProofInvalid("SIZE_ORDER");
  const remaining = [...path];
  const take = (): Bytes => {
    const next = remaining.pop();
    if (next === undefined) throw new ProofInvalid("PATH_TOO_SHORT");
    return next;
  };
  const [oldRoot, newRoot] = roots(older.size, newer.size, true, older.root, take);
  if (remaining.length) throw new ProofInvalid("PATH_TOO_LONG");
  if (!same(oldRoot, older.root)) throw new ProofInvalid("OLD_ROOT_MISMATCH");
  if (!same(newRoot, newer.root)) throw new ProofInvalid("NEW_ROOT_MISMATCH");
}

/**
 * PROOF(m, D[n]) read backwards, as section 2.1.4.1 writes it: the root over the first `m` leaves and the one
 * over all `n`. `whole`: these m leaves are the whole old tree, whose root is known and not in the proof.
 */
function roots(m: bigint, n: bigint, whole: boolean, oldRoot: Bytes, take: () => Bytes): [Bytes, Bytes] {
  if (m === n) {
    const root = whole ? oldRoot : take();
    return [root, root];
  }
  let k = 1n;
  while (k << 1n < n) k <<= 1n;
  const sibling = take();
  if (m <= k) {
    const [old, left] = roots(m, k, whole, oldRoot, take);
    return [old, nodeHash(left, sibling)];
  }
  const [old, right] = roots(m - k, n - k, false, oldRoot, take);
  return [nodeHash(sibling, old), nodeHash(sibling, right)];
}
