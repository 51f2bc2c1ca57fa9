"""Two sealed blocks of one height, two checkpoints of one size: proven, naming who signed twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from silkledger import cbor
from silkledger.evidence.equivocation import (
    Kind,
    decode_equivocation,
    prove_checkpoints,
    prove_headers,
    verify_equivocation,
)
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trust_roots import PinnedLog, TrustRoots
from silkledger.log.checkpoint import Checkpoint, LogVerifierKey, sign_checkpoint
from silkledger.values import MerkleRoot
from tests.support.qbft_chain import Turn, validators
from tests.unit.evidence.refusals import refused
from tests.unit.evidence.sealed_world import AS_OF, FOUR, SealedWorld
from tests.unit.evidence.world import ORIGIN, World, log_private_key

KEY = log_private_key()
VKEY = str(LogVerifierKey.of(ORIGIN, KEY.verifying_key))
HONEST = SealedWorld()


def other_block(**turn: object) -> SealedWorld:
    """The same ledger up to the newest block, which is another one, sealed by 0, 1 and 3 unless said."""
    sealers = [FOUR[0], FOUR[1], FOUR[3]]
    turn = {"proposer": FOUR[3], "sealers": sealers} | turn
    return SealedWorld(turns={AS_OF: Turn(**turn)})  # type: ignore[arg-type]


def proof_of(other: SealedWorld, *, first: int = 0) -> bytes:
    mine, theirs = HONEST.chain.headers, other.chain.headers
    lineage = [header.raw for header in mine[first:AS_OF]]
    return prove_headers(mine[AS_OF].raw, theirs[AS_OF].raw, lineage).encode()


def roots() -> TrustRoots:
    return HONEST.roots()


def test_two_blocks_of_one_height_name_who_sealed_both() -> None:
    found = verify_equivocation(proof_of(other_block()), roots())
    assert found.kind is Kind.HEADERS
    assert found.signers == (str(FOUR[0].address), str(FOUR[1].address))
    assert found.subject == f"block {AS_OF}"
    assert len(set(found.values)) == 2
    assert found.each_at_fault
    assert found.pinned


def test_without_trust_roots_whose_keys_they_are_is_not_said() -> None:
    assert not verify_equivocation(proof_of(other_block())).pinned


def test_in_different_rounds_not_each_one_is_at_fault() -> None:
    assert not verify_equivocation(proof_of(other_block(round=1)), roots()).each_at_fault


def test_one_block_sealed_by_others_or_another_height_is_no_contradiction() -> None:
    same = SealedWorld(turns={AS_OF: Turn(sealers=FOUR[1:])})
    assert same.chain.headers[AS_OF].hash == HONEST.chain.headers[AS_OF].hash
    assert same.chain.headers[AS_OF].raw != HONEST.chain.headers[AS_OF].raw
    with refused(Reason.NO_CONTRADICTION):
        verify_equivocation(proof_of(same), roots())
    with refused(Reason.NO_CONTRADICTION):
        verify_equivocation(prove_headers(HONEST.chain.headers[3].raw, HONEST.chain.headers[4].raw).encode())


def test_a_block_without_a_quorum_accuses_nobody() -> None:
    with refused(Reason.SEAL_QUORUM):
        verify_equivocation(proof_of(other_block(sealers=FOUR[2:])), roots())


def test_strangers_cannot_frame_the_network_nor_be_taken_for_it() -> None:
    strangers = SealedWorld(members=validators(4, first=70))
    framed = prove_headers(HONEST.chain.headers[AS_OF].raw, strangers.chain.headers[AS_OF].raw).encode()
    with refused(Reason.NO_DOUBLE_SIGNER):
        verify_equivocation(framed)
    twice = SealedWorld(members=strangers.members, turns={AS_OF: Turn(proposer=strangers.members[2])})
    raw = [world.chain.headers for world in (strangers, twice)]
    lineage = [header.raw for header in raw[0][:AS_OF]]
    alone = prove_headers(raw[0][AS_OF].raw, raw[1][AS_OF].raw, lineage).encode()
    assert not verify_equivocation(alone).pinned
    with refused(Reason.BLOCK_PIN_MISMATCH):
        verify_equivocation(alone, roots())


def test_a_lineage_that_starts_nowhere_or_has_a_gap() -> None:
    with refused(Reason.LINEAGE_NO_START):
        verify_equivocation(proof_of(other_block(), first=5), roots())
    mine = HONEST.chain.headers
    other = other_block().chain.headers[AS_OF]
    skipped = prove_headers(mine[AS_OF].raw, other.raw, [mine[0].raw]).encode()
    assert verify_equivocation(skipped, roots()).pinned
    backwards = prove_headers(mine[AS_OF].raw, other.raw, [mine[3].raw, mine[0].raw]).encode()
    with refused(Reason.HEADER_ORDER):
        verify_equivocation(backwards, roots())


def note(size: int = 5, fill: int = 1, key: object = KEY) -> bytes:
    head = Checkpoint(ORIGIN, size, MerkleRoot(bytes([fill]) * 32))
    return sign_checkpoint(head, key).encode()  # type: ignore[arg-type]


def test_two_checkpoints_of_one_size_name_the_log() -> None:
    data = prove_checkpoints(note(), note(fill=2), VKEY).encode()
    unpinned = verify_equivocation(data, World().roots())
    assert unpinned.signers == (VKEY,)
    assert unpinned.subject == f"log {ORIGIN} of 5 leaves"
    assert not unpinned.pinned
    pinned = replace(World().roots(), log=PinnedLog(ORIGIN, VKEY))
    assert verify_equivocation(data, pinned).pinned
    other = str(LogVerifierKey.of(ORIGIN, log_private_key(2).verifying_key))
    with refused(Reason.LOG_KEY_NOT_PINNED):
        verify_equivocation(data, replace(pinned, log=PinnedLog(ORIGIN, other)))


def test_checkpoints_that_prove_nothing() -> None:
    with refused(Reason.NO_CONTRADICTION):
        verify_equivocation(prove_checkpoints(note(), note(), VKEY).encode())
    with refused(Reason.NO_CONTRADICTION):
        verify_equivocation(prove_checkpoints(note(), note(size=6, fill=2), VKEY).encode())
    with refused(Reason.CHECKPOINT_KEY):
        verify_equivocation(prove_checkpoints(note(), note(fill=2, key=log_private_key(2)), VKEY).encode())
    with refused(Reason.PROOF_MALFORMED):
        verify_equivocation(prove_checkpoints(note(), note(fill=2), "no key").encode())


@pytest.mark.parametrize("kind", list(Kind))
def test_no_byte_of_a_proof_can_change(kind: Kind) -> None:
    headers = kind is Kind.HEADERS
    data = (
        proof_of(other_block(), first=20)
        if headers
        else prove_checkpoints(note(), note(fill=2), VKEY).encode()
    )
    pins = {20: HONEST.chain.headers[20].hash}
    trusted = replace(roots(), pinned_blocks=pins, log=PinnedLog(ORIGIN, VKEY))
    assert verify_equivocation(data, trusted).pinned
    for position in range(0, len(data), 7 if headers else 1):
        changed = bytearray(data)
        changed[position] ^= 1 << (position % 8)
        with pytest.raises(ValueError):
            verify_equivocation(bytes(changed), trusted)


def test_one_form_only() -> None:
    good = prove_checkpoints(note(), note(fill=2), VKEY)
    data = good.encode()
    assert decode_equivocation(data) == good
    swapped = cbor.encode({1: 1, 2: 2, 3: list(reversed(good.pair)), 4: VKEY})
    other_kind = cbor.encode({1: 1, 2: 1, 3: list(good.pair), 4: VKEY})
    boolean = cbor.encode({1: True, 2: 2, 3: list(good.pair), 4: VKEY})
    for bad in (b"", data + b"\0", swapped, other_kind, boolean, cbor.encode({1: 1})):
        with refused(Reason.PROOF_MALFORMED):
            decode_equivocation(bad)
