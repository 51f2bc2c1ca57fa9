"""Receipts: verify for their entry, key and checkpoint, and nothing else."""

from __future__ import annotations

import cbor2
import pytest

from silkledger import cbor, cose
from silkledger.keys import Suite, generate
from silkledger.log.checkpoint import Checkpoint, LogVerifierKey
from silkledger.log.receipt import ReceiptError, make_receipt, parse_receipt, sign_root, verify_receipt
from silkledger.log.tree import Tree

ORIGIN = "silkledger.example/embedded"
KEY = generate(Suite.EDDSA)
VKEY = LogVerifierKey.of(ORIGIN, KEY.verifying_key)
ENTRIES = [b"statement %d" % i for i in range(13)]
TREE = Tree()
TREE.extend(ENTRIES)


def receipt(index: int, size: int = 13) -> bytes:
    path, root = TREE.inclusion_path(index, size), TREE.root(size)
    return make_receipt(KEY, origin=ORIGIN, size=size, index=index, path=path, root=root)


def head(size: int = 13) -> Checkpoint:
    return Checkpoint(ORIGIN, size, TREE.root(size))


def reason_of(raw: bytes, entry: bytes, vkey: LogVerifierKey = VKEY, at: Checkpoint | None = None) -> str:
    with pytest.raises(ReceiptError) as caught:
        verify_receipt(raw, entry, vkey, at)
    return caught.value.reason


@pytest.mark.parametrize("size", [1, 2, 8, 13])
def test_every_leaf_has_a_receipt_under_the_checkpoint(size: int) -> None:
    for index in range(size):
        found = verify_receipt(receipt(index, size), ENTRIES[index], VKEY, head(size))
        assert (found.size, found.index, found.root) == (size, index, TREE.root(size))


def test_the_form_is_that_of_rfc_9942() -> None:
    message = cbor2.loads(receipt(3))
    assert message.tag == 18
    protected, unprotected, payload, signature = message.value
    assert cbor2.loads(protected) == {1: -8, 4: VKEY.key_id, 395: 1}
    assert payload is None
    assert len(signature) == 64
    assert cbor2.loads(unprotected[396][-1][0]) == [13, 3, TREE.inclusion_path(3)]
    context = cbor2.dumps(["Signature1", protected, b"", bytes(TREE.root())])
    KEY.verifying_key.verify(context, signature)


def test_a_receipt_is_for_one_entry_and_one_log() -> None:
    raw = receipt(3)
    assert reason_of(raw, ENTRIES[4]) == "RECEIPT_SIGNATURE_INVALID"
    retired = LogVerifierKey.of(ORIGIN, generate(Suite.EDDSA).verifying_key)
    assert reason_of(raw, ENTRIES[3], retired) == "RECEIPT_KEY_UNKNOWN"
    broken = raw[:-1] + bytes([raw[-1] ^ 1])
    assert reason_of(broken, ENTRIES[3]) == "RECEIPT_SIGNATURE_INVALID"


def test_the_size_is_bound_only_by_the_checkpoint() -> None:
    """The reason why evidence always gives one: leaf 0's path of 13 also leads to the same root as if of
    12 or 14."""
    parsed = parse_receipt(receipt(0))
    swapped = rebuilt(parsed.protected_raw, [14, 0, list(parsed.path)], parsed.signature)
    assert verify_receipt(swapped, ENTRIES[0], VKEY).size == 14
    assert reason_of(swapped, ENTRIES[0], VKEY, head()) == "RECEIPT_SIZE_MISMATCH"
    other = Checkpoint(ORIGIN, 13, TREE.root(12))
    assert reason_of(receipt(0), ENTRIES[0], VKEY, other) == "RECEIPT_ROOT_MISMATCH"


def rebuilt(protected: bytes, proof: object, signature: bytes) -> bytes:
    return cose.encode_sign1(protected, None, signature, {396: {-1: [cbor.encode(proof)]}})


@pytest.mark.parametrize(
    ("proof", "reason"),
    [
        ([0, 0, []], "SIZE_ZERO"),
        ([13, 13, []], "INDEX_OUT_OF_RANGE"),
        ([13, 3, []], "PATH_TOO_SHORT"),
        ([13, 3, [bytes(32)] * 5], "PATH_TOO_LONG"),
        ([13, 3, [bytes(31)]], "RECEIPT_MALFORMED"),
        ([13, -3, []], "RECEIPT_MALFORMED"),
        ([13, 3], "RECEIPT_MALFORMED"),
        ([13, True, []], "RECEIPT_MALFORMED"),
        ({}, "RECEIPT_MALFORMED"),
    ],
)
def test_proofs_that_cannot_be_are_named(proof: object, reason: str) -> None:
    parsed = parse_receipt(receipt(3))
    assert reason_of(rebuilt(parsed.protected_raw, proof, parsed.signature), ENTRIES[3]) == reason


