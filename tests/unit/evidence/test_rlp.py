from __future__ import annotations

import pytest

from silkledger.evidence import rlp
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.reasons import Reason
from tests.unit.evidence.refusals import refused


@pytest.mark.parametrize(
    ("item", "encoded"),
    [
        (b"dog", "83646f67"),
        ([b"cat", b"dog"], "c88363617483646f67"),
        (b"", "80"),
        ([], "c0"),
        (b"\x0f", "0f"),
        (b"\x80", "8180"),
        ([[], [[]], [[], [[]]]], "c7c0c1c0c3c0c1c0"),
        (
            b"Lorem ipsum dolor sit amet, consectetur adipisicing elit",
            "b8384c6f72656d20697073756d20646f6c6f722073697420616d65742c20636f6e7365637465747572206164697069736963696e6720656c6974",
        ),
    ],
)
def test_examples_of_the_specification(item: rlp.Item, encoded: str) -> None:
    assert rlp.encode(item).hex() == encoded
    assert rlp.decode(bytes.fromhex(encoded)) == item


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "nothing"),
        ("8100", "a prefix for a byte below 0x80"),
        ("b80100", "a long form for a short payload"),
        ("b90038" + "00" * 56, "a length with leading zeros"),
        ("83646f", "cut short"),
        ("83646f6700", "bytes left over"),
        ("c2836f", "an item beyond its list"),
        ("f800", "an empty list in long form"),
        ("b8", "a length that is missing"),
        ("c1" * 40 + "c0", "nested too deep"),
    ],
)
def test_refuses_every_other_encoding(data: str, why: str) -> None:
    with pytest.raises(EvidenceInvalid) as caught:
        rlp.decode(bytes.fromhex(data))
    assert caught.value.reason is Reason.RLP_NOT_CANONICAL, why


def test_integers_are_minimal() -> None:
    assert [rlp.encode_int(n) for n in (0, 1, 255, 256)] == [b"", b"\x01", b"\xff", b"\x01\x00"]
    assert rlp.as_int(b"\x01\x00", "n") == 256
    with refused(Reason.RLP_NOT_CANONICAL):
        rlp.as_int(b"\x00\x01", "n")
    with refused(Reason.RLP_SHAPE):
        rlp.as_int(b"\x01" * 33, "n")
    with refused(Reason.RLP_SHAPE):
        rlp.as_int([], "n")
