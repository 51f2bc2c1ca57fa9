from __future__ import annotations

from typing import Any

import pytest

from silkledger.evidence.reasons import Reason
from silkledger.evidence.state import ABSENT_ACCOUNT, EMPTY_CODE_HASH, verify_account, verify_slot
from silkledger.evidence.trie import EMPTY_TRIE_ROOT
from silkledger.values import Address
from tests.unit.evidence import recorded
from tests.unit.evidence.recorded import unhex
from tests.unit.evidence.refusals import refused


def _proofs() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    contract, plain, absent = recorded.chain()["proofsAtBlock2"]
    return contract, plain, absent


ROOT = recorded.header(2).state_root


def test_a_contract_account_and_its_words() -> None:
    contract, _, _ = _proofs()
    account = verify_account(ROOT, Address.from_hex(contract["address"]), unhex(contract["accountProof"]))
    assert "0x" + account.storage_root.hex() == contract["storageHash"]
    assert "0x" + account.code_hash.hex() == contract["codeHash"]
    values = {
        int(entry["key"], 16): verify_slot(account.storage_root, int(entry["key"], 16), unhex(entry["proof"]))
        for entry in contract["storageProof"]
    }
    assert values == {0: 42, 7: 1, 5: 0}


def test_a_plain_account_has_neither_code_nor_storage() -> None:
    _, plain, _ = _proofs()
    account = verify_account(ROOT, Address.from_hex(plain["address"]), unhex(plain["accountProof"]))
    assert account.nonce > 0
    assert account.code_hash == EMPTY_CODE_HASH
    assert verify_slot(account.storage_root, 0, []) == 0
    assert verify_slot(account.storage_root, 0, [b"\x80"]) == 0


def test_absence_of_an_account_is_proven_not_assumed() -> None:
    contract, _, absent = _proofs()
    address = Address.from_hex(absent["address"])
    assert verify_account(ROOT, address, unhex(absent["accountProof"])) == ABSENT_ACCOUNT
    with refused(Reason.PROOF_LENGTH):
        verify_account(ROOT, address, [])
    with refused(Reason.PROOF_NODE_HASH):
        verify_account(recorded.header(1).state_root, address, unhex(absent["accountProof"]))
    with refused(Reason.PROOF_EMPTY_ROOT):
        verify_account(EMPTY_TRIE_ROOT, address, [])
    with refused(Reason.PROOF_LENGTH):
        verify_account(ROOT, address, [*unhex(absent["accountProof"]), unhex(contract["accountProof"])[-1]])


def test_a_proof_of_another_slot_is_refused() -> None:
    contract, _, _ = _proofs()
    root = bytes.fromhex(contract["storageHash"][2:])
    first, second, _ = contract["storageProof"]
    with pytest.raises(ValueError):
        verify_slot(root, int(first["key"], 16), unhex(second["proof"]))
    with refused(Reason.PROOF_LENGTH):
        verify_slot(EMPTY_TRIE_ROOT, 0, unhex(first["proof"]))


def test_no_byte_of_a_proof_can_change() -> None:
    contract, _, _ = _proofs()
    root, entry = bytes.fromhex(contract["storageHash"][2:]), contract["storageProof"][0]
    proof = unhex(entry["proof"])
    for node in range(len(proof)):
        for position in range(len(proof[node])):
            changed = bytearray(proof[node])
            changed[position] ^= 1
            with refused(Reason.PROOF_NODE_HASH):
                verify_slot(root, 0, [*proof[:node], bytes(changed), *proof[node + 1 :]])
