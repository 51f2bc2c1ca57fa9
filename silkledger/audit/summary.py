"""What a report says of the chain itself: digests, volumes, the log's timeline, trust roots, assumptions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import select

from silkledger.audit.databases import snapshot
from silkledger.audit.digest import RangeDigest
from silkledger.audit.report import Anchoring, Span, Volume
from silkledger.audit.sealing import Sealing
from silkledger.audit.work import WorkStore
from silkledger.client.roots import unsealed_trust_roots
from silkledger.evidence.header import EngineKind
from silkledger.evidence.header_trust import REPLAYED, sealed_assumptions
from silkledger.evidence.trust_roots import PinnedLog, TrustRoots
from silkledger.evidence.verdict import Assurance
from silkledger.evm.contracts import Network
from silkledger.evm.engines import EngineProfile
from silkledger.evm.tables import CHAIN_BLOCK
from silkledger.projections.anchors import anchor
from silkledger.registry.histories import origin_id
from silkledger.values import BlockHash, BlockRef

SPANS: Final = 48
"""Spans of blocks that the timeline of volumes has at most."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is summed up, and up to which block."""

    network: Network
    profile: EngineProfile
    origin: str
    log_verifier_key: str
    final: BlockRef
    roots: TrustRoots | None = None
    """By which seals were verified."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The parts of a report that come from the rebuilt state alone."""

    digests: tuple[RangeDigest, ...]
    volumes: tuple[Volume, ...]
    spans: tuple[Span, ...]
    timeline: tuple[Anchoring, ...]
    assurance: Assurance
    assumptions: tuple[str, ...]
    unavailable: tuple[str, ...]
    trust_roots: TrustRoots


async def summary(scope: Scope, store: WorkStore) -> Summary:
    """Everything up to `scope.final`."""
    spans = await _spans(store, scope.final.number)
    sums: Counter[str] = Counter()
    for span in spans:
        sums.update({volume.kind: volume.events for volume in span.volumes})
    timeline, blocks = await _anchorings(store, scope.origin, scope.final)
    log = PinnedLog(scope.origin, scope.log_verifier_key)
    roots, sealing = scope.roots, Sealing.under(scope.roots)
    pinned = {**blocks, scope.final.number: scope.final.hash}
    pinned |= {} if roots is None else roots.pinned_blocks
    assurance, assumptions, unavailable = _vouching(scope.profile, sealing)
    return Summary(
        digests=tuple(await store.digests(scope.final.number)),
        volumes=tuple(Volume(kind, events) for kind, events in sorted(sums.items())),
        spans=spans,
        timeline=timeline,
        assurance=assurance,
        assumptions=assumptions,
        unavailable=unavailable,
        trust_roots=replace(
            unsealed_trust_roots(scope.network, scope.profile, log, pinned),
            rules=None if roots is None else roots.rules,
        ),
    )


_Told = tuple[Assurance, tuple[str, ...], tuple[str, ...]]


def _vouching(profile: EngineProfile, sealing: Sealing | None) -> _Told:
    """What vouches for the blocks, what that assumes, and what could not be had for it."""
    if sealing is not None:
        assumed = sealed_assumptions(sealing.rules, sealing.start, REPLAYED)
        return Assurance.SEALED_BY_QUORUM, assumed, ()
    if profile.header_kind is EngineKind.NO_SEALS:
        told = "The engine has no commit seals: that these blocks are the network's rests on the node alone."
        return Assurance.ENGINE_WITHOUT_SEALS, (told,), ()
    told = "Commit seals were not checked: that these blocks are the network's rests on the node alone."
    return Assurance.UNSPECIFIED, (told,), ("the commit seals: no trust roots say whose count",)


async def _spans(store: WorkStore, final: int) -> tuple[Span, ...]:
    size = max(1, -(-final // SPANS))
    by_span: dict[int, list[Volume]] = {}
    for number, kind, events in await store.volumes(final, size):
        by_span.setdefault(number, []).append(Volume(kind, events))
    spans = []
    for number in range(-(-final // size)):
        first, last = number * size + 1, min((number + 1) * size, final)
        block = await store.block(first)
        spans.append(Span(first, last, block.time, tuple(by_span.get(number, ()))))
    return tuple(spans)


async def _anchorings(
    store: WorkStore, origin: str, final: BlockRef
) -> tuple[tuple[Anchoring, ...], dict[int, BlockHash]]:
    """The log's anchors, and the blocks to pin."""
    block = CHAIN_BLOCK.c
    query = (
        select(block.number, block.hash, block.time, anchor.c.size, anchor.c.prev_size)
        .join(anchor, anchor.c.block_number == block.number)
        .where(anchor.c.origin_id == origin_id(origin), block.number <= final.number)
        .order_by(anchor.c.size)
    )
    async with snapshot("replay", store.url) as replayed:
        rows = (await replayed.execute(query)).all()
    return (
        tuple(Anchoring(row.number, row.time, row.size, row.size - row.prev_size) for row in rows),
        {row.number: BlockHash(bytes(row.hash)) for row in rows},
    )
