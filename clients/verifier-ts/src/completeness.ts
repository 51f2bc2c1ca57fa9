/** "These are all the events of this kind in this range": docs/formats/completeness.md. */

import { hex, same } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import * as cbor from "./cbor.ts";
import type { Cbor } from "./cbor.ts";
import { Checklist, need, Refused } from "./checklist.ts";
import type { Verdict } from "./checklist.ts";
import { readHeader } from "./header.ts";
import type { Header } from "./header.ts";
import { trustHeaders } from "./lineage.ts";
import { bloomAdmits, bloomBits, readReceipt, receiptsRoot } from "./receipts.ts";
import type { EventLog, Receipt } from "./receipts.ts";
import type { TrustRoots } from "./trust-roots.ts";

/** All logs of one contract with one first topic, in blocks `first` to `last`. */
export interface Question {
  contract: Bytes;
  topic: Bytes;
  first: bigint;
  last: bigint;
}

interface Proof {
  network: { chainId: bigint; genesis: Bytes; directory: Bytes };
  question: Question;
  headers: Bytes[];
  /** Receipts by block number, in ascending order. */
  blocks: [bigint, Bytes[]][];
}

/** One event with its place; byte strings in hexadecimal. */
export interface ProvenEvent {
  blockNumber: bigint;
  blockHash: string;
  time: bigint;
  transactionIndex: number;
  logIndex: number;
  receiptLogIndex: number;
  topics: string[];
  data: string;
}

export interface Answer extends Verdict {
  /** Empty unless the outcome is good: part of an answer is none. */
  events: ProvenEvent[];
}

const MAX_BYTES = 32 * 1024 * 1024;

/** Never throws for bad evidence. */
export async function verifyCompleteness(data: Bytes, roots: TrustRoots, asked: Question): Promise<Answer> {
  const checks = new Checklist();
  const proof = await checks.run("proof", () => readProof(data));
  await checks.run("network", () => checkNetwork(need(proof), roots));
  await checks.run("question", () => checkQuestion(need(proof).question, asked));
  const headers = await checks.run("blocks", () => readRange(need(proof), roots));
  const trust = await checks.run("headers", () => trustHeaders(need(headers), roots));
  const found = await checks.run("receipts", () => eventsOf(need(proof), need(headers)));
  await checks.run("events", () => void need(found));
  const assurance = trust?.assurance ?? "UNSPECIFIED";
  const outcome = checks.outcome(assurance);
  const last = headers?.find((header) => header.number === asked.last);
  const good = outcome === "PASS" || outcome === "PASS_DEVELOPMENT_ONLY";
  return {
    outcome,
    assurance,
    asOf: { number: last?.number ?? 0n, hash: last ? `0x${hex(last.hash)}` : "", time: last?.timestamp ?? 0n },
    checks: checks.checks,
    assumptions: [
      "The trust roots are right, and the contract asked for is at that address.",
      ...(trust?.assumptions ?? []),
      "Blooms of blocks without receipts here are right: nodes refuse blocks with wrong ones.",
    ],
    notices: [],
    events: good ? (found ?? []) : [],
  };
}

function checkNetwork({ network }: Proof, roots: TrustRoots): void {
  const trusted =
    network.chainId === roots.chainId &&
    same(network.genesis, roots.genesisHash) &&
    same(network.directory, roots.directory);
  if (!trusted) throw new Refused("NETWORK_MISMATCH", "the proof is about another ledger");
}

function checkQuestion(given: Question, asked: Question): void {
  if (!same(given.contract, asked.contract)) throw new Refused("OTHER_CONTRACT", `about 0x${hex(given.contract)}`);
  if (!same(given.topic, asked.topic)) throw new Refused("OTHER_EVENT", `about events 0x${hex(given.topic)}`);
  if (given.first !== asked.first || given.last !== asked.last) {
    throw new Refused("OTHER_RANGE", `about blocks ${given.first} to ${given.last}`);
  }
}

function readRange({ headers, question }: Proof, roots: TrustRoots): Header[] {
  const all = headers.map((raw) => readHeader(raw, roots.engine));
  const numbers = all.map((header) => header.number).filter((n) => n >= question.first && n <= question.last);
  const gap = numbers.findIndex((number, index) => number !== question.first + BigInt(index));
  const good = gap === -1 ? BigInt(numbers.length) : BigInt(gap);
  if (question.first + good <= question.last) {
    throw new Refused("RANGE_BLOCK_MISSING", `block ${question.first + good} is missing, or not in its place`);
  }
  return all;
}

