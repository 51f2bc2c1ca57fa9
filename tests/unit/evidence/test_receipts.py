from __future__ import annotations

from dataclasses import replace

import pytest

from silkledger.evidence import rlp
from silkledger.evidence.reasons import Reason
from silkledger.evidence.receipts import (
    Receipt,
    bloom_may_contain,
    bloom_of,
    decode_receipt,
    prove_receipt,
    receipts_root,
    verify_receipt_proof,
)
from silkledger.evidence.trie import EMPTY_TRIE_ROOT
from tests.unit.evidence import recorded
from tests.unit.evidence.refusals import refused


@pytest.mark.parametrize("number", range(4))
def test_recorded_receipts_rebuild_the_root(number: int) -> None:
    assert receipts_root(recorded.receipts(number)) == recorded.header(number).receipts_root


def test_the_recording_has_every_transaction_type_and_a_trie_with_depth() -> None:
    receipts = recorded.receipts(2)
    assert {receipt.tx_type for receipt in receipts} == {0, 1, 2}
    assert len(receipts) >= 16
    assert any(receipt.logs for receipt in receipts)


def test_every_receipt_proves_at_its_index_only() -> None:
    receipts, root = recorded.receipts(2), recorded.header(2).receipts_root
    for index, receipt in enumerate(receipts):
        proof = prove_receipt(receipts, index)
        assert verify_receipt_proof(root, index, proof) == receipt
    with refused(Reason.PROOF_NODE_HASH):
        verify_receipt_proof(root, 3, prove_receipt(receipts, 4))
    with pytest.raises(IndexError):
        prove_receipt(receipts, len(receipts))


def test_leaving_a_receipt_or_a_log_out_changes_the_root() -> None:
    receipts, root = recorded.receipts(2), recorded.header(2).receipts_root
    assert receipts_root(receipts[:-1]) != root
    with_logs = next(i for i, receipt in enumerate(receipts) if receipt.logs)
    emptied = list(receipts)
    emptied[with_logs] = replace(receipts[with_logs], logs=())
    assert receipts_root(emptied) != root


def test_proof_refusals() -> None:
    receipts, root = recorded.receipts(2), recorded.header(2).receipts_root
    proof = prove_receipt(receipts, 1)
    with refused(Reason.PROOF_EMPTY_ROOT):
        verify_receipt_proof(EMPTY_TRIE_ROOT, 0, [])
    with refused(Reason.PROOF_LENGTH):
        verify_receipt_proof(root, 1, proof[:-1])
    with refused(Reason.PROOF_LENGTH):
        verify_receipt_proof(root, 1, [*proof, proof[-1]])
    with refused(Reason.PROOF_ABSENT):
        absent = len(receipts)
        trie_proof = [*prove_receipt(receipts, 1)][:2]
        verify_receipt_proof(root, absent, _absence(receipts, absent) or trie_proof)


def _absence(receipts: list[Receipt], index: int) -> list[bytes]:
    from silkledger.evidence.receipts import receipts_trie

    return receipts_trie(receipts).prove(rlp.encode(rlp.encode_int(index)))


def test_decode_refuses_another_bloom_and_shape() -> None:
    receipt = next(receipt for receipt in recorded.receipts(2) if receipt.logs)
    assert decode_receipt(receipt.encode()) == receipt
    with refused(Reason.RECEIPT_BLOOM):
        decode_receipt(replace(receipt, logs_bloom=bytes(256)).encode())
    with refused(Reason.RECEIPT_SHAPE):
        decode_receipt(rlp.encode([b"\x01", b"", bytes(256)]))
    with refused(Reason.RECEIPT_SHAPE):
        decode_receipt(rlp.encode([b"\x02", b"", bytes(256), []]))
    with refused(Reason.RECEIPT_SHAPE):
        decode_receipt(b"")


def test_bloom_finds_what_is_there_and_tells_most_of_what_is_not() -> None:
    logs = [log for receipt in recorded.receipts(2) for log in receipt.logs]
    bloom = recorded.header(2).logs_bloom
    assert bloom_of(logs) == bloom
    assert all(bloom_may_contain(bloom, bytes(log.address)) for log in logs)
    assert all(bloom_may_contain(bloom, topic) for log in logs for topic in log.topics)
    assert not bloom_may_contain(bloom, b"\x55" * 20)
    assert not bloom_may_contain(bytes(256), bytes(logs[0].address))
