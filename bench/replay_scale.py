"""Whether a replay of many events is as fast, per event, as one of few: on one core, and on two.

The chain is a generated archive, served by a process of its own (tests/support/archive_chain.py); everything
that is measured is the replay itself: fetch, decode, verify roots, project, digest, append, then compare a
database of that very size row by row, and make the report. The clock starts when the workers have started and
the first range is in.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Final

from sqlalchemy import create_engine

from bench.measure import Measurement, beside
from silkledger.audit.prepare import COMPARED
from silkledger.audit.replay import Audited, Findings, Means, rebuilt
from silkledger.audit.work import FILE
from silkledger.evm.engines import ANVIL
from silkledger.evm.tables import CHAIN_CURSOR
from tests.support.archive_chain import EVENTS, NETWORK, ORIGIN, write_archive

ROOT: Final = Path(__file__).resolve().parents[1]
SMALL: Final = 10_000
"""Events of the small replay."""
DEFAULT: Final = 100_000
FULL: Final = 1_000_000
REPEATS: Final = 3
"""Of the small replay; the median counts."""
DEPTH: Final = ANVIL.finality_depth


@dataclass(frozen=True)
class Run:
    """One replay."""

    events: int
    rebuild_s: float
    compare_s: float
    report_digest: str
    peak_mib: float
    """Resident size of its main process, at most."""

    @property
    def rate(self) -> float:
        return self.events / (self.rebuild_s + self.compare_s)


@contextmanager
def served(archive: Path, blocks: int, folder: Path) -> Iterator[str]:
    """URL of a node that has so many final blocks."""
    ready = folder / f"ready-{blocks}"
    arguments = [str(archive), str(blocks + DEPTH), str(ready)]
    process = subprocess.Popen([sys.executable, "-m", "tests.support.archive_chain", *arguments], cwd=ROOT)
    try:
        deadline = time.monotonic() + 60
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the archive is not served")
            time.sleep(0.02)
        yield ready.read_text()
    finally:
        process.kill()
        process.wait()
        ready.unlink(missing_ok=True)


def measure(url: str, live: Path, cores: int) -> Run:
    """One replay, in a process of its own; on one core it is bound to one."""
    if cores == 1:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return asyncio.run(_replay(url, live, 0 if cores == 1 else cores))


async def _replay(url: str, live: Path, processes: int) -> Run:
    steps: list[tuple[float, int]] = []
    audited = Audited(NETWORK, ANVIL, ORIGIN, f"{ORIGIN}+00000000+AQ==")

    def advance(blocks: int, _total: int) -> None:
        steps.append((time.perf_counter(), blocks))

    with tempfile.TemporaryDirectory(prefix="silkledger-bench-") as folder:
        means = Means(Path(folder), processes)
        async with rebuilt(audited, url, advance, None, means) as replay:
            rebuild_s = steps[-1][0] - steps[1][0]
            if not await asyncio.to_thread(live.exists):
                await asyncio.to_thread(make_live, Path(folder) / FILE, live, replay.final.number)
            began = time.perf_counter()
            findings = Findings()
            await replay.compare("ledger", f"sqlite:///{live}", findings)
            report = await replay.report(findings)
            compare_s = time.perf_counter() - began
            if report.differences or len(findings.totals) != len(COMPARED):
                raise AssertionError("the replay does not agree with its own copy")
    events = sum(blocks for _, blocks in steps[2:]) * EVENTS
    return Run(events, rebuild_s, compare_s, report.digest, _peak_mib())


def _peak_mib() -> float:
    """Of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def make_live(work: Path, live: Path, final: int) -> None:
    """A service's database with the same rows, with its own keys and indexes."""
    engine = create_engine(f"sqlite:///{live}")
    with engine.begin() as connection:
        for table in (CHAIN_CURSOR, *COMPARED):
            table.create(connection)
    engine.dispose()
    with closing(sqlite3.connect(live)) as database, database:
        database.execute("ATTACH ? AS work", (str(work),))
        for table in COMPARED:
            order = ", ".join(f'"{column.name}"' for column in table.primary_key)
            database.execute(f"INSERT INTO {table.name} SELECT * FROM work.{table.name} ORDER BY {order}")
        cursor = (NETWORK.chain_id, bytes(NETWORK.genesis_hash), bytes(NETWORK.directory), final, b"", final)
        database.execute("INSERT INTO chain_cursor VALUES (?, ?, ?, ?, ?, ?)", cursor)


def _run(url: str, live: Path, cores: int) -> Run:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, url, live, cores).result()


def _measured(events: int, archive: Path, folder: Path) -> list[Measurement]:
    runs: dict[tuple[int, int], list[Run]] = {}
    for size, repeats in ((SMALL, REPEATS), (events, 1)):
        live = folder / f"live-{size}.sqlite"
        with served(archive, size // EVENTS, folder) as url:
            for cores in (2, 1):
                runs[size, cores] = [_run(url, live, cores) for _ in range(repeats)]
        digests = {run.report_digest for cores in (1, 2) for run in runs[size, cores]}
        if len(digests) != 1:
            raise AssertionError("one chain, several reports")
    rows = []
    for cores, name in ((1, "one_core"), (2, "two_cores")):
        small = median(run.rate for run in runs[SMALL, cores])
        (large,) = runs[events, cores]
        told = f"events/s at {SMALL:,}; at {events:,}: rebuilt in {large.rebuild_s:.0f} s, "
        told += f"compared in {large.compare_s:.0f} s"
        rows.append(beside(f"replay_scale.{name}", large.rate, "events/s", told, small, at_least=0.9))
    memory = max(run.peak_mib for run in runs[events, 1])
    small_memory = max(run.peak_mib for run in runs[SMALL, 1])
    told = f"MiB at {SMALL:,} events, in one process"
    return [*rows, beside("replay_scale.memory", memory, "MiB", told, small_memory)]


def replay_scale(events: int = DEFAULT) -> list[Measurement]:
    """Events per second over `events` ÷ over 10⁴, on one core and on two; and what memory it took."""
    with tempfile.TemporaryDirectory(prefix="silkledger-bench-") as name:
        folder = Path(name)
        archive = folder / "chain.bin"
        write_archive(archive, events // EVENTS + DEPTH)
        return _measured(events, archive, folder)
