/** What the verifier believes without proof (docs/formats/trust-roots.md): a closed JSON object. */

import { CONTRACTS } from "./bundle.ts";
import { fromHex, hex, toInt } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import type { Engine } from "./header.ts";
import { readWitnessKey } from "./note.ts";

/** An array of addresses at a storage slot of a contract with known code. */
export interface ValidatorContract {
  address: Bytes;
  codeHash: Bytes;
  slot: bigint;
}

export interface TrustRoots {
  chainId: bigint;
  genesisHash: Bytes;
  engine: Engine;
  /** Blocks; 0 on an engine without seals. */
  epochLength: bigint;
  /** Block number: the validators (hexadecimal) from that block on. */
  transitions: Map<bigint, Set<string>>;
  /** Where the validators stand in contract mode; null in header mode. */
  validatorContract: ValidatorContract | null;
  directory: Bytes;
  contracts: Map<string, Bytes>;
  pinnedBlocks: Map<bigint, Bytes>;
  relyingCountry: string | null;
  log: { origin: string; verifierKey: string } | null;
  /** Witnesses, and how many of them must have cosigned the checkpoint. */
  witnesses: { verifierKeys: string[]; threshold: bigint } | null;
}

/** The trust roots are not of the documented form. Nothing can be verified with them. */
export class TrustRootsInvalid extends Error {}

/** Integers are bigints: a number written with a fraction or an exponent is none. */
type Json = string | boolean | null | bigint | number | Json[] | { [name: string]: Json };

/** Decimal without leading zeros. */
const NATURAL = /^(0|[1-9][0-9]*)$/;

/** A checkpoint has at most 64 signature lines, one of them the log's. */
const MAX_WITNESSES = 63;

const KEYS = ["format", "chainId", "genesisHash", "engine", "directory", "contracts", "pinnedBlocks"];

export function readTrustRoots(text: string): TrustRoots {
  const fields = object(parse(text), "trust roots", KEYS, ["relyingCountry", "log", "witnesses"]);
  if (fields["format"] !== "silkledger-trust-roots/1") throw new TrustRootsInvalid("another format");
  const contracts = entries(fields["contracts"], "contracts", (name) => name, (value) => octets(value, 20));
  const lacking = CONTRACTS.filter((name) => !contracts.has(name));
  if (lacking.length) throw new TrustRootsInvalid(`contracts lacks ${lacking.join(", ")}`);
  const country = fields["relyingCountry"];
  return {
    chainId: uint(fields["chainId"], "chainId"),
    genesisHash: octets(fields["genesisHash"], 32),
    ...readEngine(fields["engine"]),
    directory: octets(fields["directory"], 20),
    contracts,
    pinnedBlocks: entries(fields["pinnedBlocks"], "pinnedBlocks", blockNumber, (value) => octets(value, 32)),
    relyingCountry: country === undefined ? null : readCountry(textOf(country, "relyingCountry")),
    log: "log" in fields ? readLog(fields["log"]) : null,
    witnesses: "witnesses" in fields ? readWitnesses(fields["witnesses"]) : null,
  };
}

export function readCountry(text: string): string {
  if (!/^[A-Z]{2}$/.test(text)) throw new TrustRootsInvalid("a country is two upper-case letters");
  return text;
}

function readLog(value: Json | undefined): TrustRoots["log"] {
  const fields = object(value, "log", ["origin", "verifierKey"]);
  return { origin: textOf(fields["origin"], "origin"), verifierKey: textOf(fields["verifierKey"], "verifierKey") };
}

function readWitnesses(value: Json | undefined): TrustRoots["witnesses"] {
  const fields = object(value, "witnesses", ["verifierKeys", "threshold"]);
  const listed = fields["verifierKeys"];
  const verifierKeys = Array.isArray(listed) ? listed.map((item) => textOf(item, "a verifier key")) : [];
  const threshold = uint(fields["threshold"], "threshold");
  const keys = verifierKeys.map(readWitnessKey);
  const fits = 0n < threshold && threshold <= keys.length && keys.length <= MAX_WITNESSES;
  if (!fits) throw new TrustRootsInvalid("witnesses must be several, and the threshold 1 to their number");
  const names = new Set(keys.map((key) => key?.name));
  const publicKeys = new Set(keys.map((key) => key && hex(key.key)));
  if (keys.includes(null) || names.size !== keys.length || publicKeys.size !== keys.length) {
    throw new TrustRootsInvalid("witnesses must be different, each a verifier key of type 4");
  }
  return { verifierKeys, threshold };
}

