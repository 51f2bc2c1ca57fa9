"""State proofs: an account under a state root, a storage word under an account, presence or absence.

Accounts stand at `keccak(address)` as `[nonce, balance, storageRoot, codeHash]`, storage words at
`keccak(slot)` (yellow paper 4.1). A word that is zero is not in the trie: absence proves zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from silkledger.evidence import rlp
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.keccak import keccak256
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trie import EMPTY_TRIE_ROOT, verify_proof
from silkledger.values import Address

EMPTY_CODE_HASH: Final = keccak256(b"")
"""Code hash of an account without code."""


@dataclass(frozen=True, slots=True)
class AccountState:
    """An account at the end of a block. An account that does not exist equals `ABSENT_ACCOUNT`."""

    nonce: int
    balance: int
    """Wei."""
    storage_root: bytes
    code_hash: bytes


ABSENT_ACCOUNT: Final = AccountState(0, 0, EMPTY_TRIE_ROOT, EMPTY_CODE_HASH)


def verify_account(state_root: bytes, address: Address, proof: Sequence[bytes]) -> AccountState:
    """The account `address` under `state_root`; `ABSENT_ACCOUNT` where the proof shows that there is none.

    Raises:
        EvidenceInvalid: ACCOUNT_SHAPE, PROOF_EMPTY_ROOT, and what `verify_proof` raises.
    """
    if state_root == EMPTY_TRIE_ROOT:
        raise EvidenceInvalid(Reason.PROOF_EMPTY_ROOT, "the state is empty")
    value = verify_proof(state_root, keccak256(address), proof)
    if value is None:
        return ABSENT_ACCOUNT
    items = rlp.decode_list(value, "account")
    if len(items) != 4:
        raise EvidenceInvalid(Reason.ACCOUNT_SHAPE, "an account is [nonce, balance, storage root, code hash]")
    return AccountState(
        nonce=rlp.as_int(items[0], "nonce", 8),
        balance=rlp.as_int(items[1], "balance"),
        storage_root=rlp.as_bytes(items[2], "storage root", 32),
        code_hash=rlp.as_bytes(items[3], "code hash", 32),
    )


def verify_slot(storage_root: bytes, slot: int, proof: Sequence[bytes]) -> int:
    """The storage word at `slot`; 0 where the proof shows that nothing is stored there.

    Raises:
        EvidenceInvalid: SLOT_SHAPE, and what `verify_proof` raises.
    """
    value = verify_proof(storage_root, keccak256(slot.to_bytes(32, "big")), proof)
    if value is None:
        return 0
    word = rlp.as_int(rlp.decode(value), "storage word")
    if word == 0:
        raise EvidenceInvalid(Reason.SLOT_SHAPE, "a stored word is not zero")
    return word
