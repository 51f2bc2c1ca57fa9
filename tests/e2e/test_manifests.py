"""Many documents under one signature, by the command line: registered, found, each proven offline."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from silkledger.cli.exit_codes import ExitCode
from silkledger.values import StatementId
from tests.support.embedded_stack import ROOT

from .conftest import World

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]


async def command(*arguments: object) -> tuple[int, dict[str, Any]]:
    """`silkledger …`, its exit status and its document."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "silkledger.cli", *map(str, arguments), "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    out, err = await process.communicate()
    assert out, err.decode()
    assert process.returncode is not None
    return process.returncode, json.loads(out)


async def test_invoices_under_one_signature_are_each_proven_offline(world: World, tmp_path: Path) -> None:
    data = ("--data", world.stack.data)
    agency = (*data, "--as", "customs-cn")
    folder = tmp_path / "invoices"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.xml").write_text(f"<Invoice>{tmp_path.name} {number}</Invoice>")
    manifest = tmp_path / "invoices.manifest"
    named = ("--type", "380", "--subject", "invoices/2026-11", "-o", manifest)

    code, registered = await command("manifest", "register", folder, *named, *agency)
    assert (code, registered["documents"], registered["stage"]) == (ExitCode.OK, 4, "final"), registered
    assert registered["manifestSize"] == 4
    world.filed.append(StatementId.from_hex(registered["statementId"]))
    code, again = await command("manifest", "submit", manifest, *agency)
    assert (code, again["alreadyRegistered"]) == (ExitCode.OK, True)

    for number in range(4):
        code, verdict = await command(
            "document", "verify", folder / f"{number}.xml", "--relying", "TH", *agency
        )
        assert (code, verdict["outcome"]) == (ExitCode.DEVELOPMENT_ONLY, "PASS_DEVELOPMENT_ONLY")
        assert [item["statementId"] for item in verdict["statements"]] == [registered["statementId"]]

    roots = tmp_path / "roots.json"
    code, report = await command("audit", "replay", "--trust-roots", roots, *data)
    assert code == ExitCode.OK, report
    first = tmp_path / "0.evidence"
    wanted = ("--document", folder / "0.xml", "--relying", "TH", "--trust-roots", roots, "-o", first)
    code, _ = await command("document", "evidence", registered["statementId"], *wanted, *agency)
    assert code == ExitCode.OK
    for number in range(4):
        evidence = tmp_path / f"{number}.proven"
        made = ("--evidence", first, "-o", evidence)
        code, proven = await command("manifest", "prove", manifest, folder / f"{number}.xml", *made)
        assert (code, proven["index"]) == (ExitCode.OK, number)
        asked = ("--trust-roots", roots, "--relying", "TH")
        code, verdict = await command("evidence", "verify", folder / f"{number}.xml", evidence, *asked)
        assert code == ExitCode.DEVELOPMENT_ONLY, verdict
        told = {check["name"]: check for check in verdict["checks"]}
        assert told["document"]["detail"] == f"document {number + 1} of the 4 of a manifest"
        assert told["promise"]["result"] == "PASS"
        neighbour = folder / f"{(number + 1) % 4}.xml"
        code, verdict = await command("evidence", "verify", neighbour, evidence, *asked)
        assert code == ExitCode.FAILED

    (folder / "stranger").write_text("not among them")
    code, verdict = await command("document", "verify", folder / "stranger", "--relying", "TH", *agency)
    assert (code, verdict["outcome"]) == (ExitCode.NOT_REGISTERED, "NOT_REGISTERED")
