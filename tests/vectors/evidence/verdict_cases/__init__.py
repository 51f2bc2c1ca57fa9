"""The questions of tests/vectors/evidence/verdicts.json: a bundle, trust roots, a document digest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from silkledger.evidence.assemble import StateParts, assemble, slot_of
from silkledger.evidence.bundle import Bundle, Contract
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.registry.histories import HistoryRecord, keccak256
from silkledger.values import CountryCode, Digest
from tests.unit.evidence.world import CONTRACTS, DOCUMENT, World

DIGEST = Digest(sha256(DOCUMENT).digest())


@dataclass(frozen=True, slots=True)
class Case:
    """One question. The expected verdict is computed, and then committed."""

    name: str
    bundle: bytes
    roots: TrustRoots
    digest: Digest = DIGEST
    country: CountryCode | None = None
    as_of: int | None = None


def case(name: str, world: World, bundle: Bundle | bytes | None = None, as_of: int | None = None) -> Case:
    """A question to `world`'s own trust roots, about its own bundle unless another is given."""
    given = world.evidence() if bundle is None else bundle
    data = given if isinstance(given, bytes) else given.encode()
    return Case(name, data, world.roots(), as_of=as_of)


def forged(name: str, world: World, contract: Contract, key: bytes, items: Sequence[HistoryRecord]) -> Case:
    """A question about records that no contract writes: properly proven, in the place of those under `key`.

    The histories to put in are those of the world before, because the assembler does not read such records.
    """
    parts = world.parts()
    world.histories[contract][key] = list(items)
    accounts, tries = world.state()
    have = {c: {k: tuple(world.histories[c].get(k, ())) for k in keys} for c, keys in parts.histories.items()}
    states = {
        c: StateParts(
            accounts.prove(keccak256(CONTRACTS[c.directory_name])),
            {slot_of(k): tries[c].prove(keccak256(slot_of(k).to_bytes(32, "big"))) for k in keys},
        )
        for c, keys in have.items()
    }
    bundle = assemble(replace(parts, histories=have, states=states, headers=world.headers()))
    return case(name, world, bundle)
