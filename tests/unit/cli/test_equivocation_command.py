"""`silkledger evidence equivocation make|verify`, offline."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from silkledger.cli.__main__ import app
from silkledger.cli.exit_codes import ExitCode
from silkledger.log.checkpoint import LogVerifierKey
from tests.support.qbft_chain import Turn
from tests.unit.evidence.sealed_world import AS_OF, FOUR, SealedWorld
from tests.unit.evidence.test_equivocation import VKEY, note
from tests.unit.evidence.test_list_equivocation import ISSUER, MULTIKEY, key_record, list_of, world_with
from tests.unit.evidence.world import DOCUMENT, ORIGIN
from tests.vectors.evidence.verdict_cases import log_keys

RUNNER = CliRunner()


def run(*arguments: object) -> tuple[int, dict[str, object]]:
    result = RUNNER.invoke(app, ["evidence", "equivocation", *map(str, arguments), "--json"])
    return result.exit_code, json.loads(result.stdout)


def test_two_evidence_files_of_different_blocks(tmp_path: Path) -> None:
    honest, other = SealedWorld(), SealedWorld(turns={AS_OF: Turn(proposer=FOUR[3])})
    one, two, out, roots = (tmp_path / name for name in ("one", "two", "out", "roots"))
    one.write_bytes(honest.bundle().encode())
    two.write_bytes(other.bundle().encode())
    roots.write_text(honest.roots().to_json())
    code, made = run("make", one, two, "--out", out)
    assert code == 0
    assert made["signedBoth"] == [str(FOUR[0].address), str(FOUR[1].address)]
    assert run("verify", out, "--trust-roots", roots) == (0, made | {"pinned": True})
    assert run("verify", out) == (ExitCode.INCOMPLETE, made)

    code, refused = run("make", one, one, "--out", tmp_path / "none")
    assert code == ExitCode.FAILED
    assert refused["error"]["code"] == "NO_CONTRADICTION"  # type: ignore[index]
    assert not (tmp_path / "none").exists()


def test_two_headers_and_two_checkpoints(tmp_path: Path) -> None:
    honest, other = SealedWorld(), SealedWorld(turns={AS_OF: Turn(proposer=FOUR[3])})
    one, two, out = (tmp_path / name for name in ("one", "two", "out"))
    one.write_bytes(honest.chain.headers[-1].raw)
    two.write_text(f"0x{other.chain.headers[-1].raw.hex()}\n")
    assert run("make", one, two, "--out", out)[1]["subject"] == f"block {AS_OF}"
    one.write_bytes(note())
    two.write_bytes(note(fill=2))
    assert run("make", one, two, "--out", out)[0] == ExitCode.FAILED
    code, made = run("make", one, two, "--out", out, "--log-key", VKEY)
    assert (code, made["signedBoth"]) == (0, [VKEY])


def test_two_checkpoints_by_two_keys_of_one_log(tmp_path: Path) -> None:
    one, two, out, evidence, roots = (tmp_path / n for n in ("one", "two", "out", "evidence", "roots"))
    keys = [str(LogVerifierKey.of(ORIGIN, key.verifying_key)) for key in (log_keys.OLD, log_keys.NEW)]
    one.write_bytes(note(key=log_keys.OLD))
    two.write_bytes(note(fill=2, key=log_keys.NEW))
    world = log_keys.WORLDS["new-after-the-end"]
    evidence.write_bytes(world.evidence().encode())
    roots.write_text(world.roots().to_json())
    files = [one, two, "--out", out]
    assert run("make", *files, "--log-key", keys[0])[0] == ExitCode.FAILED
    code, made = run("make", *files, "--log-key", keys[0], "--log-key", keys[1])
    assert (code, set(made["signedBoth"]), made["pinned"]) == (0, set(keys), False)  # type: ignore[call-overload]
    assert run("verify", out, "--trust-roots", roots)[0] == ExitCode.INCOMPLETE
    assert run("make", *files, "--log-key", keys[0], "--log-key", keys[1], "--evidence", evidence)[0] == 0
    assert run("verify", out, "--trust-roots", roots) == (0, made | {"pinned": True})


def test_what_is_no_proof(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_bytes(b"\xa0")
    assert run("verify", bad)[0] == ExitCode.FAILED
    assert run("verify", tmp_path / "absent")[0] == ExitCode.USAGE


def test_sealed_evidence_is_a_production_pass_and_exits_zero(tmp_path: Path) -> None:
    """The counterpart: what the same command line says of a ledger on which nobody signed twice."""
    sealed = SealedWorld(replay=False)
    document, evidence, roots = (tmp_path / name for name in ("document", "evidence", "roots"))
    document.write_bytes(DOCUMENT)
    evidence.write_bytes(sealed.bundle().encode())
    roots.write_text(sealed.roots().to_json())
    arguments = ["evidence", "verify", str(document), str(evidence), "--trust-roots", str(roots), "--json"]
    result = RUNNER.invoke(app, arguments)
    verdict = json.loads(result.stdout)
    assert (result.exit_code, verdict["outcome"]) == (0, "PASS"), verdict
    document.write_bytes(DOCUMENT + b" ")
    assert RUNNER.invoke(app, arguments).exit_code == ExitCode.FAILED


def test_two_status_lists_of_one_sequence(tmp_path: Path) -> None:
    world = world_with(key_record(8))
    one, two, out, evidence, roots = (tmp_path / n for n in ("one", "two", "out", "evidence", "roots"))
    one.write_bytes(list_of())
    two.write_bytes(list_of("uAQ"))
    evidence.write_bytes(world.evidence().encode())
    roots.write_text(world.roots().to_json())
    lists = [one, two, "--out", out, "--issuer-key", MULTIKEY]
    code, made = run("make", *lists)
    assert code == 0
    assert run("verify", out, "--trust-roots", roots)[0] == ExitCode.INCOMPLETE
    code, made = run("make", *lists, "--evidence", evidence)
    assert code == 0
    assert run("verify", out, "--trust-roots", roots) == (0, made | {"pinned": True})
    assert made["signedBoth"] == [f"{ISSUER}#delegate-1 {MULTIKEY}"]
    two.write_bytes(list_of("uAQ", sequence=5))
    code, refused = run("make", *lists)
    assert (code, refused["error"]["code"]) == (ExitCode.FAILED, "NO_CONTRADICTION")  # type: ignore[index]
