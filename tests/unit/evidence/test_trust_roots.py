from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from silkledger.evidence.header import EngineKind
from silkledger.evidence.lineage import ValidatorRules
from silkledger.evidence.trust_roots import PinnedLog, PinnedWitnesses, TrustRoots, TrustRootsError
from silkledger.log.checkpoint import LogVerifierKey, NoteKeyType
from silkledger.values import Address
from tests.unit.evidence.witnesses import NAMES, pin, vkey, witness_key
from tests.unit.evidence.world import GENESIS, World

ROOTS = World().roots()
LOG_KEY = str(LogVerifierKey.of(NAMES[0], witness_key(NAMES[0]).verifying_key))
"""Of the type of a log's key."""


def test_plain_and_sealed_roots_are_read_as_written() -> None:
    rules = ValidatorRules(30_000, {7: (Address(b"\x01" * 20), Address(b"\x02" * 20))})
    sealed = replace(
        ROOTS, engine=EngineKind.QBFT, rules=rules, log=PinnedLog("a", "b"), relying_country=None
    )
    witnessed = replace(ROOTS, witnesses=pin(2))
    for roots in (ROOTS, sealed, witnessed):
        assert TrustRoots.from_json(roots.to_json()) == roots
        assert TrustRoots.from_json(roots.to_json().encode()) == roots


def test_genesis_is_always_pinned() -> None:
    assert ROOTS.pin_of(0) == GENESIS
    assert ROOTS.pin_of(24) == ROOTS.pinned_blocks[24]
    assert ROOTS.pin_of(23) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", "silkledger-trust-roots/2"),
        ("chainId", "7317"),
        ("chainId", -1),
        ("chainId", True),
        ("genesisHash", "0x00"),
        ("engine", {"kind": "raft"}),
        ("engine", {"kind": "no-seals", "epochLength": 3}),
        ("engine", {"kind": "qbft", "epochLength": 0, "transitions": {}}),
        ("engine", {"kind": "qbft", "epochLength": 3, "transitions": {"7": []}}),
        ("engine", "qbft"),
        ("directory", "0x12"),
        ("contracts", {}),
        ("pinnedBlocks", {"07": "0x" + "00" * 32}),
        ("pinnedBlocks", {"7": "0x00"}),
        ("pinnedBlocks", [1]),
        ("relyingCountry", "Thailand"),
        ("log", {"origin": "a"}),
        ("unknown", 1),
        ("witnesses", {"verifierKeys": [str(vkey(NAMES[0]))]}),
        ("witnesses", {"verifierKeys": [], "threshold": 0}),
        ("witnesses", {"verifierKeys": [str(vkey(NAMES[0]))], "threshold": 0}),
        ("witnesses", {"verifierKeys": [str(vkey(NAMES[0]))], "threshold": 2}),
        ("witnesses", {"verifierKeys": [str(vkey(NAMES[0]))], "threshold": True}),
        ("witnesses", {"verifierKeys": [str(vkey(NAMES[0]))] * 2, "threshold": 1}),
        ("witnesses", {"verifierKeys": [LOG_KEY], "threshold": 1}),
        ("witnesses", {"verifierKeys": ["witness"], "threshold": 1}),
        ("witnesses", {"verifierKeys": str(vkey(NAMES[0])), "threshold": 1}),
    ],
)
def test_anything_else_is_refused(name: str, value: Any) -> None:
    fields = json.loads(ROOTS.to_json())
    fields[name] = value
    with pytest.raises(TrustRootsError):
        TrustRoots.from_json(json.dumps(fields))


def test_no_witness_counts_twice() -> None:
    """Neither under two names nor with two keys."""
    one = vkey(NAMES[0])
    for other in (
        LogVerifierKey(NAMES[1], one.public, NoteKeyType.COSIGNATURE_V1),
        LogVerifierKey(NAMES[0], vkey(NAMES[1]).public, NoteKeyType.COSIGNATURE_V1),
    ):
        with pytest.raises(TrustRootsError, match="count twice"):
            PinnedWitnesses((one, other), 1)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 1, "format": 1}', b"\xff"])
def test_what_is_no_object_is_refused(text: str | bytes) -> None:
    with pytest.raises(TrustRootsError):
        TrustRoots.from_json(text)


def test_a_missing_name_is_refused() -> None:
    for name in ("format", "chainId", "genesisHash", "engine", "directory", "contracts", "pinnedBlocks"):
        fields = json.loads(ROOTS.to_json())
        del fields[name]
        with pytest.raises(TrustRootsError):
            TrustRoots.from_json(json.dumps(fields))