async function eventsOf({ question, blocks }: Proof, headers: Header[]): Promise<ProvenEvent[]> {
  const given = new Map(blocks);
  const found: ProvenEvent[] = [];
  for (const header of headers) {
    if (header.number < question.first || header.number > question.last) continue;
    const values = given.get(header.number);
    given.delete(header.number);
    const admits = bloomAdmits(header.logsBloom, question.contract) && bloomAdmits(header.logsBloom, question.topic);
    if (admits && values === undefined) {
      throw new Refused("RECEIPTS_MISSING", `the bloom of block ${header.number} admits such an event`);
    }
    if (values === undefined) continue;
    if (!admits) throw new Refused("RECEIPTS_NOT_NEEDED", `the bloom of block ${header.number} rules it out`);
    found.push(...matching(header, await verifiedReceipts(values, header), question));
  }
  for (const number of given.keys()) throw new Refused("RECEIPTS_NOT_NEEDED", `block ${number} is not in the range`);
  return found;
}

/** All receipts of a block: they rebuild the header's receipts root and bloom. */
async function verifiedReceipts(values: Bytes[], header: Header): Promise<Receipt[]> {
  const receipts = values.map(readReceipt);
  const union = receipts.reduce((bits, receipt) => bits | bloomBits(receipt.bloom), 0n);
  const claimed = bloomBits(header.logsBloom);
  if (!same(await receiptsRoot(values), header.receiptsRoot)) {
    const gas = receipts.reduce((most, { cumulativeGas }) => (cumulativeGas > most ? cumulativeGas : most), 0n);
    const lacking = (claimed | union) !== union || gas < header.gasUsed;
    const detail = `the receipts of block ${header.number} are not those of its header`;
    throw new Refused(lacking ? "RECEIPTS_LEFT_OUT" : "RECEIPTS_ROOT", detail);
  }
  if (union !== claimed) throw new Refused("RECEIPTS_BLOOM", `block ${header.number} has another bloom`);
  return receipts;
}

function matching(header: Header, receipts: Receipt[], question: Question): ProvenEvent[] {
  const wanted = (log: EventLog): boolean =>
    same(log.address, question.contract) && log.topics[0] !== undefined && same(log.topics[0], question.topic);
  const placed = receipts.flatMap(({ logs }, transactionIndex) =>
    logs.map((log, receiptLogIndex) => ({ log, transactionIndex, receiptLogIndex })),
  );
  return placed.flatMap(({ log, transactionIndex, receiptLogIndex }, logIndex) => {
    if (!wanted(log)) return [];
    const place = { transactionIndex, logIndex, receiptLogIndex };
    const block = { blockNumber: header.number, blockHash: `0x${hex(header.hash)}`, time: header.timestamp };
    return [{ ...block, ...place, topics: log.topics.map((topic) => `0x${hex(topic)}`), data: `0x${hex(log.data)}` }];
  });
}

function readProof(data: Bytes): Proof {
  if (data.length > MAX_BYTES) throw malformed(`${data.length} bytes`);
  let value: Cbor;
  try {
    value = cbor.read(data);
  } catch (error) {
    if (!(error instanceof cbor.CborMalformed)) throw error;
    throw malformed(error.message);
  }
  const fields = map(value, 5);
  if (fields.get(1) !== 1) throw malformed("not of version 1");
  const network = map(fields.get(2), 3);
  const blocks = list(fields.get(5)).map(readBlock);
  if (blocks.some(([number], index) => index > 0 && number <= (blocks[index - 1] as [bigint, Bytes[]])[0])) {
    throw malformed("blocks must ascend, none twice");
  }
  return {
    network: {
      chainId: uint(network.get(1)),
      genesis: octets(network.get(2), 32),
      directory: octets(network.get(3), 20),
    },
    question: readQuestion(fields.get(3)),
    headers: list(fields.get(4)).map((item) => octets(item)),
    blocks,
  };
}

function readQuestion(value: Cbor | undefined): Question {
  const fields = map(value, 4);
  const [first, last] = [uint(fields.get(3)), uint(fields.get(4))];
  if (first < 1n || last < first) throw malformed("the range is empty, or holds the genesis block");
  return { contract: octets(fields.get(1), 20), topic: octets(fields.get(2), 32), first, last };
}

function readBlock(value: Cbor): [bigint, Bytes[]] {
  const parts = list(value);
  if (parts.length !== 2) throw malformed("a block is [number, receipts]");
  return [uint(parts[0]), list(parts[1]).map((item) => octets(item))];
}

function malformed(detail: string): Refused {
  return new Refused("PROOF_MALFORMED", detail);
}

function map(value: Cbor | undefined, size: number): Map<number, Cbor> {
  const keys = Array.from({ length: size }, (_, index) => index + 1);
  const fields = cbor.map(value, keys);
  if (fields === null) throw malformed(`a map must have the keys 1 to ${size}`);
  return fields;
}

function list(value: Cbor | undefined): Cbor[] {
  if (!Array.isArray(value)) throw malformed("an array is missing");
  return value;
}

function octets(value: Cbor | undefined, size?: number): Bytes {
  const data = cbor.bytes(value, size);
  if (data === null) throw malformed("a byte string is missing, or of another length");
  return data;
}

function uint(value: Cbor | undefined): bigint {
  const number = cbor.uint(value);
  if (number === null) throw malformed("an unsigned 64-bit integer is missing");
  return number;
}
