/** Document status: what the issuer said about a statement on the ledger, and which record decides. */

import * as abi from "./abi.ts";
import { hex, keccak } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import { RecordInvalid, Refused } from "./checklist.ts";
import { ownerships } from "./identity.ts";
import type { ProvenHistories } from "./state.ts";
import type { Statement } from "./statement.ts";

export interface StatusChange {
  status: "REVOKED" | "SUSPENDED" | "REINSTATED" | "SUPERSEDED";
  effective: bigint;
  recorded: bigint;
}

const KINDS = [null, "REVOKED", "SUSPENDED", "REINSTATED", "SUPERSEDED"] as const;

/** In the order of blocks: the records of each account, while it controlled the issuer's identity. */
export function statusChanges(statement: Statement, histories: ProvenHistories): StatusChange[] {
  const found = new Map<string, { block: bigint; record: Bytes }>();
  for (const { owner, first, last } of ownerships(statement.issuer, histories)) {
    const key = keccak(abi.encode(["address", "bytes32"], [owner, statement.id]));
    for (const item of histories.records("DocumentStatus", key)) {
      const within = first <= item.block && (last === null || item.block <= last);
      if (within) found.set(`${item.block} ${hex(item.record)}`, item);
    }
  }
  const items = [...found.values()].sort((a, b) => Number(a.block - b.block));
  return items.map(({ block, record }) => readChange(block, record));
}

function readChange(recorded: bigint, record: Bytes): StatusChange {
  const values = abi.decode(["uint8", "uint8", "uint64", "bytes32"], record);
  const [kind, , effective, successor] = values as [bigint, bigint, bigint, Bytes];
  const status = KINDS[Number(kind)];
  if (!status) throw new RecordInvalid(`unknown kind of status record: ${kind}`);
  if (successor.some((byte) => byte !== 0) !== (status === "SUPERSEDED")) {
    throw new RecordInvalid("a new statement id goes with a supersession, and only with one");
  }
  return { status, effective, recorded };
}

export const hasBegun = (change: StatusChange, at: bigint, knownAt: bigint): boolean =>
  change.recorded <= knownAt && change.effective <= at;

/** That the document is in force at `at`, by what was recorded by `knownAt`. */
export function requireActive(changes: StatusChange[], at: bigint, knownAt: bigint): void {
  const begun = changes.filter((change) => hasBegun(change, at, knownAt));
  const deciding =
    begun.find((change) => change.status === "REVOKED") ??
    begun.find((change) => change.status === "SUPERSEDED") ??
    begun.at(-1);
  if (deciding === undefined || deciding.status === "REINSTATED") return;
  const { status, effective, recorded } = deciding;
  const detail = `${status.toLowerCase()} since block ${effective} (recorded at block ${recorded})`;
  throw new Refused(`DOCUMENT_${status}`, detail);
}
