/**
 * Merkle-Patricia proofs. The value comes from @ethereumjs/mpt; in front of it stands a walk that accepts
 * only the one form of a proof (the named nodes from the root down, none left over) and names what is wrong.
 */

import { verifyMerkleProof } from "@ethereumjs/mpt";
import { hex, keccak, same } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import { Refused } from "./checklist.ts";
import * as rlp from "./rlp.ts";
import type { Item } from "./rlp.ts";

/** Root of the trie that holds nothing. */
export const EMPTY_ROOT = keccak(new Uint8Array([0x80]));

/** The value at `key` under `root`, or null where the proof shows that there is none. */
export async function provenValue(root: Bytes, key: Bytes, proof: Bytes[]): Promise<Bytes | null> {
  if (same(root, EMPTY_ROOT)) {
    const emptyTrie = proof.length === 1 && hex(proof[0] as Bytes) === "80";
    if (proof.length === 0 || emptyTrie) return null;
    throw new Refused("PROOF_LENGTH", "the empty trie has no nodes to prove with");
  }
  const walked = walk(root, nibblesOf(key), proof);
  const value = await verifyMerkleProof(key, proof, { root, useKeyHashing: false }).catch(() => undefined);
  const agree = walked === null ? value === null : value instanceof Uint8Array && same(walked, value);
  if (!agree) throw new Refused("PROOF_NODE_SHAPE", "the trie library reads the proof differently");
  return walked;
}

function walk(root: Bytes, key: number[], proof: Bytes[]): Bytes | null {
  const remaining = [...proof];
  let reference: Item = root;
  let path = key;
  for (;;) {
    const node = Array.isArray(reference) ? reference : named(reference, remaining);
    const step = descend(node, path);
    if (step === null || isEmpty(step.below)) {
      if (step !== null && step.rest === null) throw shape("a leaf holds no value");
      return ended(remaining, null);
    }
    if (step.rest === null) {
      if (!(step.below instanceof Uint8Array)) throw shape("a leaf holds no value");
      return ended(remaining, step.below);
    }
    reference = step.below;
    path = step.rest;
  }
}

const nibblesOf = (data: Bytes): number[] => [...data].flatMap((byte) => [byte >> 4, byte & 15]);

const isEmpty = (item: Item): boolean => item instanceof Uint8Array && item.length === 0;

const shape = (detail: string): Refused => new Refused("PROOF_NODE_SHAPE", detail);

function ended(remaining: Bytes[], value: Bytes | null): Bytes | null {
  if (remaining.length) throw new Refused("PROOF_LENGTH", `${remaining.length} proof nodes are left over`);
  return value;
}

/** The next proof node, which must be the one that `name` names. */
function named(name: Bytes, remaining: Bytes[]): Item[] {
  if (name.length !== 32) throw shape("a reference to a node is not 32 bytes");
  const encoded = remaining.shift();
  if (encoded === undefined) throw new Refused("PROOF_LENGTH", "the proof ends above the key");
  if (!same(keccak(encoded), name)) {
    throw new Refused("PROOF_NODE_HASH", "a proof node is not the one that its parent names");
  }
  const node = rlp.decode(encoded);
  if (!Array.isArray(node)) throw shape("a node must be a list");
  return node;
}

interface Step {
  below: Item;
  /** The path below; null where `below` is the value at the key. */
  rest: number[] | null;
}

/** One node further; null where the path leaves the trie. */
function descend(node: Item[], path: number[]): Step | null {
  if (node.length === 17) {
    if (path.length) return { below: node[path[0] as number] as Item, rest: path.slice(1) };
    const value = node[16] as Item;
    return isEmpty(value) ? null : { below: value, rest: null };
  }
  const [compact, below] = node;
  if (node.length !== 2 || !(compact instanceof Uint8Array) || !compact.length || below === undefined) {
    throw shape("a node has 17 items, or a path and a value");
  }
  const { part, leaf } = expand(compact);
  const matches = part.every((nibble, i) => path[i] === nibble);
  if (leaf) return matches && part.length === path.length ? { below, rest: null } : null;
  if (!part.length) throw shape("an extension without a path");
  return matches ? { below, rest: path.slice(part.length) } : null;
}

/** Hex-prefix encoding: the partial path, and whether it is a leaf's. */
function expand(compact: Bytes): { part: number[]; leaf: boolean } {
  const nibbles = nibblesOf(compact);
  const flag = nibbles[0] as number;
  const odd = (flag & 1) === 1;
  if (flag > 3 || (!odd && nibbles[1] !== 0)) throw shape("a path with unknown flags");
  return { part: nibbles.slice(odd ? 1 : 2), leaf: (flag & 2) === 2 };
}
