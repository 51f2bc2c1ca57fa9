"""Histories proven from contract state: complete, ordered, dated record lists, as of one block.

A contract keeps one storage word per key, the head over all its records. A storage proof of that word and
the records together prove the whole history, because every record is hashed with the number of its block.
So one proof at the as-of block answers for every earlier block as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from silkledger.evidence.bundle import Contract, ContractState, History
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import Header
from silkledger.evidence.reasons import Reason
from silkledger.evidence.state import EMPTY_CODE_HASH, verify_account, verify_slot
from silkledger.registry.histories import HistoryMissing, HistoryRecord, fold_head, history_slot
from silkledger.values import Address


class HistoryNotProven(HistoryMissing):
    """A history that is needed is not among those that were proven."""

    def __init__(self, contract: Contract, key: bytes) -> None:
        super().__init__(key)
        self.contract = contract


@dataclass(frozen=True, slots=True)
class ProvenHistories:
    """What contract state was proven, by contract and key. Only these histories; others are unknown."""

    by_contract: Mapping[Contract, Mapping[bytes, tuple[HistoryRecord, ...]]]

    def records(self, contract: Contract, key: bytes) -> tuple[HistoryRecord, ...]:
        """All records of `key`; empty where it was proven that there are none.

        Raises:
            HistoryNotProven: the bundle proves nothing about that key.
        """
        found = self.by_contract.get(contract, {}).get(key)
        if found is None:
            raise HistoryNotProven(contract, key)
        return found


def verify_states(
    states: Sequence[ContractState], header: Header, addresses: Mapping[Contract, Address]
) -> ProvenHistories:
    """Verify every state of a bundle against the state root of the as-of block `header`.

    Steps, per contract: (1) the account stands under the state root and has code; per history: (2) the head's
    storage word stands under the account; (3) the records fold to it.

    This is not a verification of `header`, nor of the contract's code: the address is trusted.

    Raises:
        EvidenceInvalid: CONTRACT_ABSENT, HISTORY_HEAD, and what the state proofs raise.
    """
    proven: dict[Contract, dict[bytes, tuple[HistoryRecord, ...]]] = {}
    for state in states:
        account = verify_account(header.state_root, addresses[state.contract], state.account_proof)  # (1)
        if account.code_hash == EMPTY_CODE_HASH:
            raise EvidenceInvalid(
                Reason.CONTRACT_ABSENT,
                f"no contract {state.contract.directory_name} at {addresses[state.contract]}",
            )
        proven[state.contract] = {
            history.key: _verify_history(history, account.storage_root) for history in state.histories
        }
    return ProvenHistories(proven)


def _verify_history(history: History, storage_root: bytes) -> tuple[HistoryRecord, ...]:
    slot = int.from_bytes(history_slot(history.key), "big")
    stored = verify_slot(storage_root, slot, history.slot_proof)  # (2)
    try:
        head = fold_head(history.records)
    except ValueError as error:
        raise EvidenceInvalid(Reason.HISTORY_HEAD, str(error)) from error
    if int.from_bytes(head, "big") != stored:  # (3)
        raise EvidenceInvalid(
            Reason.HISTORY_HEAD,
            f"the {len(history.records)} records of key 0x{history.key.hex()} are not the recorded history",
        )
    return history.records
