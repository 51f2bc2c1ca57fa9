"""An auditor's replay by the command line, done here and done by the service: the same state digests."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.embedded_stack import ROOT

from .conftest import World

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]


async def command(world: World, *arguments: str) -> tuple[int, dict[str, Any]]:
    """`silkledger audit replay …` on the stack's data directory."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "silkledger.cli", "audit", "replay", *arguments, "--data", str(world.stack.data), "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    out, err = await process.communicate()
    assert out, err.decode()
    assert process.returncode is not None
    return process.returncode, json.loads(out)


async def test_here_and_remotely_a_replay_has_the_same_digests(world: World, tmp_path: Path) -> None:
    html = tmp_path / "report.html"
    code, remote = await command(world, "--remote", "--as", "auditor-sg", "--html", str(html))
    assert (code, remote["verdict"]) == (0, "CLEAN")
    assert remote["reportDigest"] in html.read_text()
    upto = str(remote["lastFinalBlock"]["number"])
    work = tmp_path / "work"
    code, here = await command(world, "--upto-block", upto, "--work", str(work), "--processes", "0")
    assert (code, here["verdict"]) == (0, "CLEAN")
    assert here["rangeDigests"] == remote["rangeDigests"]
    assert here["volumes"] == remote["volumes"]
    assert {total["database"] for total in here["totals"]} > {total["database"] for total in remote["totals"]}
    code, again = await command(world, "--upto-block", upto, "--work", str(work))
    assert (code, again) == (0, here)


async def test_who_is_no_auditor_gets_no_remote_replay(world: World) -> None:
    code, denied = await command(world, "--remote", "--as", "customs-cn")
    assert (code, denied["error"]["code"]) == (5, "PERMISSION_DENIED")
    code, refused = await command(world, "--remote", "--as", "auditor-sg", "--mirror", "somewhere")
    assert code == 2
    assert "--remote goes with" in refused["error"]["message"]