def test_other_headers_and_an_attached_payload_are_refused() -> None:
    good = parse_receipt(receipt(3))
    proof = cbor.encode([13, 3, list(good.path)])
    one: dict[int | str, object] = {396: {-1: [proof]}}
    forms: list[tuple[dict[int | str, object], bytes | None, dict[int | str, object]]] = [
        ({1: -8, 4: VKEY.key_id, 395: 2}, None, one),
        ({1: -7, 4: VKEY.key_id, 395: 1}, None, one),
        ({1: -8, 395: 1}, None, one),
        ({1: -8, 4: b"abc", 395: 1}, None, one),
        ({1: -8, 4: VKEY.key_id, 395: 1, 5: 0}, None, one),
        ({1: -8, 4: VKEY.key_id, 395: 1}, bytes(TREE.root()), one),
        ({1: -8, 4: VKEY.key_id, 395: 1}, None, {396: {-1: [proof, proof]}}),
        ({1: -8, 4: VKEY.key_id, 395: 1}, None, {396: {-1: []}}),
        ({1: -8, 4: VKEY.key_id, 395: 1}, None, {396: {-2: [proof]}}),
        ({1: -8, 4: VKEY.key_id, 395: 1}, None, {396: {-1: [proof]}, 4: b"x"}),
        ({1: -8, 4: VKEY.key_id, 395: 1}, None, {}),
    ]
    for protected, payload, unprotected in forms:
        raw = cose.encode_sign1(cbor.encode(protected), payload, good.signature, unprotected)
        assert reason_of(raw, ENTRIES[3]) == "RECEIPT_MALFORMED"


def test_cut_and_loosely_encoded_receipts_are_named() -> None:
    raw = receipt(3)
    assert reason_of(raw[:-1], ENTRIES[3]) == "COSE_TRUNCATED"
    assert reason_of(raw + b"\0", ENTRIES[3]) == "COSE_TRAILING_BYTES"
    assert reason_of(raw[1:], ENTRIES[3]) == "COSE_TAG_MISSING"
    assert reason_of(b"\xd2" + b"\0" * 5000, ENTRIES[3]) == "COSE_TOO_LARGE"
    parsed = parse_receipt(raw)
    loose = cose.encode_sign1(
        parsed.protected_raw, None, parsed.signature, {396: {-1: [b"\x83\x18\x0d\x03\x80"]}}
    )
    assert reason_of(loose, ENTRIES[3]) == "COSE_NOT_DETERMINISTIC"


def test_a_receipt_by_either_key_of_a_changing_log() -> None:
    new = generate(Suite.EDDSA)
    keys = [VKEY, LogVerifierKey.of(ORIGIN, new.verifying_key)]
    made = make_receipt(
        new, origin=ORIGIN, size=13, index=3, path=TREE.inclusion_path(3, 13), root=TREE.root(13)
    )
    for raw in (receipt(3), made):
        assert verify_receipt(raw, ENTRIES[3], keys, head()).index == 3
    with pytest.raises(ReceiptError, match="RECEIPT_KEY_UNKNOWN"):
        verify_receipt(made, ENTRIES[3], VKEY)
    with pytest.raises(ReceiptError, match="RECEIPT_KEY_UNKNOWN"):
        verify_receipt(made, ENTRIES[3], [])
    with pytest.raises(ReceiptError, match="RECEIPT_SIGNATURE_INVALID"):
        verify_receipt(made, ENTRIES[4], keys)


def test_one_signature_of_a_root_serves_every_leaf_under_it() -> None:
    kept = sign_root(KEY, origin=ORIGIN, root=TREE.root(13))
    for index in range(13):
        raw = kept.receipt(13, index, TREE.inclusion_path(index, 13))
        assert raw == receipt(index)
        assert verify_receipt(raw, ENTRIES[index], VKEY, head()).index == index
    assert (
        reason_of(kept.receipt(12, 3, TREE.inclusion_path(3, 12)), ENTRIES[3]) == "RECEIPT_SIGNATURE_INVALID"
    )
