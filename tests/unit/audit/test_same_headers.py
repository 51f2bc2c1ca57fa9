"""Two nodes' headers of one block: other seals and rounds are no difference, anything else is."""

from __future__ import annotations

from silkledger.audit.tables import same_headers
from silkledger.evidence.header import EngineKind, decode_header
from silkledger.evidence.qbft import MIX_HASH, OMMERS_HASH
from silkledger.evidence.qbft_extra import ExtraData
from silkledger.evidence.rlp import encode, encode_int
from silkledger.values import Address

VALIDATORS = tuple(Address(bytes([number]) * 20) for number in (1, 2, 3, 4))


def header(round_number: int, seals: tuple[bytes, ...], gas_used: int = 21_000) -> bytes:
    extra = ExtraData(bytes(32), VALIDATORS, None, round_number, seals)
    numbers = [encode_int(value) for value in (1, 7, 30_000_000, gas_used, 1_700_000_000)]
    roots = [bytes([fill]) * 32 for fill in (1, 2, 3)]
    head = [bytes(32), OMMERS_HASH, bytes(VALIDATORS[0]), *roots, bytes(256), *numbers]
    return encode([*head, extra.encode(), MIX_HASH, bytes(8), b""])


def test_other_seals_and_rounds_are_the_same_block() -> None:
    (same,) = same_headers(EngineKind.QBFT).values()
    one, other = header(0, (bytes(64) + b"\1",)), header(2, (b"\1" * 64 + b"\1",) * 3)
    assert decode_header(one, EngineKind.QBFT).hash == decode_header(other, EngineKind.QBFT).hash
    assert same(one, other)


def test_any_other_field_is_a_difference() -> None:
    (same,) = same_headers(EngineKind.QBFT).values()
    assert not same(header(0, ()), header(0, (), gas_used=21_001))
    assert not same(header(0, ()), header(0, ())[:-1])
    assert not same(header(0, ()), b"no header")


def test_without_seals_every_byte_counts() -> None:
    (same,) = same_headers(EngineKind.NO_SEALS).values()
    assert not same(header(0, ()), header(1, ()))