type EngineRules = Pick<TrustRoots, "engine" | "epochLength" | "transitions" | "validatorContract">;

function readEngine(value: Json | undefined): EngineRules {
  const none = { epochLength: 0n, transitions: new Map<bigint, Set<string>>(), validatorContract: null };
  const kind = object(value, "engine", null)["kind"];
  if (kind === "no-seals") {
    object(value, "engine", ["kind"]);
    return { ...none, engine: kind };
  }
  if (kind !== "qbft") throw new TrustRootsInvalid("engine.kind must be no-seals or qbft");
  if ("validatorContract" in object(value, "engine", null)) {
    const { validatorContract } = object(value, "engine", ["kind", "validatorContract"]);
    return { ...none, engine: kind, validatorContract: readValidatorContract(validatorContract) };
  }
  const fields = object(value, "engine", ["kind", "epochLength", "transitions"]);
  const epochLength = uint(fields["epochLength"], "epochLength");
  if (epochLength === 0n) throw new TrustRootsInvalid("epochLength must be positive");
  const transitions = entries(fields["transitions"], "transitions", blockNumber, (members) => {
    if (!Array.isArray(members) || !members.length) throw new TrustRootsInvalid("a transition names validators");
    return new Set(members.map((member) => hex(octets(member, 20))));
  });
  return { ...none, engine: kind, epochLength, transitions };
}

function readValidatorContract(value: Json | undefined): ValidatorContract {
  const fields = object(value, "validatorContract", ["address", "codeHash", "slot"]);
  return {
    address: octets(fields["address"], 20),
    codeHash: octets(fields["codeHash"], 32),
    slot: toInt(octets(fields["slot"], 32)),
  };
}

function parse(text: string): Json {
  // The reviver is given the source of each number, so that 1.0 is not taken for an integer.
  const revive = (_: string, value: Json, context?: { source?: string }): Json => {
    const source = context?.source ?? "";
    return typeof value === "number" && NATURAL.test(source) ? BigInt(source) : value;
  };
  let value: Json;
  try {
    value = JSON.parse(text, revive as (this: unknown, key: string, value: unknown) => unknown) as Json;
  } catch (error) {
    throw new TrustRootsInvalid(`not JSON: ${(error as Error).message}`);
  }
  refuseRepeatedNames(text);
  return value;
}

/** JSON.parse keeps the last of two equal names. `text` is known to be JSON. */
function refuseRepeatedNames(text: string): void {
  const open: Set<string>[] = [];
  for (const [token, string, colon] of text.matchAll(/("(?:[^"\\]|\\.)*")(\s*:)?|[{}]/g)) {
    if (token === "{") open.push(new Set());
    else if (token === "}") open.pop();
    else if (colon !== undefined) {
      const name = JSON.parse(string as string) as string;
      if (open.at(-1)?.has(name)) throw new TrustRootsInvalid("a name stands twice in one object");
      open.at(-1)?.add(name);
    }
  }
}

type Fields = Record<string, Json>;

/** An object with exactly `keys`, and at most `optional` besides; with any names where `keys` is null. */
function object(value: Json | undefined, what: string, keys: string[] | null, optional: string[] = []): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TrustRootsInvalid(`${what} must be an object`);
  }
  if (keys === null) return value;
  const names = Object.keys(value);
  const known = [...keys, ...optional];
  if (!keys.every((key) => names.includes(key)) || !names.every((name) => known.includes(name))) {
    throw new TrustRootsInvalid(`${what} must have exactly the names ${keys.join(", ")}`);
  }
  return value;
}

function entries<K, V>(
  value: Json | undefined,
  what: string,
  key: (name: string) => K,
  item: (value: Json) => V,
): Map<K, V> {
  return new Map(Object.entries(object(value, what, null)).map(([name, entry]) => [key(name), item(entry)]));
}

function textOf(value: Json | undefined, what: string): string {
  if (typeof value !== "string") throw new TrustRootsInvalid(`${what} must be a string`);
  return value;
}

function octets(value: Json | undefined, size: number): Bytes {
  const data = typeof value === "string" ? fromHex(value, size) : null;
  if (data === null) throw new TrustRootsInvalid(`must be 0x and ${size} bytes in hexadecimal`);
  return data;
}

function uint(value: Json | undefined, what: string): bigint {
  if (typeof value !== "bigint") throw new TrustRootsInvalid(`${what} must be a non-negative integer`);
  return value;
}

function blockNumber(name: string): bigint {
  if (!NATURAL.test(name)) throw new TrustRootsInvalid("a name is no block number");
  return BigInt(name);
}
