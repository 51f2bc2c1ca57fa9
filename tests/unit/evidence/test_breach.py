"""A promise that a log did not keep, proven by a dated head and all entries; and what is no breach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from silkledger import cbor
from silkledger.evidence.breach import BreachProof, decode_breach, prove_breach, verify_breach
from silkledger.evidence.reasons import Reason
from silkledger.log.checkpoint import Checkpoint, LogVerifierKey, NoteKeyType, cosign, sign_checkpoint
from silkledger.log.promise import make_promise
from silkledger.log.tree import Tree
from silkledger.statement import parse_statement
from silkledger.values import Did, StatementId
from tests.unit.evidence.refusals import refused
from tests.unit.evidence.world import CHAIN_ID, ORIGIN, World, account, log_private_key

LOG_KEY, WITNESS_KEY = log_private_key(1), log_private_key(5)
LOG = LogVerifierKey.of(ORIGIN, LOG_KEY.verifying_key)
WITNESS = LogVerifierKey.of("witness.example/w1", WITNESS_KEY.verifying_key, NoteKeyType.COSIGNATURE_V1)
LOG_BY_S = 1_800_000_060
WORLD = World()
DID = Did.of(CHAIN_ID, WORLD.issuer.address)
STATEMENT = WORLD.statement
OTHERS = (b"no statement at all", parse_statement(WORLD.sign(account(9), DID, kid="delegate-1")).raw, b"x")


def promise(*ids: StatementId) -> bytes:
    return make_promise(
        LOG_KEY,
        origin=ORIGIN,
        statement_ids=ids or (STATEMENT.id,),
        accepted_at_ms=(LOG_BY_S - 60) * 1000,
        log_by_ms=LOG_BY_S * 1000,
        organisation=DID,
        request_id="one",
    )


def head(entries: Sequence[bytes], dated: int = LOG_BY_S + 1) -> str:
    tree = Tree()
    tree.extend(entries)
    note = sign_checkpoint(Checkpoint(ORIGIN, tree.size, tree.root()), LOG_KEY)
    return cosign(note, WITNESS.name, WITNESS_KEY, dated)


def proof(entries: Sequence[bytes] = OTHERS, dated: int = LOG_BY_S + 1) -> BreachProof:
    return prove_breach(promise(), STATEMENT.id, head(entries, dated), entries, LOG, WITNESS)


def test_a_statement_that_is_not_in_the_log_after_the_time_promised() -> None:
    found = verify_breach(proof().encode(), LOG, WITNESS)
    assert found.statement_id == STATEMENT.id
    assert found.promise.log_by_ms == LOG_BY_S * 1000
    assert (found.head.size, found.dated_s) == (3, LOG_BY_S + 1)
    assert verify_breach(proof(()).encode(), LOG, WITNESS).head.size == 0


def test_a_head_of_before_or_of_the_very_time_is_not_late() -> None:
    for dated in (LOG_BY_S - 1, LOG_BY_S):
        with refused(Reason.PROMISE_NOT_DUE):
            verify_breach(proof(dated=dated).encode(), LOG, WITNESS)


def test_a_kept_promise_also_where_the_statement_was_signed_anew() -> None:
    with refused(Reason.STATEMENT_LOGGED):
        verify_breach(proof((*OTHERS, STATEMENT.raw)).encode(), LOG, WITNESS)
    anew = STATEMENT.raw[:-64] + bytes(64)
    assert anew != STATEMENT.raw
    with refused(Reason.STATEMENT_LOGGED):
        verify_breach(proof((anew,)).encode(), LOG, WITNESS)


def test_an_entry_hidden_replaced_or_added() -> None:
    full = proof((*OTHERS, STATEMENT.raw))
    swapped = (OTHERS[1], OTHERS[0], OTHERS[2], b"other")
    for entries in (full.entries[:-1], (*full.entries[:-1], b"other"), swapped, (*full.entries, b"more")):
        with refused(Reason.ENTRIES_MISMATCH):
            verify_breach(replace(full, entries=entries).encode(), LOG, WITNESS)


def test_a_promise_of_another_log_or_about_another_statement() -> None:
    other = replace(proof(), promise=promise(StatementId(bytes(32))))
    stranger = LogVerifierKey.of(ORIGIN, log_private_key(2).verifying_key)
    with refused(Reason.PROMISE_NOT_MADE):
        verify_breach(other.encode(), LOG, WITNESS)
    with refused(Reason.PROMISE_NOT_MADE):
        verify_breach(proof().encode(), stranger, WITNESS)
    with refused(Reason.PROMISE_NOT_MADE):
        verify_breach(replace(proof(), promise=b"").encode(), LOG, WITNESS)


def test_a_head_that_nobody_dated_or_another_witness_did() -> None:
    undated = head(OTHERS).rpartition("— witness")[0].encode()
    with refused(Reason.CHECKPOINT_MALFORMED):
        verify_breach(replace(proof(), checkpoint=undated).encode(), LOG, WITNESS)
    other = LogVerifierKey.of(WITNESS.name, log_private_key(6).verifying_key, NoteKeyType.COSIGNATURE_V1)
    with refused(Reason.HEAD_NOT_DATED):
        verify_breach(proof().encode(), LOG, other)
    third = cosign(head(OTHERS), "witness.example/w2", log_private_key(6), LOG_BY_S + 1)
    assert prove_breach(promise(), STATEMENT.id, third, OTHERS, LOG, WITNESS) == proof()
    with refused(Reason.CHECKPOINT_MALFORMED):
        verify_breach(replace(proof(), checkpoint=third.encode()).encode(), LOG, WITNESS)
    for bad in (b"", b"\xff"):
        with refused(Reason.CHECKPOINT_MALFORMED):
            verify_breach(replace(proof(), checkpoint=bad).encode(), LOG, WITNESS)


def test_a_head_that_another_key_signed() -> None:
    tree = Tree()
    tree.extend(OTHERS)
    forged = sign_checkpoint(Checkpoint(ORIGIN, 3, tree.root()), log_private_key(2))
    note = cosign(forged, WITNESS.name, WITNESS_KEY, LOG_BY_S + 1).encode()
    with refused(Reason.CHECKPOINT_KEY):
        verify_breach(replace(proof(), checkpoint=note).encode(), LOG, WITNESS)


def test_no_byte_of_a_proof_can_change() -> None:
    data = proof().encode()
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << (position % 8)
        with pytest.raises(ValueError):
            verify_breach(bytes(changed), LOG, WITNESS)


def test_one_form_only() -> None:
    good = proof()
    assert decode_breach(good.encode()) == good
    content = {1: 1, 2: good.promise, 3: bytes(good.statement_id), 4: good.checkpoint, 5: list(good.entries)}
    bad: list[dict[int, object]] = [
        content | {1: 2},
        content | {1: True},
        content | {3: b""},
        content | {2: "text"},
        content | {5: [1]},
        content | {6: 0},
        {1: 1},
    ]
    for value in bad:
        with refused(Reason.PROOF_MALFORMED):
            decode_breach(cbor.encode(value))
    with refused(Reason.PROOF_MALFORMED):
        decode_breach(good.encode() + b"\0")


def test_a_log_that_changed_its_key_in_between_is_held_to_its_promise() -> None:
    new = log_private_key(2)
    keys = [LOG, LogVerifierKey.of(ORIGIN, new.verifying_key)]
    tree = Tree()
    tree.extend(OTHERS)
    for signers in ((new,), (new, LOG_KEY)):
        note = sign_checkpoint(Checkpoint(ORIGIN, 3, tree.root()), *signers)
        note = cosign(note, WITNESS.name, WITNESS_KEY, LOG_BY_S + 1)
        made = prove_breach(promise(), STATEMENT.id, note, OTHERS, keys, WITNESS).encode()
        assert verify_breach(made, keys, WITNESS).head.size == 3
        with refused(Reason.CHECKPOINT_KEY):
            verify_breach(made, LOG, WITNESS)
        with refused(Reason.PROMISE_NOT_MADE):
            verify_breach(made, keys[1], WITNESS)


def test_a_promise_of_one_log_is_not_broken_by_the_head_of_another() -> None:
    other = LogVerifierKey.of("log.example/other", LOG_KEY.verifying_key)
    tree = Tree()
    tree.extend(OTHERS)
    note = sign_checkpoint(Checkpoint(other.name, 3, tree.root()), LOG_KEY)
    note = cosign(note, WITNESS.name, WITNESS_KEY, LOG_BY_S + 1)
    made = prove_breach(promise(), STATEMENT.id, note, OTHERS, [LOG, other], WITNESS).encode()
    with refused(Reason.ORIGIN_MISMATCH):
        verify_breach(made, [LOG, other], WITNESS)
