/** Whether an issuer was authorised for a document type and a relying country (docs/formats/accreditation.md). */

import * as abi from "./abi.ts";
import type { AbiType, AbiValue } from "./abi.ts";
import type { Recorded } from "./bundle.ts";
import { ascii, hex, keccak, same } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import { RecordInvalid, Refused } from "./checklist.ts";
import type { ProvenHistories } from "./state.ts";
import type { Statement } from "./statement.ts";

const MAX_CHAIN = 4;

interface Question {
  histories: ProvenHistories;
  documentType: Bytes;
  relying: string;
  at: bigint;
  knownAt: bigint;
}

interface Grant {
  id: Bytes;
  country: string;
  level: bigint;
  from: bigint;
  until: bigint;
  parent: Bytes;
  by: Bytes;
}

/** One accreditation of the issuer, followed up and across the border: its lines, "" where one holds. */
type Lines = string[];

/** The first accreditation for which every line holds suffices; else the one that came furthest explains. */
export function requireAuthority(
  statement: Statement,
  histories: ProvenHistories,
  relying: string,
  at: bigint,
  knownAt: bigint,
): void {
  const documentType = padded(statement.documentType, 8);
  const question = { histories, documentType, relying, at, knownAt };
  const refuse = (reason: string): never => {
    const who = `0x${hex(statement.issuer.address)} was not authorised for ${statement.documentType} in ${relying}`;
    throw new Refused(reason, `at block ${at}, ${who}: ${reason}`);
  };
  const unknown = countryLine(question, relying);
  if (unknown) refuse(unknown);
  const candidates = grantsOf(question, statement.issuer.address).map((grant) => follow(question, grant));
  if (!candidates.length) refuse("NOT_ACCREDITED");
  if (candidates.some((lines) => lines.every((line) => line === ""))) return;
  const [furthest] = candidates.sort((a, b) => progress(b) - progress(a));
  refuse((furthest as Lines).find((line) => line !== "") as string);
}

function progress(lines: Lines): number {
  // A recognition that asks for a higher level came further than none.
  return lines.findIndex((line) => line !== "") + (lines.at(-1) === "LEVEL_TOO_LOW" ? 1 : 0);
}

function follow(question: Question, grant: Grant): Lines {
  const lines: Lines = [];
  let current: Grant | undefined = grant;
  for (let links = 1; current !== undefined; links++) {
    lines.push(grantLine(question, current, links > 1 ? "PARENT_" : ""));
    const { parent, by }: Grant = current;
    if (parent.every((byte) => byte === 0)) break;
    if (links === MAX_CHAIN) {
      lines.push("CHAIN_TOO_LONG");
      break;
    }
    current = grantsOf(question, by).find((candidate) => same(candidate.id, parent));
    if (current === undefined) lines.push("PARENT_UNKNOWN");
  }
  lines.push(countryLine(question, grant.country));
  if (question.relying !== grant.country) lines.push(recognitionLine(question, grant));
  return lines;
}

// Each line gives the reason why it does not hold, or "".

function countryLine({ histories, at, knownAt }: Question, country: string): string {
  const key = keyOf("country", ["bytes2"], [padded(country, 2)]);
  const items = visible(histories.records("TrustRegistry", key), at < knownAt ? at : knownAt);
  for (const item of items) readCountry(read(item, 1, ["uint8", "bytes2", "address"])[1]);
  return items.length ? "" : "COUNTRY_UNKNOWN";
}

function grantLine(question: Question, grant: Grant, prefix: string): string {
  const { histories, at, knownAt } = question;
  if (at < grant.from) return `${prefix}ACCREDITATION_NOT_YET_IN_FORCE`;
  if (grant.until && at >= grant.until) return `${prefix}ACCREDITATION_EXPIRED`;
  const records = histories.records("TrustRegistry", keyOf("status", ["bytes32"], [grant.id]));
  const begun = visible(records, knownAt)
    .map((item) => readGrantStatus(item, grant.id))
    .filter((change) => change.effective <= at);
  const deciding = begun.find((change) => change.status === "REVOKED") ?? begun.at(-1);
  const active = deciding === undefined || deciding.status === "ACTIVE";
  return active ? "" : `${prefix}ACCREDITATION_${deciding.status}`;
}

