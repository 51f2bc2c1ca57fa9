/** What came after the as-of block without being effective before it: sentences for people. */

import { Refused } from "./checklist.ts";
import { issuerKey } from "./identity.ts";
import type { ProvenHistories } from "./state.ts";
import { idText } from "./statement.ts";
import type { Statement } from "./statement.ts";
import { hasBegun, statusChanges } from "./status.ts";
import { requireAuthority } from "./trust.ts";
import type { Blocks } from "./verify.ts";

export function laterNotices(
  statement: Statement | undefined,
  histories: ProvenHistories | undefined,
  blocks: Blocks | undefined,
  relying: string | null,
): string[] {
  if (statement === undefined || histories === undefined || blocks === undefined) return [];
  const { asOf, newest } = blocks;
  const notices = collect(() => {
    const later = statusChanges(statement, histories).filter((change) => !hasBegun(change, asOf.number, asOf.number));
    return later.map(({ status, recorded, effective }) => {
      const when = recorded > asOf.number ? `later, at block ${recorded}` : `from a later block on`;
      return `The document was ${status.toLowerCase()} ${when}, effective from block ${effective}.`;
    });
  });
  const keyLost = reasonOf(() => issuerKey(statement, histories, newest));
  if (keyLost) notices.push(`At block ${newest.number} the key that signed it is no longer the issuer's.`);
  if (relying !== null) {
    const lost = reasonOf(() => requireAuthority(statement, histories, relying, newest.number, newest.number));
    if (lost) notices.push(`No longer authorised at block ${newest.number}: ${lost}.`);
  }
  if (statement.supersedes !== null) {
    notices.push(`It says that it takes the place of statement ${idText(statement.supersedes)}.`);
  }
  return notices;
}

/** Where the bundle proves nothing, or something impossible, there is no sentence: the checks say so. */
const SILENT = ["HISTORY_NOT_IN_BUNDLE", "HISTORY_RECORD"];

function collect(sentences: () => string[]): string[] {
  try {
    return sentences();
  } catch (error) {
    if (error instanceof Refused) return [];
    throw error;
  }
}

/** Why `step` is refused; null if it is not. */
function reasonOf(step: () => unknown): string | null {
  try {
    step();
    return null;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return SILENT.includes(error.reason) ? null : error.reason;
  }
}
