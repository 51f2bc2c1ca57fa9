/** Document digest, bundle, trust roots: a verdict, by the checks of docs/formats/verdict.md in their order. */

import { verifyAnchor } from "./anchor.ts";
import type { Anchor } from "./anchor.ts";
import { readBundle } from "./bundle.ts";
import type { Bundle, LogSection } from "./bundle.ts";
import { hex, same } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import { Checklist, need, Refused } from "./checklist.ts";
import type { Verdict } from "./checklist.ts";
import { verifyCosignatures } from "./cosignatures.ts";
import { checkDocument } from "./document.ts";
import { readHeader } from "./header.ts";
import type { Header } from "./header.ts";
import { issuerKey, verifyStatement } from "./identity.ts";
import { trustHeaders } from "./lineage.ts";
import { laterNotices } from "./notices.ts";
import { verifyPromise } from "./promise.ts";
import { countingLogKeys, verifyCheckpoint, verifyReceipt, verifyRegistration } from "./registration.ts";
import { verifyStates } from "./state.ts";
import type { ProvenHistories } from "./state.ts";
import { readStatement } from "./statement.ts";
import type { Statement } from "./statement.ts";
import { requireActive, statusChanges } from "./status.ts";
import { requireAuthority } from "./trust.ts";
import type { TrustRoots } from "./trust-roots.ts";

export interface Options {
  /** On whose behalf; default: that of the trust roots. */
  country?: string | null;
  /** Block number; default: the bundle's newest. */
  asOf?: bigint | null;
}

export interface Blocks {
  headers: Header[];
  /** Of the registration block: issuer key and authority are taken at its end. */
  parent: Header;
  registration: Header;
  asOf: Header;
  /** At whose end all state was proven. */
  newest: Header;
}

interface Facts {
  bundle?: Bundle | undefined;
  statement?: Statement | undefined;
  blocks?: Blocks | undefined;
  histories?: ProvenHistories | undefined;
  anchor?: Anchor | undefined;
}

/** Never throws for bad evidence. */
export async function verifyBundle(
  digest: Bytes,
  data: Bytes,
  roots: TrustRoots,
  options: Options = {},
): Promise<Verdict> {
  const facts: Facts = {};
  const checks = new Checklist();
  const relying = options.country ?? roots.relyingCountry;
  facts.bundle = await checks.run("bundle", () => readBundle(data));
  await checks.run("network", () => checkNetwork(need(facts.bundle), roots));
  facts.statement = await checks.run("statement", () => checkStatement(need(facts.bundle), roots));
  const document = (): string => checkDocument(need(facts.statement), need(facts.bundle).document, digest);
  await checks.run("document", document, String);
  facts.blocks = await checks.run("blocks", () => findBlocks(need(facts.bundle), roots, options.asOf ?? null));
  const trust = await checks.run("headers", () => trustHeaders(need(facts.blocks).headers, roots));
  facts.histories = await checks.run("state", () => {
    return verifyStates(need(facts.bundle).states, need(facts.blocks).newest.stateRoot, roots.contracts);
  });
  facts.anchor = await checks.run("anchor", () => {
    const { receiptsRoot } = need(facts.blocks).registration;
    return verifyAnchor(need(facts.bundle).anchor, receiptsRoot, roots.contracts.get("LogAnchor") as Bytes);
  });
  await checkLog(facts, checks, roots);
  await checkIssuer(facts, checks);
  await checkStanding(facts, checks, relying);
  const assurance = trust?.assurance ?? "UNSPECIFIED";
  return {
    outcome: checks.outcome(assurance),
    assurance,
    asOf: refOf(facts.blocks?.asOf),
    checks: checks.checks,
    assumptions: [
      "The trust roots are right: chain id, genesis, contract addresses, and the contracts at them.",
      ...(trust?.assumptions ?? []),
    ],
    notices: laterNotices(facts.statement, facts.histories, facts.blocks, relying),
  };
}

function refOf(header: Header | undefined): Verdict["asOf"] {
  if (header === undefined) return { number: 0n, hash: "", time: 0n };
  return { number: header.number, hash: `0x${hex(header.hash)}`, time: header.timestamp };
}

