"""Failpoints: known by name, each in one place, dying at the n-th time, never in production."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from silkledger.runtime import failpoints
from silkledger.runtime.failpoints import Failpoint, arm, reach
from silkledger.runtime.server import serve
from silkledger.runtime.settings import Mode, ServerSettings, SettingsError

ROOT = Path(__file__).resolve().parents[3]
STAGES = {"accept", "sequence", "integrate", "sign", "persist", "broadcast", "include", "finalise", "capture"}
REACHES = 5
"""How often the small process below comes to its place."""
PROCESS = """
from silkledger.runtime.failpoints import Failpoint, arm, reach
from silkledger.runtime.settings import Mode
arm({order!r}, Mode.DEVELOPMENT)
for n in range({reaches}):
    reach(Failpoint.ACCEPT_CHECKED)
    reach(Failpoint.ACCEPT_PROMISED)
    print("round", n, flush=True)
"""


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    arm("", Mode.DEVELOPMENT)


def _run(order: str) -> tuple[int, int]:
    """Exit status, and how many rounds were gone through."""
    code = PROCESS.format(order=order, reaches=REACHES)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.count("round")


@pytest.mark.parametrize(("order", "rounds"), [("accept.checked", 0), ("accept.promised:3", 2)])
def test_the_nth_time_kills_the_process(order: str, rounds: int) -> None:
    assert _run(order) == (-signal.SIGKILL, rounds)


@pytest.mark.parametrize("order", ["", "accept.checked:6", "finalise.noted"])
def test_what_is_not_ordered_or_not_reached_kills_nothing(order: str) -> None:
    assert _run(order) == (0, REACHES)


@pytest.mark.parametrize(
    "order", ["accept", "accept.unknown", "accept.checked:x", "accept.checked:1:1", ":1"]
)
def test_an_unknown_name_or_count_is_refused(order: str) -> None:
    with pytest.raises(SettingsError, match="SILKLEDGER_FAILPOINT: must be a known failpoint"):
        arm(order, Mode.DEVELOPMENT)


@pytest.mark.parametrize("count", ["0", "-1"])
def test_a_count_below_one_is_refused(count: str) -> None:
    with pytest.raises(SettingsError, match="SILKLEDGER_FAILPOINT"):
        arm(f"accept.checked:{count}", Mode.DEVELOPMENT)


def test_production_refuses_every_order_and_needs_none() -> None:
    for place in Failpoint:
        with pytest.raises(SettingsError, match=f"dying at {place}:2 must not run in production mode"):
            arm(f"{place}:2", Mode.PRODUCTION)
        reach(place)  # nothing was armed
    arm("", Mode.PRODUCTION)
    assert failpoints._armed is None


async def test_a_service_does_not_start_with_an_order_that_is_refused(tmp_path: Path) -> None:
    nowhere, ready = tmp_path / "nowhere", tmp_path / "ready.json"
    settings = ServerSettings(
        mode=Mode.PRODUCTION,
        database_url="",
        tls_cert=nowhere,
        tls_key=nowhere,
        tls_ca=nowhere,
        ready_file=ready,
        failpoint="accept.checked",
    )
    with pytest.raises(SettingsError, match="must not run in production mode"):
        await serve(settings, [])
    assert not ready.exists()


def test_every_stage_has_failpoints_and_every_failpoint_is_one_line_of_code() -> None:
    assert {place.partition(".")[0] for place in Failpoint} == STAGES
    sources = [*ROOT.glob("silkledger/**/*.py"), *ROOT.glob("services/**/*.py")]
    reached = Counter(
        name
        for path in sources
        if path.name != "failpoints.py"
        for name in re.findall(r"\breach\(Failpoint\.([A-Z_]+)\)", path.read_text())
    )
    assert reached == Counter({place.name: 1 for place in Failpoint})
