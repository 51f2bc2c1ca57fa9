"""Witnesses and promises for the bundles of `world.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from silkledger.evidence.assemble import cosigned
from silkledger.evidence.bundle import Bundle
from silkledger.evidence.trust_roots import PinnedWitnesses
from silkledger.keys import PrivateKey, Suite
from silkledger.log.checkpoint import LogVerifierKey, NoteKeyType, cosign, parse_note
from silkledger.log.promise import make_promise
from silkledger.values import Did, StatementId
from tests.unit.evidence.world import CHAIN_ID, ORIGIN, START, World

NAMES = ("witness.example/a", "witness.example/b", "witness.example/c")


def witness_key(name: str) -> PrivateKey:
    return PrivateKey(Suite.EDDSA, name[-1].encode() * 32)


def vkey(name: str) -> LogVerifierKey:
    return LogVerifierKey.of(name, witness_key(name).verifying_key, NoteKeyType.COSIGNATURE_V1)


def cosignature(bundle: Bundle, name: str, time: int = START + 30) -> str:
    """The witness's line for the bundle's checkpoint."""
    note = cosign(bundle.log.checkpoint.decode(), name, witness_key(name), time)
    return parse_note(note).signatures[-1].line()


def with_cosignatures(bundle: Bundle, *names: str) -> Bundle:
    """Its checkpoint with a line by each witness."""
    lines = {str(vkey(name)): cosignature(bundle, name) for name in names}
    return replace(bundle, log=cosigned(bundle.log, lines))


def pin(threshold: int, names: Sequence[str] = NAMES) -> PinnedWitnesses:
    return PinnedWitnesses(tuple(vkey(name) for name in names), threshold)


def promise(world: World, *others: StatementId, key: PrivateKey | None = None, origin: str = ORIGIN) -> bytes:
    """The log's promise about the world's statement, unless `others` are given in its place."""
    return make_promise(
        key or world.log_key,
        origin=origin,
        statement_ids=others or (world.statement.id,),
        accepted_at_ms=START * 1000 + 250,
        log_by_ms=START * 1000 + 60_250,
        organisation=Did.of(CHAIN_ID, world.issuer.address),
        request_id="7c5e5d2e-0f0f-4a4e-9c53-6f1c7a0d0001",
    )