function checkNetwork({ network }: Bundle, roots: TrustRoots): void {
  const ours =
    network.chainId === roots.chainId &&
    same(network.genesis, roots.genesisHash) &&
    same(network.directory, roots.directory);
  if (!ours) throw new Refused("NETWORK_MISMATCH", "another chain id, genesis or directory than the trust roots");
}

function checkStatement(bundle: Bundle, roots: TrustRoots): Statement {
  const statement = readStatement(bundle.statement);
  if (statement.issuer.chainId !== roots.chainId) {
    throw new Refused("ISSUER_OTHER_CHAIN", `${statement.issuer.text} is not of chain ${roots.chainId}`);
  }
  return statement;
}

function findBlocks(bundle: Bundle, roots: TrustRoots, asOf: bigint | null): Blocks {
  const headers = bundle.headers.map((raw) => readHeader(raw, roots.engine));
  const byNumber = new Map(headers.map((header) => [header.number, header]));
  const number = bundle.anchor.block;
  const registration = byNumber.get(number);
  const parent = byNumber.get(number - 1n);
  if (registration === undefined || parent === undefined) {
    throw new Refused("ANCHOR_BLOCK_MISSING", `no headers of block ${number} and its parent`);
  }
  const newest = headers.at(-1) as Header;
  const wanted = asOf === null ? newest : byNumber.get(asOf);
  if (wanted === undefined) throw new Refused("AS_OF_NOT_IN_BUNDLE", `the bundle has no header of block ${asOf}`);
  if (wanted.number < number) {
    throw new Refused("AS_OF_BEFORE_REGISTRATION", `at block ${wanted.number} the document was not registered yet`);
  }
  return { headers, parent, registration, asOf: wanted, newest };
}

async function checkLog(facts: Facts, checks: Checklist, roots: TrustRoots): Promise<void> {
  const { bundle } = facts;
  const log = (): LogSection => need(bundle).log;
  const logKeys = await checks.run("log_key", () => {
    const { registration } = need(facts.blocks);
    return countingLogKeys(log(), need(facts.anchor), need(facts.histories), registration.number, roots.log);
  });
  const checkpoint = await checks.run("checkpoint", () => verifyCheckpoint(log(), need(logKeys)));
  const cosigned = (): string => verifyCosignatures(need(checkpoint), log().cosigners, roots.witnesses);
  await checks.run("cosignatures", cosigned, String);
  const leaf = await checks.run("receipt", () => {
    return verifyReceipt(log().receipt, need(bundle).statement, need(logKeys), need(checkpoint));
  });
  await checks.run("registration", () => {
    verifyRegistration(need(checkpoint), log().consistency, need(facts.anchor), need(leaf));
  });
  const promised = (): string => verifyPromise(need(bundle).promise, need(logKeys), need(facts.statement).id);
  await checks.run("promise", promised, String);
}

async function checkIssuer(facts: Facts, checks: Checklist): Promise<void> {
  const key = await checks.run("issuer_key", () => {
    return issuerKey(need(facts.statement), need(facts.histories), need(facts.blocks).parent);
  });
  await checks.run("statement_signature", () => verifyStatement(need(facts.statement), need(key)));
}

async function checkStanding(facts: Facts, checks: Checklist, relying: string | null): Promise<void> {
  const authority = (knownAt: (blocks: Blocks) => Header) => (): void => {
    if (relying === null) throw new Refused("RELYING_COUNTRY_MISSING", "say on whose behalf to verify");
    const blocks = need(facts.blocks);
    const at = blocks.parent.number;
    requireAuthority(need(facts.statement), need(facts.histories), relying, at, knownAt(blocks).number);
  };
  const status = (knownAt: (blocks: Blocks) => Header) => (): void => {
    const blocks = need(facts.blocks);
    const changes = statusChanges(need(facts.statement), need(facts.histories));
    requireActive(changes, blocks.asOf.number, knownAt(blocks).number);
  };
  await checks.run("authority_known", authority((blocks) => blocks.parent));
  await checks.run("authority_in_force", authority((blocks) => blocks.newest));
  await checks.run("status_known", status((blocks) => blocks.asOf));
  await checks.run("status_in_force", status((blocks) => blocks.newest));
}
