/** The anchor event: a log of the LogAnchor contract, in a receipt that the registration block's header names. */

import * as abi from "./abi.ts";
import { ascii, concat, keccak, minimal, same } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import type { Bundle } from "./bundle.ts";
import { RecordInvalid, Refused } from "./checklist.ts";
import { readReceipt } from "./receipts.ts";
import type { EventLog } from "./receipts.ts";
import * as rlp from "./rlp.ts";
import { EMPTY_ROOT, provenValue } from "./trie.ts";

const ANCHORED = keccak(ascii("Anchored(bytes32,uint64,bytes32,uint64,bytes32)"));

export interface Anchor {
  originId: Bytes;
  size: bigint;
  root: Bytes;
  previousSize: bigint;
}

export async function verifyAnchor(section: Bundle["anchor"], root: Bytes, logAnchor: Bytes): Promise<Anchor> {
  if (same(root, EMPTY_ROOT)) throw new Refused("PROOF_EMPTY_ROOT", "the block has no receipts");
  const value = await provenValue(root, rlp.encode(minimal(section.transaction)), section.proof);
  if (value === null) throw new Refused("PROOF_ABSENT", `the block has no transaction ${section.transaction}`);
  const { logs } = readReceipt(value);
  if (section.log >= BigInt(logs.length)) throw new Refused("ANCHOR_LOG_INDEX", `no log at ${section.log}`);
  return readAnchored(logs[Number(section.log)] as EventLog, logAnchor);
}

function readAnchored(log: EventLog, logAnchor: Bytes): Anchor {
  const topics = concat(...log.topics);
  if (!same(log.address, logAnchor) || topics.length !== 64 || !same(topics.slice(0, 32), ANCHORED)) {
    throw new Refused("ANCHOR_EVENT", "the log is no anchor event of the LogAnchor contract");
  }
  try {
    const values = abi.decode(["uint64", "bytes32", "uint64", "bytes32"], log.data);
    const [size, root, previousSize] = values as [bigint, Bytes, bigint, Bytes];
    return { originId: topics.slice(32), size, root, previousSize };
  } catch (error) {
    if (!(error instanceof RecordInvalid)) throw error;
    throw new Refused("ANCHOR_EVENT", "the event's data are malformed");
  }
}
