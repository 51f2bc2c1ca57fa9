"""`log verify` on mirrors made in memory, and what stops the other commands before anything is touched."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from silkledger.cli.__main__ import app
from silkledger.cli.exit_codes import ExitCode
from silkledger.log.tiles import Bundle
from silkledger.mirror.directory import MirrorDirectory
from silkledger.mirror.follow import extend
from tests.support.log_source import ORIGIN, MemoryLog


def run(*arguments: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, ["log", *arguments, "--json"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, json.loads(result.stdout)


@pytest.fixture
def log(tmp_path: Path) -> MemoryLog:
    log = MemoryLog(300)
    asyncio.run(extend(MirrorDirectory(tmp_path), log, log.vkey))
    return log


def test_a_whole_mirror(log: MemoryLog, tmp_path: Path) -> None:
    code, document = run("verify", str(tmp_path), "--log-key", str(log.vkey))
    assert code == ExitCode.OK
    assert document == {"origin": ORIGIN, "size": 300, "root": log.tree.root().hex(), "tiles": 3}


def test_an_altered_missing_or_foreign_one(log: MemoryLog, tmp_path: Path) -> None:
    code, document = run("verify", str(tmp_path), "--log-key", str(MemoryLog().vkey))
    assert (code, document["error"]["reason"]) == (ExitCode.FAILED, "NOTE_NOT_SIGNED")
    bundle = tmp_path / Bundle(1, 44).path()
    bundle.write_bytes(bundle.read_bytes().replace(b"entry 270 of", b"entry 271 of"))
    code, document = run("verify", str(tmp_path), "--log-key", str(log.vkey))
    assert (code, document["error"]["reason"]) == (ExitCode.FAILED, "MIRROR_DAMAGED")
    assert "entry 270 " in document["error"]["message"]
    bundle.unlink()
    code, document = run("verify", str(tmp_path), "--log-key", str(log.vkey))
    assert (code, document["error"]["reason"]) == (ExitCode.INCOMPLETE, "MIRROR_INCOMPLETE")
    code, document = run("verify", str(tmp_path / "nowhere"), "--log-key", str(log.vkey))
    assert (code, document["error"]["reason"]) == (ExitCode.INCOMPLETE, "MIRROR_EMPTY")


@pytest.mark.parametrize("command", ["mirror", "verify", "restore"])
def test_without_a_stack_or_a_key(command: str, tmp_path: Path) -> None:
    code, document = run(command, str(tmp_path / "mirror"), "--data", str(tmp_path))
    assert code == ExitCode.USAGE
    assert "silkledger up" in document["error"]["message"]


def test_a_key_that_is_none(tmp_path: Path) -> None:
    code, document = run("verify", str(tmp_path), "--log-key", "no key")
    assert code == ExitCode.USAGE
    assert "VKEY_MALFORMED" in document["error"]["message"]
