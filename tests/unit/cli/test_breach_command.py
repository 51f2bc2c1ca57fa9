"""`silkledger evidence breach make|verify`, from a promise, a dated checkpoint and a mirror. Offline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from silkledger.cli.__main__ import app
from silkledger.cli.exit_codes import ExitCode
from silkledger.log.tiles import Bundle, encode_bundle
from silkledger.mirror.directory import MirrorDirectory
from tests.unit.evidence.test_breach import LOG, LOG_BY_S, OTHERS, STATEMENT, WITNESS, head, promise

KEYS = ("--log-key", str(LOG), "--witness-key", str(WITNESS))


def run(*arguments: object) -> tuple[int, dict[str, object]]:
    result = CliRunner().invoke(app, ["evidence", "breach", *map(str, arguments), *KEYS, "--json"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, json.loads(result.stdout)


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """A promise, a dated head of three entries, and a mirror that has one entry more."""
    (tmp_path / "promise").write_bytes(promise())
    (tmp_path / "head").write_text(head(OTHERS), encoding="utf-8")
    entries = (*OTHERS, STATEMENT.raw)
    mirror = MirrorDirectory(tmp_path / "mirror")
    mirror.write(Bundle(0, len(entries)).path(), encode_bundle(entries))
    mirror.write("checkpoint", head(entries).encode())
    return tmp_path


def make(held: Path, statement: object = STATEMENT.id) -> tuple[int, dict[str, object]]:
    files = ("--checkpoint", held / "head", "--mirror", held / "mirror", "--out", held / "out")
    return run("make", held / "promise", statement, *files)


def test_made_and_verified(held: Path) -> None:
    code, made = make(held)
    assert code == ExitCode.OK, made
    assert (made["statement"], made["headSize"]) == (str(STATEMENT.id), 3)
    assert (made["logByUnixMs"], made["headDatedUnixS"]) == (LOG_BY_S * 1000, LOG_BY_S + 1)
    assert run("verify", held / "out") == (ExitCode.OK, made)


def test_a_kept_promise_makes_no_proof(held: Path) -> None:
    (held / "head").write_text(head((*OTHERS, STATEMENT.raw)), encoding="utf-8")
    code, document = make(held)
    assert (code, document["error"]["code"]) == (ExitCode.FAILED, "STATEMENT_LOGGED")  # type: ignore[index]
    assert not (held / "out").exists()


def test_what_cannot_be_read(held: Path) -> None:
    assert make(held, "no id")[0] == ExitCode.USAGE
    assert run("verify", held / "absent")[0] == ExitCode.USAGE
    assert run("verify", held / "promise")[0] == ExitCode.FAILED
    (held / "mirror" / Bundle(0, 4).path()).unlink()
    code, document = make(held)
    assert code == ExitCode.USAGE
    assert "MIRROR_INCOMPLETE" in document["error"]["message"]  # type: ignore[index]
