"""How long from OK to *logged* and to *anchored*, as a caller sees it, at half of the maximum load.

Calls leave at fixed times, whether earlier ones were answered or not. Of every call the last statement is
followed. *Logged* is when a checkpoint covers its leaf, *anchored* when the service tells an anchor in a
block that covers it; both are asked for all the time, so that a figure is late by one answer at most.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Final

from bench import rig
from bench.load import Caller, Sent, callers, drained, drive, send, send_all
from bench.measure import Measurement, beside
from bench.signing import A_CALL, Requests, signed_calls
from services.ledger.settings import LedgerSettings
from silkledger.chain.v1 import chain_pb2
from silkledger.ledger.v1 import ledger_pb2 as pb

WARM_UP: Final = 8
"""Calls before anything is measured."""
FULL_LOAD: Final = 40
"""Calls by which the maximum is measured."""
LOAD_S: Final = 15.0
"""How long the half load lasts, seconds: as many blocks, and so many anchors."""
_LOGGED_POLL_S: Final = 0.01
_ANCHORED_POLL_S: Final = 0.02

BOUND_MS: Final = (
    LedgerSettings.sequence_interval_ms + LedgerSettings.anchor_interval_ms + 2000 * rig.BLOCK_TIME_S
)
"""What the 99th percentile of *anchored* is held against: the two intervals and two blocks."""


@dataclass(slots=True)
class Followed:
    """One call's last statement."""

    statement_id: bytes
    ok_at: float
    leaf_index: int | None = None


@dataclass(slots=True)
class Seen:
    """What was observed while the load ran."""

    calls: list[Followed] = field(default_factory=list)
    heads: list[tuple[float, int]] = field(default_factory=list)
    """(when, size) of each new checkpoint."""
    anchors: list[tuple[float, int]] = field(default_factory=list)
    """(when, size) of each new anchor."""

    def latencies(self, events: list[tuple[float, int]]) -> list[float]:
        """Milliseconds from each OK to the first event that covers the call. An event may be seen before the
        OK: then it took no time.
        """
        found = []
        for call in self.calls:
            if call.leaf_index is None:
                raise AssertionError("a call was not logged")
            when = next(when for when, size in events if size > call.leaf_index)
            found.append(max(0.0, when - call.ok_at) * 1000)
        return found


async def _watch_heads(caller: Caller, seen: Seen, done: asyncio.Event) -> None:
    while not done.is_set():
        size = await caller.log_size()
        if not seen.heads or size > seen.heads[-1][1]:
            seen.heads.append((time.monotonic(), size))
        await asyncio.sleep(_LOGGED_POLL_S)


async def _watch_anchors(caller: Caller, seen: Seen, expected: int) -> None:
    """Follow call after call until it is anchored."""
    reached, covered = 0, 0
    while reached < expected:
        if reached == len(seen.calls):
            await asyncio.sleep(_ANCHORED_POLL_S)
            continue
        call = seen.calls[reached]
        statement = await _statement(caller, call)
        if statement.stage < chain_pb2.EVIDENCE_STAGE_ANCHORED:
            await asyncio.sleep(_ANCHORED_POLL_S)
            continue
        call.leaf_index = statement.leaf_index
        if statement.anchor.tree_size > covered:
            covered = statement.anchor.tree_size
            seen.anchors.append((time.monotonic(), covered))
        reached += 1


async def _statement(caller: Caller, call: Followed) -> pb.Statement:
    request = pb.GetStatementRequest(statement_id=call.statement_id).SerializeToString()
    return pb.GetStatementResponse.FromString(await caller.call("GetStatement", request)).statement


async def _half_load(connections: list[Caller], requests: Requests, rate: float) -> Seen:
    """Send the calls at `rate` statements a second and follow them all until they are anchored."""
    seen, done, sent = Seen(), asyncio.Event(), Sent()
    load, watch = connections

    async def one(request: bytes) -> None:
        raw = await send(load, "RegisterStatements", request, sent)
        at = time.monotonic()
        seen.calls.append(Followed(_last_id(raw), at))

    watching = asyncio.create_task(_watch_heads(watch, seen, done))
    following = asyncio.create_task(_watch_anchors(watch, seen, len(requests)))
    start, calls = time.monotonic(), []
    for number, request in enumerate(requests):
        await asyncio.sleep(max(0.0, start + number * A_CALL / rate - time.monotonic()))
        calls.append(asyncio.create_task(one(request)))
    await asyncio.gather(*calls)
    await following
    done.set()
    await watching
    if sent.refused:
        raise AssertionError(f"{sent.refused} calls were refused at half of the maximum load")
    return seen


def _last_id(response: bytes) -> bytes:
    return pb.RegisterStatementsResponse.FromString(response).statements[-1].statement_id


async def _measure(running: rig.Service, load_s: float) -> tuple[float, float, Seen]:
    requests = signed_calls(WARM_UP + FULL_LOAD)
    async with callers(running) as connections:
        await send_all(connections, requests[:WARM_UP])
        await drained(connections[0], WARM_UP * A_CALL)
        start = time.monotonic()
        await send_all(connections, requests[WARM_UP:])
        await drained(connections[0], len(requests) * A_CALL)
        maximum = FULL_LOAD * A_CALL / (time.monotonic() - start)
        half = signed_calls(len(requests) + round(maximum / 2 * load_s / A_CALL))[len(requests) :]
        return maximum, maximum / 2, await _half_load(connections, half, maximum / 2)


def latency(dialect: str) -> list[Measurement]:
    """`logged_latency` and `anchored_latency`, 99th percentile and median over the statements."""
    with rig.service(dialect) as running:
        maximum, rate, seen = drive(_measure(running, LOAD_S))
    logged, anchored = seen.latencies(seen.heads), seen.latencies(seen.anchors)
    interval = LedgerSettings.sequence_interval_ms
    return [
        *_rows(f"logged_latency.{dialect}", logged, "sequencing interval, ms", interval),
        *_rows(
            f"anchored_latency.{dialect}",
            anchored,
            "sequencing interval + anchor interval + 2 blocks, ms",
            BOUND_MS,
            at_most=1.0,
        ),
        beside(f"anchored_latency.{dialect}.load", rate, "statements/s", "the maximum", maximum),
    ]


def _rows(
    name: str, latencies: list[float], bound: str, bound_ms: float, at_most: float | None = None
) -> list[Measurement]:
    percentiles = quantiles(latencies, n=100, method="inclusive")
    return [
        beside(name, percentiles[98], "ms, 99th percentile", bound, bound_ms, at_most=at_most),
        beside(f"{name}.p50", percentiles[49], "ms, median", bound, bound_ms),
    ]
