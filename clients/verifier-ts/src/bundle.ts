/** The evidence bundle (docs/formats/evidence.md), read strictly. Reading is not verifying. */

import { ascii, compare } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import * as cbor from "./cbor.ts";
import type { Cbor } from "./cbor.ts";
import { Refused } from "./checklist.ts";

export type ContractName = "LogAnchor" | "IdentityRegistry" | "TrustRegistry" | "DocumentStatus";

/** By their numbers in a bundle, from 1. */
export const CONTRACTS: ContractName[] = ["LogAnchor", "IdentityRegistry", "TrustRegistry", "DocumentStatus"];

/** One appended record and the block that recorded it. */
export interface Recorded {
  block: bigint;
  record: Bytes;
}

export interface History {
  key: Bytes;
  records: Recorded[];
  proof: Bytes[];
}

export interface ContractState {
  contract: ContractName;
  proof: Bytes[];
  histories: History[];
}

/** That a document is one of the manifest which is the statement. */
export interface DocumentProof {
  leaf: Bytes;
  index: bigint;
  path: Bytes[];
}

export interface LogSection {
  checkpoint: Bytes;
  receipt: Bytes;
  consistency: Bytes[] | null;
  /** Verifier keys of the witnesses whose lines follow the log's in the checkpoint. */
  cosigners: string[];
}

export interface Bundle {
  /** A signed statement or a manifest. */
  statement: Bytes;
  log: LogSection;
  anchor: { block: bigint; transaction: bigint; log: bigint; proof: Bytes[] };
  headers: Bytes[];
  network: { chainId: bigint; genesis: Bytes; directory: Bytes };
  states: ContractState[];
  /** Exactly with a manifest. */
  document: DocumentProof | null;
  promise: Bytes | null;
}

const MAX_BYTES = 32 * 1024 * 1024;

export function readBundle(data: Bytes): Bundle {
  if (data.length > MAX_BYTES) throw new Refused("BUNDLE_TOO_LARGE", `${data.length} bytes`);
  let value: Cbor;
  try {
    value = cbor.read(data);
  } catch (error) {
    if (!(error instanceof cbor.CborMalformed)) throw error;
    throw malformed(error.message);
  }
  const version = value instanceof Map ? value.get(1) : undefined;
  if (value instanceof Map && version !== 1 && version !== 2) {
    throw new Refused("BUNDLE_VERSION", "the bundle is of none of the versions 1 and 2");
  }
  const fields = map(value, "bundle", [1, 2, 3, 4, 5, 6, 7], [8, 9]);
  const bundle: Bundle = {
    statement: octets(fields.get(2), "statement"),
    log: readLog(fields.get(3)),
    anchor: readAnchor(fields.get(4)),
    headers: strings(fields.get(5), "headers", 2),
    network: readNetwork(fields.get(6)),
    states: ascending(list(fields.get(7), "states").map(readState), stateOrder, "states"),
    document: fields.has(8) ? readDocument(fields.get(8)) : null,
    promise: fields.has(9) ? octets(fields.get(9), "promise") : null,
  };
  const plain = bundle.document === null && bundle.promise === null && !bundle.log.cosigners.length;
  if (version !== (plain ? 1 : 2)) throw malformed("what is in it belongs into the other version");
  return bundle;
}

function readDocument(value: Cbor | undefined): DocumentProof {
  const fields = map(value, "document", [1, 2, 3]);
  return {
    leaf: octets(fields.get(1), "leaf"),
    index: uint(fields.get(2), "document index"),
    path: strings(fields.get(3), "document path", 0, 32),
  };
}

function readLog(value: Cbor | undefined): LogSection {
  const fields = map(value, "log", [1, 2], [3, 4]);
  return {
    checkpoint: octets(fields.get(1), "checkpoint"),
    receipt: octets(fields.get(2), "receipt"),
    consistency: fields.has(3) ? strings(fields.get(3), "consistency", 0, 32) : null,
    cosigners: fields.has(4) ? readCosigners(fields.get(4)) : [],
  };
}

