"""Callers that together send more than the service takes: who is refused, and what memory it costs.

More statements are under way at once than may wait (`pending_limit`), so calls are refused with
RESOURCE_EXHAUSTED and RetryInfo, at which each caller tries again: no call is lost, and the log ends with
every statement.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from bench import rig
from bench.load import callers, drained, drive, send_all
from bench.measure import Measurement, beside
from bench.signing import A_CALL, signed_calls
from services.ledger.settings import LedgerSettings

MEMORY_MIB: Final = 512
"""What the service's processes may take together, at any size and under any load."""

NORMAL_CALLS: Final = 32
CALLS: Final = 240
CONNECTIONS: Final = 4
CALLERS: Final = 2 * LedgerSettings.pending_limit // A_CALL
"""Each with one call under way: twice what may wait."""


@dataclass(frozen=True, slots=True)
class Overloaded:
    """Statements a second without and with overload, and what it took."""

    normal_rate: float
    rate: float
    refused: int
    normal_mib: float
    mib: float


async def _measure(running: rig.Service) -> Overloaded:
    requests = signed_calls(NORMAL_CALLS + CALLS)
    async with callers(running, CONNECTIONS) as connections:
        start = time.monotonic()
        await send_all(connections, requests[:NORMAL_CALLS])
        await drained(connections[0], NORMAL_CALLS * A_CALL)
        normal, normal_mib = time.monotonic() - start, running.peak_memory_mib()
        start = time.monotonic()
        sent = await send_all(connections, requests[NORMAL_CALLS:], in_flight=CALLERS)
        await drained(connections[0], len(requests) * A_CALL)
        spent = time.monotonic() - start
    if not sent.refused:
        raise AssertionError("no call was refused: this was no overload")
    return Overloaded(
        NORMAL_CALLS * A_CALL / normal,
        CALLS * A_CALL / spent,
        sent.refused,
        normal_mib,
        running.peak_memory_mib(),
    )


def overload(dialect: str) -> list[Measurement]:
    """Throughput, refusals and memory with twice as many statements under way as may wait."""
    with rig.service(dialect) as running:
        seen = drive(_measure(running))
    name = f"overload.{dialect}"
    return [
        beside(name, seen.rate, "statements/s", "the same without overload", seen.normal_rate),
        beside(f"{name}.refused", seen.refused, "refusals with RetryInfo", "calls, all accepted", CALLS),
        memory(f"{name}.memory", seen.mib),
        beside(f"{name}.growth", seen.mib, "MiB at most", "MiB without overload", seen.normal_mib),
    ]


def memory(name: str, mib: float) -> Measurement:
    """The largest resident sizes of the service's processes, added up, beside what they may take."""
    return beside(name, mib, "MiB at most, all processes", "MiB allowed", MEMORY_MIB, at_most=1.0)
