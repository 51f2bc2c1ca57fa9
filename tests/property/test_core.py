"""Properties of encodings, trees and statements that must hold for any input."""

from __future__ import annotations

import hashlib
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silkledger import cbor, cose
from silkledger.keys import PrivateKey, Suite
from silkledger.keys.account import address_of
from silkledger.keys.multikey import b58decode, b58encode
from silkledger.log.tiles import Bundle, Tile, parse_path
from silkledger.log.tree import (
    Node,
    ProofInvalid,
    Tree,
    consistency_ranges,
    fold,
    inclusion_ranges,
    leaf_hash,
    node_hash,
    range_nodes,
    verify_consistency,
    verify_inclusion,
)
from silkledger.statement import StatementError, parse_statement, sign_statement
from silkledger.values import Did, Digest, DocumentType
from tests.unit.log import reference

KEY = PrivateKey(Suite.ES256K, b"\x01" * 32)
DID = Did.of(7317, address_of(KEY.verifying_key.public))

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.binary(max_size=40)
    | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.integers(-(2**64), 2**64 - 1) | st.text(max_size=30), inner, max_size=4)
    ),
    max_leaves=12,
)


def statement(subject: str = "s", content: bytes = b"") -> bytes:
    return sign_statement(
        KEY,
        issuer=DID,
        kid=f"{DID}#controller",
        subject=subject,
        document_type=DocumentType("705"),
        digest=Digest(hashlib.sha256(content).digest()),
        content_type="application/json",
        issued_at=1,
        salt=bytes(16),
    )


@given(values)
def test_cbor_comes_back_and_outside_readers_agree(value: Any) -> None:
    data = cbor.encode(value)
    assert cbor.decode(data) == value
    assert cbor2.loads(data) == value


@given(st.binary(max_size=200))
def test_cbor_accepts_only_what_it_would_write(data: bytes) -> None:
    try:
        value = cbor.decode(data)
    except cbor.CborError:
        return
    assert cbor.encode(value) == data


@given(values, st.data())
def test_a_cut_item_is_never_accepted(value: Any, data: st.DataObject) -> None:
    encoded = cbor.encode(value)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(cbor.CborError):
        cbor.decode(encoded[:cut])


@given(st.binary(max_size=60))
def test_base58_comes_back(data: bytes) -> None:
    assert b58decode(b58encode(data)) == data


@given(st.integers(0, 2**60), st.integers(1, 256), st.integers(0, 63))
def test_tile_paths_come_back(number: int, width: int, level: int) -> None:
    assert parse_path(Tile(level, number, width).path()) == Tile(level, number, width)
    assert parse_path(Bundle(number, width).path()) == Bundle(number, width)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 700), st.data())
def test_proofs_of_any_size_verify_and_equal_the_text(size: int, data: st.DataObject) -> None:
    entries = [b"%d" % i for i in range(size)]
    tree = Tree()
    tree.extend(entries)
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    path, proof = tree.inclusion_path(index), tree.consistency_path(old)
    assert path == reference.path(index, entries)
    assert proof == reference.proof(old, entries)
    verify_inclusion(index, size, leaf_hash(entries[index]), path, tree.root())
    verify_consistency(old, size, tree.root(old), tree.root(), proof)


def repeated(node: Node) -> bytes:
    """Hash of a complete subtree in a tree whose entries are all empty: a huge tree without its leaves."""
    value = leaf_hash(b"")
    for _ in range(node.level):
        value = node_hash(value, value)
    return value


def repeated_root(size: int) -> bytes:
    return fold([repeated(node) for node in range_nodes(0, size)])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 2**62), st.data())
def test_proofs_hold_in_trees_of_any_size(new: int, data: st.DataObject) -> None:
    index, old = data.draw(st.integers(0, new - 1)), data.draw(st.integers(1, new))
    path = [fold([repeated(n) for n in range_nodes(*r)]) for r in inclusion_ranges(index, new)]
    proof = [fold([repeated(n) for n in range_nodes(*r)]) for r in consistency_ranges(old, new)]
    verify_inclusion(index, new, leaf_hash(b""), path, repeated_root(new))
    verify_consistency(old, new, repeated_root(old), repeated_root(new), proof)
    with pytest.raises(ProofInvalid):
        verify_inclusion(index, new, leaf_hash(b"x"), path, repeated_root(new))
    with pytest.raises(ProofInvalid):
        verify_inclusion(index, new, leaf_hash(b""), [*path, bytes(32)], repeated_root(new))


@settings(deadline=None)
@given(st.data())
def test_no_changed_byte_of_a_statement_survives_both_parsing_and_verification(data: st.DataObject) -> None:
    raw = bytearray(statement())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(StatementError):
        parse_statement(bytes(raw)).verify(KEY.verifying_key)


@settings(deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes_are_parsed_or_refused_with_a_reason(raw: bytes) -> None:
    for candidate in (raw, b"\xd2" + raw, b"\xd2\x84" + raw):
        with pytest.raises(StatementError) as caught:
            parse_statement(candidate)
        assert caught.value.reason.isupper()


@given(st.binary(max_size=300), st.binary(max_size=300), st.binary(max_size=300), st.data())
def test_the_quick_reader_of_messages_agrees_with_the_strict_one(
    protected: bytes, payload: bytes, signature: bytes, data: st.DataObject
) -> None:
    raw = cose.encode_sign1(protected, payload, signature)
    assert cose._plain_parts(raw) == cose._parts(raw) == (protected, {}, payload, signature)
    changed = bytearray(raw)
    changed[data.draw(st.integers(1, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    for other in (bytes(changed), raw + b"\0", raw[:-1]):
        quick = cose._plain_parts(other)
        if quick is not None:
            assert quick == cose._parts(other)
