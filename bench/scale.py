"""Whether registering gets slower as the log grows, what a document takes on disk, what a proof reads.

A run sends everything without a pause and notes when the log reached which size: the rate between two sizes
is taken from that. Throughput late in a run is held against throughput early in the same run.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from random import Random
from statistics import fmean, median
from typing import Any, Final, NamedTuple, cast

from bench import rig
from bench.databases import CountingConnection, stored_bytes
from bench.load import IN_FLIGHT, Caller, callers, drained, drive, send_all
from bench.manifests import IN_FLIGHT as MANIFESTS_IN_FLIGHT
from bench.manifests import look_up, manifests
from bench.measure import Measurement, beside
from bench.overload import memory
from bench.signing import A_CALL, Requests, signed_calls
from services.ledger.sequencing.log_tree import inclusion_path
from silkledger.manifest import MAX_DOCUMENTS
from silkledger.runtime.db import Database

LEAVES: Final = 1_000_000
EARLY: Final = (10_000, 100_000)
"""Sizes of the log between which the early rate is taken."""
REPETITIONS: Final = 3
GOAL: Final = {"sqlite": 0.8, "postgres": 0.9}

DOCUMENTS: Final = 10_000_000
EARLY_DOCUMENTS: Final = (100_000, 1_000_000)

UNDER_WAY: Final = {"RegisterStatements": IN_FLIGHT, "RegisterManifest": MANIFESTS_IN_FLIGHT}
PROOFS: Final = 200
"""Inclusion proofs, of leaves drawn by lot, by which the reads are counted."""
_POLL_S: Final = 0.02


class Seen(NamedTuple):
    """The log when a new checkpoint was seen."""

    when: float
    size: int
    cpu_s: float
    """CPU time of the service's processes so far."""


class Rate(NamedTuple):
    """Leaves a second: by wall time, and by CPU time of the service."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Growth:
    """One run: rates early and late; the service's memory; sizes on disk."""

    early: Rate
    late: Rate
    memory_mib: float
    stored_bytes: int
    reads: float
    """Rows read for one inclusion proof in the whole tree, on average."""


async def _watched(running: rig.Service, caller: Caller, load: Any) -> list[Seen]:
    """Run the load; returns every checkpoint seen meanwhile."""
    seen, sending = [Seen(time.monotonic(), 0, running.cpu_s())], asyncio.create_task(load)
    while not sending.done():
        size = await caller.log_size()
        if size > seen[-1].size:
            seen.append(Seen(time.monotonic(), size, running.cpu_s()))
        await asyncio.sleep(_POLL_S)
    await sending
    return seen


def rate_between(seen: list[Seen], first: int, last: int) -> Rate:
    """From the first checkpoint of at least `first` leaves to the first of at least `last`."""
    start, end = (next(one for one in seen if one.size >= size) for size in (first, last))
    leaves = end.size - start.size
    return Rate(leaves / (end.when - start.when), leaves / (end.cpu_s - start.cpu_s))


async def _register(
    running: rig.Service, connections: list[Caller], requests: Requests, method: str, leaves: int
) -> list[Seen]:
    async def load() -> None:
        await send_all(connections, requests, method=method, in_flight=UNDER_WAY[method])
        await drained(connections[0], leaves)

    return await _watched(running, connections[-1], load())


async def _reads(url: str, leaves: int) -> float:
    random, database = Random(0), await Database.open(url)
    try:
        async with database.read() as connection:
            counting = CountingConnection(connection)
            for _ in range(PROOFS):
                await inclusion_path(cast(Any, counting), random.randrange(leaves), leaves)
    finally:
        await database.close()
    return counting.rows / PROOFS


async def _grow(running: rig.Service, leaves: int) -> list[Seen]:
    requests = signed_calls(leaves // A_CALL)
    async with callers(running, 3) as connections:
        return await _register(running, connections, requests, "RegisterStatements", leaves)


def _run(dialect: str, leaves: int) -> Growth:
    with rig.service(dialect) as running:
        empty = drive(stored_bytes(running.database_url))
        seen = drive(_grow(running, leaves))
        stored, mib = drive(stored_bytes(running.database_url)) - empty, running.peak_memory_mib()
        running.stop()
        reads = drive(_reads(running.database_url, leaves))
    early, late = rate_between(seen, *EARLY), rate_between(seen, leaves - leaves // 10, leaves)
    return Growth(early, late, mib, stored, reads)


def scale_leaves(dialect: str) -> list[Measurement]:
    """A million statements, three times, each on an empty database."""
    received = fmean(map(len, signed_calls(LEAVES // A_CALL)[:20])) / A_CALL
    runs = [_run(dialect, LEAVES) for _ in range(REPETITIONS)]
    name, early = f"scale_leaves.{dialect}", "leaves {:,} to {:,}".format(*EARLY)
    return [
        beside(
            name,
            median(run.late.wall for run in runs),
            f"statements/s, last tenth of {LEAVES:,}",
            early,
            median(run.early.wall for run in runs),
            ratio=median(run.late.wall / run.early.wall for run in runs),
            at_least=GOAL[dialect],
        ),
        beside(
            f"{name}.cpu",
            median(run.late.cpu for run in runs),
            "the same per CPU second",
            early,
            median(run.early.cpu for run in runs),
            ratio=median(run.late.cpu / run.early.cpu for run in runs),
        ),
        beside(
            f"{name}.bytes",
            median(run.stored_bytes / LEAVES for run in runs),
            "bytes stored per statement",
            "bytes of a statement as received",
            received,
        ),
        beside(
            f"{name}.reads",
            median(run.reads for run in runs),
            "rows read per inclusion proof",
            "log2 of the leaves",
            math.log2(LEAVES),
        ),
        memory(f"{name}.memory", max(run.memory_mib for run in runs)),
    ]


async def _grow_documents(running: rig.Service) -> list[Seen]:
    requests = manifests(DOCUMENTS // MAX_DOCUMENTS)
    async with callers(running, 3) as connections:
        seen = await _register(running, connections, requests, "RegisterManifest", len(requests))
        for number in Random(0).sample(range(len(requests)), 20):
            await look_up(connections[0], requests[number], [0, MAX_DOCUMENTS - 1])
    return seen


def scale_documents(dialect: str) -> list[Measurement]:
    """Ten million documents in manifests; some of them are then found by digest. Not in every run."""
    with rig.service(dialect) as running:
        empty = drive(stored_bytes(running.database_url))
        seen = drive(_grow_documents(running))
        stored, mib = drive(stored_bytes(running.database_url)) - empty, running.peak_memory_mib()
    name, total = f"scale_documents.{dialect}", DOCUMENTS // MAX_DOCUMENTS
    early = rate_between(seen, *(size // MAX_DOCUMENTS for size in EARLY_DOCUMENTS)).wall * MAX_DOCUMENTS
    late = rate_between(seen, total - total // 10, total).wall * MAX_DOCUMENTS
    received = fmean(map(len, manifests(total)[:20])) / MAX_DOCUMENTS
    return [
        beside(
            name,
            late,
            f"documents/s, last tenth of {DOCUMENTS:,}",
            "documents/s, {:,} to {:,}".format(*EARLY_DOCUMENTS),
            early,
        ),
        beside(f"{name}.bytes", stored / DOCUMENTS, "bytes stored per document", "bytes received", received),
        memory(f"{name}.memory", mib),
    ]