function recognitionLine({ histories, documentType, relying, at, knownAt }: Question, grant: Grant): string {
  const parties = [padded(relying, 2), padded(grant.country, 2), documentType];
  const key = keyOf("recognition", ["bytes2", "bytes2", "bytes8"], parties);
  const begun = visible(histories.records("TrustRegistry", key), knownAt)
    .map(readRecognition)
    .filter((recognition) => recognition.from <= at);
  const deciding = begun.at(-1);
  if (deciding === undefined || deciding.withdrawn) return "NOT_RECOGNISED";
  if (deciding.until && at >= deciding.until) return "NOT_RECOGNISED";
  return grant.level < deciding.minLevel ? "LEVEL_TOO_LOW" : "";
}

function grantsOf({ histories, documentType, knownAt }: Question, issuer: Bytes): Grant[] {
  const key = keyOf("accreditation", ["address", "bytes8"], [issuer, documentType]);
  return visible(histories.records("TrustRegistry", key), knownAt).map(readGrant);
}

function readGrant(item: Recorded): Grant {
  const types: AbiType[] = ["uint8", "bytes32", "address", "bytes2", "bytes8", "uint8", "uint64", "uint64"];
  const values = read(item, 2, [...types, "bytes32", "bool", "address"]);
  readDocumentType(values[4]);
  return {
    id: values[1] as Bytes,
    country: readCountry(values[3]),
    level: readLevel(values[5]),
    from: values[6] as bigint,
    until: values[7] as bigint,
    parent: values[8] as Bytes,
    by: values[10] as Bytes,
  };
}

function readGrantStatus(item: Recorded, id: Bytes): { status: string; effective: bigint } {
  const values = read(item, 3, ["uint8", "bytes32", "uint8", "uint64", "uint8", "address"]);
  const status = [null, "ACTIVE", "SUSPENDED", "REVOKED"][Number(values[2])];
  if (!status) throw new RecordInvalid(`unknown accreditation status ${values[2]}`);
  if (!same(values[1] as Bytes, id)) throw new RecordInvalid("a status record of another accreditation");
  return { status, effective: values[3] as bigint };
}

interface Recognition {
  withdrawn: boolean;
  from: bigint;
  until: bigint;
  minLevel: bigint;
}

function readRecognition(item: Recorded): Recognition {
  const parties: AbiType[] = ["uint8", "bytes2", "bytes2", "bytes8"];
  const withdrawn = abi.kindOf(item.record) === 5;
  const values = withdrawn
    ? read(item, 5, [...parties, "uint64", "address"])
    : read(item, 4, [...parties, "uint8", "uint64", "uint64", "address"]);
  readCountry(values[1]);
  readCountry(values[2]);
  readDocumentType(values[3]);
  if (withdrawn) return { withdrawn, from: values[4] as bigint, until: 0n, minLevel: 0n };
  return { withdrawn, from: values[5] as bigint, until: values[6] as bigint, minLevel: readLevel(values[4]) };
}

const visible = (records: Recorded[], knownAt: bigint): Recorded[] => records.filter((item) => item.block <= knownAt);

function keyOf(kind: string, types: AbiType[], values: AbiValue[]): Bytes {
  return keccak(abi.encode(["bytes", ...types], [abi.literal(kind), ...values]));
}

function padded(text: string, size: number): Bytes {
  const data = new Uint8Array(size);
  data.set(ascii(text));
  return data;
}

function read(item: Recorded, kind: number, types: AbiType[]): AbiValue[] {
  if (abi.kindOf(item.record) !== kind) throw new RecordInvalid(`another kind of record where ${kind} belongs`);
  return abi.decode(types, item.record);
}

function readCountry(value: AbiValue | undefined): string {
  const text = Buffer.from(value as Bytes).toString("latin1");
  if (!/^[A-Z]{2}$/.test(text)) throw new RecordInvalid("a country is not two upper-case letters");
  return text;
}

function readDocumentType(value: AbiValue | undefined): void {
  const text = Buffer.from(value as Bytes).toString("latin1");
  if (!/^[A-Za-z0-9]{1,8}\0*$/.test(text)) throw new RecordInvalid("a document type is not 1 to 8 letters or digits");
}

function readLevel(value: AbiValue | undefined): bigint {
  const level = value as bigint;
  if (level < 1n || level > 3n) throw new RecordInvalid("a level is 1, 2 or 3");
  return level;
}
