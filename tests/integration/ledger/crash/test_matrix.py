"""SIGKILL at every named failpoint, under load, on SQLite and PostgreSQL: 0 lost, 0 duplicated, 0 wedged.

Only the ledger's process dies; node, databases and the holder of the promises live on. Every death has its
own failpoint and its own n-th time, drawn from a seed that is told when the test fails: set
`SILKLEDGER_CRASH_SEED` to go through the same plan again.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from silkledger.audit.databases import Databases
from silkledger.audit.replay import Audited, replay_ledger
from silkledger.log.checkpoint import LogVerifierKey
from silkledger.runtime.failpoints import Failpoint
from tests.support.anvil import FAST

from ..conftest import Founded, Ledger
from .counts import (
    all_final,
    check_anchors,
    check_answers,
    check_found,
    check_lane,
    check_log,
    check_relayed,
    on_chain,
)
from .lives import Victim
from .load import Holder

pytestmark = pytest.mark.timeout(1500)

KILLS_OF_EACH = int(os.environ.get("SILKLEDGER_CRASH_KILLS", "6"))
"""On each database: 2 databases × 28 failpoints × 6 = 336."""

MOST_HITS = {"accept": 12, "sequence": 4, "integrate": 4, "integrate.merged": 1, "finalise": 2, "capture": 2}
"""At which time a place, or one of this stage, is deadly at the latest; the 3rd for the others."""


def plan(rng: Random) -> list[tuple[Failpoint, int]]:
    """Every failpoint as often as every other, in random order, each time at a random hit."""
    orders = [
        (place, rng.randint(1, MOST_HITS.get(place) or MOST_HITS.get(place.partition(".")[0], 3)))
        for place in Failpoint
        for _ in range(KILLS_OF_EACH)
    ]
    rng.shuffle(orders)
    return orders


async def die_and_live(victim: Victim, rng: Random) -> dict[str, Any]:
    """All the deaths of one database, the last life, and what is then counted. Returns the figures."""
    service, holder, stop = victim.service, Holder(victim, rng), asyncio.Event()
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:  # a holder that is refused something ends the test at once
        work = group.create_task(holder.work(stop))
        for place, hit in plan(rng):
            await victim.die_at(place, hit)
        killing_s = time.monotonic() - began
        async with victim.living():
            stop.set()
            await asyncio.wait_for(work, 60)
            leaves = await all_final(holder)
            found = await check_found(holder)
            on_it = await on_chain(service)
    vkey = LogVerifierKey.of(service.origin, service.log_key.verifying_key)
    tree = check_log(holder, leaves, vkey)
    check_answers(holder, leaves, vkey)
    assert await check_lane(service, on_it) == 0
    audited = Audited(service.founded.network, FAST, service.origin, str(vkey))
    databases = Databases((("ledger", service.database_url),))
    replayed = await replay_ledger(audited, service.founded.url, databases, lambda *_: None, None, None)
    assert (replayed.verdict, replayed.differences, replayed.entries) == ("CLEAN", (), len(leaves))
    assert victim.kills == Counter(dict.fromkeys(Failpoint, KILLS_OF_EACH))
    return {
        "kills": victim.kills.total(),
        "seconds": round(killing_s),
        "start_s": round(statistics.median(victim.born_s), 2),
        "leaves": len(leaves),
        "found": found,
        "promises": len(holder.promises),
        "checkpoints": len(holder.checkpoints),
        "anchors": check_anchors(service, on_it, tree),
        "relayed": check_relayed(on_it, holder),
        "transactions": len(on_it.transactions),
        "retries": holder.retries,
    }


async def test_killed_at_every_failpoint_nothing_is_lost_doubled_or_wedged(
    founded: Founded, tmp_path: Path, postgres_url: str, record_property: Any
) -> None:
    seed = os.environ.get("SILKLEDGER_CRASH_SEED") or secrets.token_hex(8)
    sys.stdout.write(f"seed {seed}\n")
    urls = {"sqlite": f"sqlite:///{tmp_path}/sqlite/ledger.sqlite", "postgresql": postgres_url}

    async def run(dialect: str) -> dict[str, Any]:
        (tmp_path / dialect).mkdir()
        service = Ledger(founded, tmp_path / dialect, urls[dialect])
        victim = Victim(service, service.identity(founded.agency, "agency", "auditor"))
        return await die_and_live(victim, Random(f"{seed}/{dialect}"))

    async with asyncio.TaskGroup() as group:
        runs = {dialect: group.create_task(run(dialect)) for dialect in urls}
    figures = {dialect: task.result() for dialect, task in runs.items()}
    sys.stdout.write(f"{json.dumps(figures)}\n")
    record_property("crash_matrix", figures)
    assert sum(one["kills"] for one in figures.values()) == 2 * len(Failpoint) * KILLS_OF_EACH
