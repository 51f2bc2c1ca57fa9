/** extraData of a QBFT header: RLP[vanity, validators, vote, round, seals], read strictly. */

import { compare, minimal } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import { Refused } from "./checklist.ts";
import * as rlp from "./rlp.ts";
import type { Item } from "./rlp.ts";

export interface Vote {
  subject: Bytes;
  add: boolean;
}

export interface ExtraData {
  vanity: Bytes;
  validators: Bytes[];
  voteItem: Item;
  vote: Vote | null;
  round: bigint;
  seals: Bytes[];
}

const MAX_ROUND_BYTES = 4;

export function readExtraData(data: Bytes): ExtraData {
  const items = rlp.decodeList(data, "extraData");
  if (items.length !== 5) throw new Refused("QBFT_EXTRA_ITEMS", `extraData has ${items.length} items instead of 5`);
  const [vanity, validators, vote, round, seals] = items as [Item, Item, Item, Item, Item];
  if (!(vanity instanceof Uint8Array) || vanity.length !== 32) {
    throw new Refused("QBFT_VANITY", "vanity must be exactly 32 bytes");
  }
  return {
    vanity,
    validators: readValidators(validators),
    voteItem: vote,
    vote: readVote(vote),
    round: rlp.integer(round, "round", MAX_ROUND_BYTES),
    seals: strings(seals, 65, "seals"),
  };
}

/** extraData as it is hashed: of `round`, without seals. */
export function sealedFor(extra: ExtraData, round: bigint): Bytes {
  return rlp.encode([extra.vanity, extra.validators, extra.voteItem, minimal(round), []]);
}

function readValidators(item: Item): Bytes[] {
  const found = strings(item, 20, "validators");
  const sorted = found.every((address, i) => i === 0 || compare(found[i - 1] as Bytes, address) < 0);
  if (!sorted) throw new Refused("QBFT_VALIDATORS_ORDER", "validators must be sorted and unique");
  return found;
}

function readVote(item: Item): Vote | null {
  if (Array.isArray(item)) {
    if (item.length === 0) return null;
    const [subject, direction] = item;
    if (item.length === 2 && subject instanceof Uint8Array && direction instanceof Uint8Array) {
      const add = direction.length === 1 && direction[0] === 0xff;
      if (subject.length === 20 && (add || direction.length === 0)) return { subject, add };
    }
  }
  throw new Refused("QBFT_VOTE", "a vote is empty, or an address with 0xff or the empty string");
}

function strings(item: Item, size: number, what: string): Bytes[] {
  const fits = Array.isArray(item) && item.every((part) => part instanceof Uint8Array && part.length === size);
  if (!fits) throw new Refused("QBFT_EXTRA_SHAPE", `${what} must be a list of ${size}-byte strings`);
  return item as Bytes[];
}
