/** Contract state under the newest header: accounts, heads of histories, and the records that fold to them. */

import { encode } from "./abi.ts";
import { hex, keccak, same } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import type { ContractName, ContractState, History, Recorded } from "./bundle.ts";
import { HistoryMissing, Refused } from "./checklist.ts";
import * as rlp from "./rlp.ts";
import { EMPTY_ROOT, provenValue } from "./trie.ts";

const NO_CODE = keccak(new Uint8Array());

/** Complete, ordered, dated record lists by contract and key. What is not in here is unknown, not empty. */
export class ProvenHistories {
  readonly #byContract = new Map<string, Recorded[]>();

  add(contract: ContractName, key: Bytes, records: Recorded[]): void {
    this.#byContract.set(`${contract} ${hex(key)}`, records);
  }

  records(contract: ContractName, key: Bytes): Recorded[] {
    const found = this.#byContract.get(`${contract} ${hex(key)}`);
    if (found === undefined) throw new HistoryMissing(key);
    return found;
  }
}

export async function verifyStates(
  states: ContractState[],
  stateRoot: Bytes,
  addresses: Map<string, Bytes>,
): Promise<ProvenHistories> {
  const proven = new ProvenHistories();
  for (const state of states) {
    const storageRoot = await storageOf(stateRoot, addresses.get(state.contract) as Bytes, state);
    for (const history of state.histories) {
      await verifyHistory(history, storageRoot);
      proven.add(state.contract, history.key, history.records);
    }
  }
  return proven;
}

/** Storage root of a contract: `[nonce, balance, storageRoot, codeHash]` at keccak(address), with code. */
async function storageOf(stateRoot: Bytes, address: Bytes, state: ContractState): Promise<Bytes> {
  if (same(stateRoot, EMPTY_ROOT)) throw new Refused("PROOF_EMPTY_ROOT", "the state is empty");
  const value = await provenValue(stateRoot, keccak(address), state.proof);
  const absent = new Refused("CONTRACT_ABSENT", `no contract ${state.contract} at 0x${hex(address)}`);
  if (value === null) throw absent;
  const items = rlp.decodeList(value, "account");
  if (items.length !== 4) throw new Refused("ACCOUNT_SHAPE", "an account has four items");
  rlp.integer(items[0], "nonce", 8);
  rlp.integer(items[1], "balance");
  const storageRoot = rlp.octets(items[2], "storage root", 32);
  if (same(rlp.octets(items[3], "code hash", 32), NO_CODE)) throw absent;
  return storageRoot;
}

async function verifyHistory(history: History, storageRoot: Bytes): Promise<void> {
  const slot = keccak(encode(["bytes32", "uint256"], [history.key, 0n]));
  const value = await provenValue(storageRoot, keccak(slot), history.proof);
  let stored = 0n;
  if (value !== null) {
    stored = rlp.integer(rlp.decode(value), "storage word");
    if (stored === 0n) throw new Refused("SLOT_SHAPE", "a stored word is not zero");
  }
  if (BigInt(`0x${hex(fold(history.records))}`) !== stored) {
    throw new Refused("HISTORY_HEAD", `the records of key 0x${hex(history.key)} are not the recorded history`);
  }
}

/** head' = keccak256(abi.encode(head, uint64(block), keccak256(record))), from zero. Blocks never go down. */
function fold(records: Recorded[]): Bytes {
  let head: Bytes = new Uint8Array(32);
  let last = 0n;
  for (const { block, record } of records) {
    if (block < last) throw new Refused("HISTORY_HEAD", "block numbers of a history never go down");
    last = block;
    head = keccak(encode(["bytes32", "uint64", "bytes32"], [head, block, keccak(record)]));
  }
  return head;
}
