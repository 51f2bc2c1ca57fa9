/** Cosignatures of the checkpoint by witnesses (C2SP tlog-cosignature, v1). Every line is verified; pinned ones count. */

import { ascii, concat, same, toInt } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import { Refused } from "./checklist.ts";
import { EDDSA, verifies } from "./keys.ts";
import { MAX_SIZE } from "./merkle.ts";
import { readWitnessKey } from "./note.ts";
import type { Line, Note } from "./note.ts";
import { utc } from "./times.ts";
import type { TrustRoots } from "./trust-roots.ts";

interface Cosignature {
  verifierKey: string;
  /** Who and when, for sentences. */
  text: string;
}

/** The cosignatures by pinned witnesses, which are enough: for a sentence. */
export function verifyCosignatures(note: Note, cosigners: string[], pinned: TrustRoots["witnesses"]): string {
  const found = cosigners.map((cosigner, i) => verifyLine(note.body, cosigner, note.lines[i + 1] as Line));
  if (pinned === null) {
    const by = found.map(({ text }) => text).join(", ");
    throw new Refused("WITNESSES_NOT_PINNED", `the trust roots pin no witnesses${by && `; cosigned by ${by}`}`);
  }
  const counted = found.filter(({ verifierKey }) => pinned.verifierKeys.includes(verifierKey));
  if (BigInt(counted.length) < pinned.threshold) {
    const few = `${counted.length} of the ${pinned.verifierKeys.length} pinned witnesses cosigned`;
    throw new Refused("COSIGNATURES_TOO_FEW", `${few}, ${pinned.threshold} must have`);
  }
  return `cosigned by ${counted.map(({ text }) => text).join(", ")}`;
}

function verifyLine(body: Bytes, verifierKey: string, line: Line): Cosignature {
  const witness = readWitnessKey(verifierKey);
  if (witness === null || witness.name !== line.signer || !same(witness.keyId, line.keyId)) {
    throw new Refused("COSIGNATURE_KEY", `the line by ${line.signer} is not by a witness key ${verifierKey}`);
  }
  const time = toInt(line.value.slice(0, 8));
  const message = concat(ascii(`cosignature/v1\ntime ${time}\n`), body);
  const good = line.value.length === 72 && time <= MAX_SIZE;
  if (!good || !verifies({ suite: EDDSA, key: witness.key }, message, line.value.slice(8))) {
    throw new Refused("COSIGNATURE_INVALID", `the line by ${witness.name} does not verify`);
  }
  return { verifierKey, text: `${witness.name} (${utc(time)})` };
}
