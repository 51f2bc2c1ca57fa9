/** What a verification says, and running its named checks so that one fault does not hide the next. */

import type { Bytes } from "./bytes.ts";

export type Result = "PASS" | "FAIL" | "NOT_CHECKED";
export type Assurance = "UNSPECIFIED" | "SEALED_BY_QUORUM" | "ENGINE_WITHOUT_SEALS";
export type Outcome = "PASS" | "PASS_DEVELOPMENT_ONLY" | "FAIL" | "INCOMPLETE";

export interface Check {
  name: string;
  result: Result;
  /** Stable code of docs/formats/verdict.md; empty exactly when PASS. */
  reason: string;
  /** On a PASS only where there is more to tell. */
  detail: string;
}

export interface Verdict {
  outcome: Outcome;
  assurance: Assurance;
  /** Number and time are 0 and the hash is empty where no header could be read. */
  asOf: { number: bigint; hash: string; time: bigint };
  checks: Check[];
  assumptions: string[];
  notices: string[];
}

/** A piece of evidence does not prove what it should. `reason` is a code of docs/formats/verdict.md. */
export class Refused extends Error {
  readonly reason: string;

  constructor(reason: string, detail: string) {
    super(detail);
    this.reason = reason;
  }
}

/** A proven record that the contract cannot have written. */
export class RecordInvalid extends Refused {
  constructor(detail: string) {
    super("HISTORY_RECORD", detail);
  }
}

/** A history is needed and the bundle does not prove it. Not the same as an empty one. */
export class HistoryMissing extends Refused {
  constructor(key: Bytes) {
    super("HISTORY_NOT_IN_BUNDLE", `the history of key 0x${Buffer.from(key).toString("hex")} is not at hand`);
  }
}

/** Not made because nobody asked for it: no verdict is incomplete for that. */
const NOT_ASKED = ["WITNESSES_NOT_PINNED", "PROMISE_NOT_IN_BUNDLE"];

/** Lacks, not faults. */
const UNDECIDED = new Set([
  "PREREQUISITE",
  "BLOCK_NOT_PINNED",
  "LINEAGE_NO_START",
  "AS_OF_NOT_IN_BUNDLE",
  "RELYING_COUNTRY_MISSING",
  "HISTORY_NOT_IN_BUNDLE",
  ...NOT_ASKED,
]);

/** What an earlier check established. */
export function need<T>(value: T | undefined): T {
  if (value === undefined) throw new Refused("PREREQUISITE", "a check that this one stands on did not pass");
  return value;
}

export class Checklist {
  readonly checks: Check[] = [];

  /** Make one check; its value, or undefined if it did not pass. Only refusals are caught. `tell`: the detail of a PASS. */
  async run<T>(name: string, step: () => T | Promise<T>, tell?: (value: T) => string): Promise<T | undefined> {
    try {
      const value = await step();
      this.checks.push({ name, result: "PASS", reason: "", detail: tell?.(value) ?? "" });
      return value;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      const result = UNDECIDED.has(error.reason) ? "NOT_CHECKED" : "FAIL";
      this.checks.push({ name, result, reason: error.reason, detail: error.message });
      return undefined;
    }
  }

  outcome(assurance: Assurance): Outcome {
    const needed = this.checks.filter((check) => !NOT_ASKED.includes(check.reason));
    const results = new Set(needed.map((check) => check.result));
    if (results.has("FAIL")) return "FAIL";
    if (results.has("NOT_CHECKED") || assurance === "UNSPECIFIED") return "INCOMPLETE";
    return assurance === "SEALED_BY_QUORUM" ? "PASS" : "PASS_DEVELOPMENT_ONLY";
  }
}
