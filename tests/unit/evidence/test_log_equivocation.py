"""A log that signs one tree with its old key and another of that size with its new one is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from silkledger import cbor
from silkledger.evidence.contradiction import find_contradiction
from silkledger.evidence.equivocation import decode_equivocation, prove_checkpoints, verify_equivocation
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trust_roots import PinnedLog, TrustRoots
from silkledger.keys import PrivateKey
from silkledger.log.checkpoint import Checkpoint, LogVerifierKey, sign_checkpoint
from silkledger.values import BlockHash, MerkleRoot
from tests.unit.evidence.refusals import refused
from tests.unit.evidence.world import ORIGIN, World
from tests.vectors.evidence.verdict_cases.log_keys import NEW, OLD, OTHER, WORLDS

WORLD = WORLDS["new-after-the-end"]
"""Registered with OLD, NEW added, OLD ended."""
EVIDENCE = WORLD.evidence().encode()


def vkey(key: PrivateKey, origin: str = ORIGIN) -> str:
    return str(LogVerifierKey.of(origin, key.verifying_key))


def note(*keys: PrivateKey, fill: int = 1, origin: str = ORIGIN) -> bytes:
    return sign_checkpoint(Checkpoint(origin, 5, MerkleRoot(bytes([fill]) * 32)), *keys).encode()


def proof(*, evidence: bytes | None = EVIDENCE, by: PrivateKey = NEW) -> bytes:
    return find_contradiction(note(OLD), note(by, fill=2), [vkey(OLD), vkey(by)], evidence).encode()


def roots(world: World = WORLD) -> TrustRoots:
    return world.roots()


def test_two_keys_of_one_log_accuse_it() -> None:
    found = verify_equivocation(proof(), roots())
    assert (set(found.signers), found.pinned, found.each_at_fault) == ({vkey(OLD), vkey(NEW)}, True, True)
    assert found.subject == f"log {ORIGIN} of 5 leaves"


def test_without_its_history_or_without_trust_roots_nothing_says_that_both_are_the_logs() -> None:
    assert not verify_equivocation(proof()).pinned
    assert not verify_equivocation(proof(evidence=None), roots()).pinned
    pinned = replace(roots(), log=PinnedLog(ORIGIN, vkey(OLD)))
    with refused(Reason.LOG_KEY_NOT_PINNED):
        verify_equivocation(proof(evidence=None), pinned)


@pytest.mark.parametrize("key", [OLD, NEW])
def test_a_pinned_log_is_named_by_any_of_its_keys(key: PrivateKey) -> None:
    assert verify_equivocation(proof(), replace(roots(), log=PinnedLog(ORIGIN, vkey(key)))).pinned


def test_another_log_or_a_key_that_it_never_had_is_not_accused() -> None:
    for pin in (PinnedLog(ORIGIN, vkey(OTHER)), PinnedLog("log.example/other", vkey(OLD))):
        with refused(Reason.LOG_KEY_NOT_PINNED):
            verify_equivocation(proof(), replace(roots(), log=pin))
    with refused(Reason.CHECKPOINT_KEY):
        verify_equivocation(proof(by=OTHER), roots())
    alone = find_contradiction(note(OTHER), note(OTHER, fill=2), [vkey(OTHER)], EVIDENCE).encode()
    with refused(Reason.CHECKPOINT_KEY):
        verify_equivocation(alone, roots())
    assert not verify_equivocation(alone).pinned


def test_a_history_of_another_ledger_or_an_altered_one() -> None:
    with refused(Reason.NETWORK_MISMATCH):
        verify_equivocation(proof(), replace(roots(), genesis_hash=BlockHash(b"\x01" * 32)))
    made = decode_equivocation(proof())
    assert made.history is not None
    for records in (made.history.records[:-1], ()):
        cut = replace(made, history=replace(made.history, records=records)).encode()
        with refused(Reason.HISTORY_HEAD):
            verify_equivocation(cut, roots())


def test_one_key_that_signed_both_is_named_alone_whatever_else_signed() -> None:
    made = find_contradiction(note(OLD, NEW), note(NEW, fill=2), [vkey(OLD), vkey(NEW)])
    assert made.log_keys == (vkey(NEW),)
    assert verify_equivocation(made.encode()).signers == (vkey(NEW),)


def test_what_contradicts_nothing_or_was_not_signed() -> None:
    keys = [vkey(OLD), vkey(NEW)]
    with refused(Reason.NO_CONTRADICTION):
        verify_equivocation(find_contradiction(note(OLD), note(NEW), keys).encode())
    with refused(Reason.CHECKPOINT_MALFORMED):
        verify_equivocation(find_contradiction(note(OLD), note(OTHER, fill=2), keys).encode())
    first, second = note(OLD), note(NEW, fill=2)
    with refused(Reason.CHECKPOINT_KEY):
        verify_equivocation(prove_checkpoints(first, second, vkey(NEW), vkey(OLD)).encode())
    with refused(Reason.PROOF_MALFORMED):
        find_contradiction(first, second, [vkey(OLD), vkey(NEW, "log.example/other")])
    with refused(Reason.HISTORY_NOT_IN_BUNDLE):
        other = [vkey(OLD, "log.example/other")]
        find_contradiction(note(OLD, origin="log.example/other"), second, other, EVIDENCE)


def test_one_form_only() -> None:
    data = proof()
    made = decode_equivocation(data)
    assert made.encode() == data
    fields = cbor.decode(data)
    edits: list[dict[int, object]] = [
        {4: [made.log_keys[0]] * 2},
        {4: list(made.log_keys[::-1]), 3: list(made.pair[::-1])},
        {4: [*made.log_keys, vkey(OTHER)]},
        {4: [made.log_keys[0]]},
        {4: [made.log_keys[0], vkey(NEW, "log.example/other")]},
        {4: [made.log_keys[0], 1]},
        {5: {}},
    ]
    for edit in edits:
        with refused(Reason.PROOF_MALFORMED):
            decode_equivocation(cbor.encode(fields | edit))


def test_no_byte_of_a_proof_can_change() -> None:
    data = proof()
    trusted = roots()
    for position in range(0, len(data), 3):
        changed = bytearray(data)
        changed[position] ^= 1 << (position % 8)
        with pytest.raises(ValueError):
            verify_equivocation(bytes(changed), trusted)