function readCosigners(value: Cbor | undefined): string[] {
  const cosigners = list(value, "cosigners", 1).map((item) => {
    if (typeof item !== "string") throw malformed("a cosigner must be text");
    return item;
  });
  return ascending(cosigners, (a, b) => compare(ascii(a), ascii(b)), "cosigners");
}

function readAnchor(value: Cbor | undefined): Bundle["anchor"] {
  const fields = map(value, "anchor", [1, 2, 3, 4]);
  return {
    block: uint(fields.get(1), "anchor block"),
    transaction: uint(fields.get(2), "transaction index"),
    log: uint(fields.get(3), "log index"),
    proof: strings(fields.get(4), "receipt proof"),
  };
}

function readNetwork(value: Cbor | undefined): Bundle["network"] {
  const fields = map(value, "network", [1, 2, 3]);
  return {
    chainId: uint(fields.get(1), "chain id"),
    genesis: octets(fields.get(2), "genesis hash", 32),
    directory: octets(fields.get(3), "directory", 20),
  };
}

function readState(value: Cbor): ContractState {
  const fields = map(value, "state", [1, 2, 3]);
  const contract = CONTRACTS[Number(uint(fields.get(1), "contract")) - 1];
  if (contract === undefined) throw malformed("no contract has this number");
  const histories = list(fields.get(3), "histories", 1).map(readHistory);
  return {
    contract,
    proof: strings(fields.get(2), "account proof", 1),
    histories: ascending(histories, (a, b) => compare(a.key, b.key), "histories"),
  };
}

function readHistory(value: Cbor): History {
  const fields = map(value, "history", [1, 2, 3]);
  return {
    key: octets(fields.get(1), "history key", 32),
    records: list(fields.get(2), "records").map(readRecord),
    proof: strings(fields.get(3), "storage proof"),
  };
}

function readRecord(value: Cbor): Recorded {
  const parts = list(value, "record");
  if (parts.length !== 2) throw malformed("a record is [block number, bytes]");
  return { block: uint(parts[0], "a record's block"), record: octets(parts[1], "record") };
}

const stateOrder = (a: ContractState, b: ContractState): number =>
  CONTRACTS.indexOf(a.contract) - CONTRACTS.indexOf(b.contract);

function ascending<T>(items: T[], order: (a: T, b: T) => number, what: string): T[] {
  const inOrder = items.every((item, i) => i === 0 || order(items[i - 1] as T, item) < 0);
  if (!inOrder) throw malformed(`${what} must ascend, none twice`);
  return items;
}

function malformed(detail: string): Refused {
  return new Refused("BUNDLE_MALFORMED", detail);
}

function map(value: Cbor | undefined, what: string, keys: number[], optional: number[] = []): Map<number, Cbor> {
  const fields = cbor.map(value, keys, optional);
  if (fields === null) throw malformed(`${what} must be a map with the keys ${keys.join(", ")}`);
  return fields;
}

function list(value: Cbor | undefined, what: string, atLeast = 0): Cbor[] {
  if (!Array.isArray(value) || value.length < atLeast) throw malformed(`${what} must be an array`);
  return value;
}

function uint(value: Cbor | undefined, what: string): bigint {
  const number = cbor.uint(value);
  if (number === null) throw malformed(`${what} must be an unsigned 64-bit integer`);
  return number;
}

function octets(value: Cbor | undefined, what: string, size?: number): Bytes {
  const data = cbor.bytes(value, size);
  if (data === null) throw malformed(`${what} must be a byte string${size ? ` of ${size} bytes` : ""}`);
  return data;
}

function strings(value: Cbor | undefined, what: string, atLeast = 0, size?: number): Bytes[] {
  return list(value, what, atLeast).map((item) => octets(item, what, size));
}
