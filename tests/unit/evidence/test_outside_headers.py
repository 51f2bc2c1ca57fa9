"""Real QBFT headers and extraData that others published: tests/vectors/evidence/qbft-outside.json."""

from __future__ import annotations

import json
from typing import Any

import pytest

from silkledger.evidence.header import EngineKind, decode_header
from silkledger.evidence.lineage import skip
from silkledger.evidence.qbft import extra_data_of, quorum, seal_digest, verify_seals
from silkledger.evidence.qbft_extra import decode_extra_data
from silkledger.evidence.reasons import Reason
from tests.unit.evidence.recorded import VECTORS
from tests.unit.evidence.refusals import refused

OUTSIDE: dict[str, Any] = json.loads((VECTORS / "qbft-outside.json").read_text())


def _named(entries: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", entries, ids=[entry["name"] for entry in entries])


@_named(OUTSIDE["headers"])
def test_the_seals_of_a_header_from_outside(vector: dict[str, Any]) -> None:
    header = decode_header(bytes.fromhex(vector["raw"]), EngineKind.QBFT)
    extra = extra_data_of(header)
    assert (header.number, extra.round) == (vector["number"], vector["round"])
    assert seal_digest(header).hex() == vector["sealDigest"]
    signers = verify_seals(header, extra.validators)
    assert sorted(str(signer) for signer in signers) == vector["signers"]
    assert len(signers) == quorum(len(extra.validators))
    assert skip(frozenset(extra.validators), header) == frozenset(extra.validators)


@_named(OUTSIDE["headers"])
def test_no_byte_of_it_can_change(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["raw"])
    members = extra_data_of(decode_header(raw, EngineKind.QBFT)).validators
    for position in range(0, len(raw), 3):
        changed = bytearray(raw)
        changed[position] ^= 0x40
        with pytest.raises(ValueError):
            verify_seals(decode_header(bytes(changed), EngineKind.QBFT), members)


@_named(OUTSIDE["extraData"])
def test_extra_data_from_outside(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["raw"])
    extra = decode_extra_data(raw)
    assert extra.encode() == raw
    assert extra.vanity.hex() == vector["vanity"]
    assert [str(validator) for validator in extra.validators] == vector["validators"]
    assert extra.vote is not None
    assert {"subject": str(extra.vote.subject), "add": extra.vote.add} == vector["vote"]
    assert extra.round == vector["round"]
    assert [seal.hex() for seal in extra.seals] == vector["seals"]


@_named(OUTSIDE["refused"])
def test_forms_that_no_node_emits_any_more(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["raw"])
    with refused(Reason(vector["reason"])):
        if vector["what"] == "header":
            decode_header(raw, EngineKind.QBFT)
        else:
            decode_extra_data(raw)
