/** Command line of the verifier. Exit status as of `silkledger evidence verify`: docs/verifier-ts.md. */

import { createReadStream, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { fromHex, sha256 } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import type { Verdict } from "./checklist.ts";
import { readCountry, readTrustRoots, TrustRootsInvalid } from "./trust-roots.ts";
import type { TrustRoots } from "./trust-roots.ts";
import { verifyBundle } from "./verify.ts";

const USAGE = `usage: main.ts --trust-roots FILE (--document FILE | --digest HEX) BUNDLE
               [--country CC] [--as-of BLOCK] [--json]
       main.ts --batch FILE.jsonl`;
const EXIT = { PASS: 0, FAIL: 1, PASS_DEVELOPMENT_ONLY: 3, INCOMPLETE: 7 };
const USAGE_EXIT = 2;

class UsageError extends Error {}

const OPTIONS = {
  "trust-roots": { type: "string" },
  document: { type: "string" },
  digest: { type: "string" },
  country: { type: "string" },
  "as-of": { type: "string" },
  batch: { type: "string" },
  json: { type: "boolean" },
} as const;

const readBytes = (path: string): Bytes => new Uint8Array(readFileSync(path));

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true });
  if (values.batch !== undefined) return batch(values.batch);
  const [bundle] = positionals;
  const oneDocument = (values.document === undefined) !== (values.digest === undefined);
  if (values["trust-roots"] === undefined || bundle === undefined || positionals.length > 1 || !oneDocument) {
    throw new UsageError(USAGE);
  }
  const roots = readTrustRoots(readFileSync(values["trust-roots"], "utf8"));
  const digest = values.document === undefined ? readDigest(values.digest) : sha256(readBytes(values.document));
  const verdict = await verifyBundle(digest, readBytes(bundle), roots, {
    country: values.country === undefined ? null : readCountry(values.country),
    asOf: readNumber(values["as-of"]),
  });
  process.stdout.write(values.json ? `${toJson(verdict, 2)}\n` : toText(verdict));
  return EXIT[verdict.outcome as keyof typeof EXIT];
}

/** One question a line: `{"digest", "bundle" (base64), "roots" (the file's text), "country"?, "asOf"?}`. */
async function batch(path: string): Promise<number> {
  const known = new Map<string, TrustRoots>();
  for await (const line of createInterface({ input: createReadStream(path) })) {
    const question = JSON.parse(line) as Record<string, string | undefined>;
    const text = question["roots"] ?? "";
    const roots = known.get(text) ?? readTrustRoots(text);
    known.set(text, roots);
    const data = new Uint8Array(Buffer.from(question["bundle"] ?? "", "base64"));
    const verdict = await verifyBundle(readDigest(question["digest"]), data, roots, {
      country: question["country"] === undefined ? null : readCountry(question["country"]),
      asOf: readNumber(question["asOf"]),
    });
    process.stdout.write(`${toJson(verdict)}\n`);
  }
  return 0;
}

function readDigest(text: string | undefined): Bytes {
  const digest = fromHex(text?.startsWith("0x") ? text : `0x${text ?? ""}`, 32);
  if (digest === null) throw new UsageError("a digest is 32 bytes in hexadecimal");
  return digest;
}

function readNumber(text: string | undefined): bigint | null {
  if (text === undefined) return null;
  if (!/^[0-9]{1,20}$/.test(text)) throw new UsageError("a block is a number");
  return BigInt(text);
}

/** Block number and time are written as the integers that they are, beyond 53 bits too. */
function toJson(verdict: Verdict, indent = 0): string {
  const { rawJSON } = JSON as unknown as { rawJSON: (text: string) => unknown };
  const plain = (_: string, value: unknown): unknown => (typeof value === "bigint" ? rawJSON(String(value)) : value);
  return JSON.stringify(verdict, plain, indent);
}

function toText({ outcome, assurance, asOf, checks, assumptions, notices }: Verdict): string {
  const lines = [outcome === "PASS_DEVELOPMENT_ONLY" ? `${outcome}: NOT a production PASS` : outcome];
  if (asOf.hash) lines.push(`as of block ${asOf.number} ${asOf.hash}; assurance ${assurance}`);
  for (const { name, result, reason, detail } of checks) {
    lines.push(`  ${name.padEnd(20)} ${result.padEnd(11)} ${reason ? `${reason}: ${detail}` : ""}`.trimEnd());
  }
  lines.push(...notices.map((notice) => `notice: ${notice}`), ...assumptions.map((text) => `assumed: ${text}`));
  return `${lines.join("\n")}\n`;
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
