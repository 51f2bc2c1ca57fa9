/** The issuer's identity and key at a block (docs/formats/identity.md). */

import * as abi from "./abi.ts";
import type { Recorded } from "./bundle.ts";
import { concat, hex, same } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import { RecordInvalid, Refused } from "./checklist.ts";
import type { Header } from "./header.ts";
import { addressOf, ES256K, fromMulticodec, verifies } from "./keys.ts";
import type { PublicKey } from "./keys.ts";
import type { ProvenHistories } from "./state.ts";
import type { Did, Statement } from "./statement.ts";

const KEY_NAMES = ["did/pub/Multikey/veriKey", "did/pub/Multikey/sigAuth"];
const ZERO = new Uint8Array(20);

interface KeyEntry {
  fragment: string;
  value: Bytes;
  validTo: bigint;
}

export interface Identity {
  /** Zero: deactivated for ever. */
  owner: Bytes;
  /** By the bytes of the key: setting a key again moves it to the new fragment. */
  keys: Map<string, KeyEntry>;
}

export function identityRecords(did: Did, histories: ProvenHistories): Recorded[] {
  return histories.records("IdentityRegistry", concat(new Uint8Array(12), did.address));
}

/** The identity after `records`. Numbers of fragments never go back. */
function foldIdentity(did: Did, records: Recorded[]): Identity {
  const state: Identity = { owner: did.address, keys: new Map() };
  let count = 0;
  for (const { record } of records) {
    const kind = abi.kindOf(record);
    if (same(state.owner, ZERO)) throw new RecordInvalid("a record after deactivation");
    if (kind === 1) {
      state.owner = readOwner(record);
      state.keys.clear();
    } else if (kind === 2) {
      abi.decode(["uint8", "bytes32", "address", "uint64"], record);
      count += 1;
    } else if (kind === 3) {
      const values = abi.decode(["uint8", "bytes32", "bytes", "uint64"], record);
      const [, name, value, validTo] = values as [bigint, Bytes, Bytes, bigint];
      const text = Buffer.from(name).toString("latin1").replace(/\0+$/, "");
      if (text.startsWith("did/pub/")) count += 1;
      if (KEY_NAMES.includes(text)) state.keys.set(hex(value), { fragment: `delegate-${count}`, value, validTo });
    } else {
      throw new RecordInvalid(`unknown kind of identity record: ${kind}`);
    }
  }
  return state;
}

const readOwner = (record: Bytes): Bytes => abi.decode(["uint8", "address"], record)[1] as Bytes;

/** The key that the statement names, as the identity had it at the end of the block of `header`. */
export function issuerKey(statement: Statement, histories: ProvenHistories, header: Header): PublicKey {
  const records = identityRecords(statement.issuer, histories).filter((item) => item.block <= header.number);
  const identity = foldIdentity(statement.issuer, records);
  if (same(identity.owner, ZERO)) {
    throw new Refused("ISSUER_DEACTIVATED", `${statement.issuer.text} was deactivated by block ${header.number}`);
  }
  const { controllerKey } = statement;
  const key = controllerKey === null ? delegateKey(identity, statement.fragment, header.timestamp) : null;
  if (controllerKey !== null && same(addressOf(controllerKey), identity.owner)) {
    return { suite: ES256K, key: controllerKey };
  }
  if (key !== null) return key;
  const name = `${statement.issuer.text}#${statement.fragment}`;
  throw new Refused("ISSUER_KEY_NOT_IN_FORCE", `the key under ${name} was not the issuer's at block ${header.number}`);
}

function delegateKey(identity: Identity, fragment: string, time: bigint): PublicKey | null {
  const entry = [...identity.keys.values()].find((key) => key.fragment === fragment && key.validTo > time);
  return entry === undefined ? null : fromMulticodec(entry.value);
}

export function verifyStatement(statement: Statement, key: PublicKey): void {
  if (key.suite !== statement.suite || !verifies(key, statement.signed, statement.signature)) {
    throw new Refused("STATEMENT_SIGNATURE", "the statement is not signed by that key");
  }
}

export interface Ownership {
  owner: Bytes;
  first: bigint;
  /** Inclusive; null: still. */
  last: bigint | null;
}

/** Who controlled the identity when. In the block of a change both did. */
export function ownerships(did: Did, histories: ProvenHistories): Ownership[] {
  const spans: Ownership[] = [{ owner: did.address, first: 0n, last: null }];
  for (const { block, record } of identityRecords(did, histories)) {
    if (abi.kindOf(record) !== 1) continue;
    (spans.at(-1) as Ownership).last = block;
    spans.push({ owner: readOwner(record), first: block, last: null });
  }
  return spans.filter((span) => !same(span.owner, ZERO));
}
