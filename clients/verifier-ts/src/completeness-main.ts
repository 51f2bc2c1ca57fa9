/** Command line for proofs of completeness: docs/verifier-ts.md. Exit status as of main.ts. */

import { createReadStream, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { fromHex } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import { verifyCompleteness } from "./completeness.ts";
import type { Answer, Question } from "./completeness.ts";
import { readTrustRoots, TrustRootsInvalid } from "./trust-roots.ts";
import type { TrustRoots } from "./trust-roots.ts";

const USAGE = `usage: completeness-main.ts --trust-roots FILE --contract (NAME | 0x…) --topic 0x…
               --from BLOCK --to BLOCK PROOF
       completeness-main.ts --batch FILE.jsonl`;
const EXIT = { PASS: 0, FAIL: 1, PASS_DEVELOPMENT_ONLY: 3, INCOMPLETE: 7 };
const USAGE_EXIT = 2;

class UsageError extends Error {}

const OPTIONS = {
  "trust-roots": { type: "string" },
  contract: { type: "string" },
  topic: { type: "string" },
  from: { type: "string" },
  to: { type: "string" },
  batch: { type: "string" },
} as const;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true });
  if (values.batch !== undefined) return batch(values.batch);
  const [proof] = positionals;
  if (values["trust-roots"] === undefined || proof === undefined || positionals.length > 1) throw new UsageError(USAGE);
  const roots = readTrustRoots(readFileSync(values["trust-roots"], "utf8"));
  const question = readQuestion(values.contract, values.topic, values.from, values.to, roots);
  const answer = await verifyCompleteness(new Uint8Array(readFileSync(proof)), roots, question);
  process.stdout.write(`${toJson(answer, 2)}\n`);
  return EXIT[answer.outcome];
}

/** One question a line: `{"proof" (base64), "roots" (the file's text), "contract", "topic", "first", "last"}`. */
async function batch(path: string): Promise<number> {
  for await (const line of createInterface({ input: createReadStream(path) })) {
    const fields = JSON.parse(line) as Record<string, string | undefined>;
    const roots = readTrustRoots(fields["roots"] ?? "");
    const question = readQuestion(fields["contract"], fields["topic"], fields["first"], fields["last"], roots);
    const proof = new Uint8Array(Buffer.from(fields["proof"] ?? "", "base64"));
    process.stdout.write(`${toJson(await verifyCompleteness(proof, roots, question))}\n`);
  }
  return 0;
}

function readQuestion(
  contract: string | undefined,
  topic: string | undefined,
  first: string | undefined,
  last: string | undefined,
  roots: TrustRoots,
): Question {
  const named = roots.contracts.get(contract ?? "");
  const question = { contract: named ?? octets(contract, 20), topic: octets(topic, 32), first: block(first), last: block(last) };
  if (question.first < 1n || question.last < question.first) throw new UsageError("a range of blocks from 1 on");
  return question;
}

function octets(text: string | undefined, size: number): Bytes {
  const data = fromHex(text ?? "", size);
  if (data === null) throw new UsageError(`${size} bytes in hexadecimal, or a contract that the trust roots name`);
  return data;
}

function block(text: string | undefined): bigint {
  if (!/^[0-9]{1,20}$/.test(text ?? "")) throw new UsageError("a block is a number");
  return BigInt(text as string);
}

/** Integers are written as the integers that they are, beyond 53 bits too. */
function toJson(answer: Answer, indent = 0): string {
  const { rawJSON } = JSON as unknown as { rawJSON: (text: string) => unknown };
  const plain = (_: string, value: unknown): unknown => (typeof value === "bigint" ? rawJSON(String(value)) : value);
  return JSON.stringify(answer, plain, indent);
}

try {
  process.exitCode = await main();
} catch (error) {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  const usage = error instanceof UsageError || error instanceof TrustRootsInvalid;
  if (!usage && code !== "ENOENT" && !code.startsWith("ERR_PARSE_ARGS")) throw error;
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = USAGE_EXIT;
}
