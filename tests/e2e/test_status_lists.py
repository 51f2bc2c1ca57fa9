"""Status lists by the command line: issued by their issuer, fetched by anybody, verified with no network."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from silkledger.cli.exit_codes import ExitCode
from silkledger.client.organisation import Organisation
from silkledger.keys import load_key

from .conftest import World
from .test_manifests import command

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]


async def test_a_revocation_is_issued_fetched_and_proven_offline(world: World, tmp_path: Path) -> None:
    data = ("--data", world.stack.data)
    agency = (*data, "--as", "customs-cn")
    series = f"https://customs.example/status/{uuid.uuid4()}"
    code, first = await command("status-list", "issue", series, *agency)
    assert (code, first["sequence"], first["stage"]) == (ExitCode.OK, 0, "final"), first
    code, second = await command("status-list", "issue", series, "--set", 94567, *agency)
    assert (code, second["sequence"], second["stage"]) == (ExitCode.OK, 1, "final"), second
    code, refused = await command("status-list", "issue", series, "--clear", 94567, *agency)
    assert code == ExitCode.USAGE
    assert "STATUS_LIST_UNREVOKED" in str(refused)

    file, roots, events = (tmp_path / name for name in ("list.json", "roots.json", "events.proof"))
    code, newest = await command("status-list", "get", first["issuer"], series, "--out", file, *data)
    assert (code, newest["digest"]) == (ExitCode.OK, second["digest"])
    code, report = await command("audit", "replay", "--trust-roots", roots, *data)
    assert code == ExitCode.OK, report
    lists = {total["database"]: total for total in report["totals"] if total["table"] == "status_list"}
    assert lists["identity"]["rows"] == lists["identity"]["found"] >= 2
    blocks = ("--from", 1, "--to", second["recordedAt"])
    kind = ("--contract", "IdentityRegistry", "--event", "StatusListPublished", "--trust-roots", roots)
    archive = f"sqlite:///{world.stack.data}/services/identity/db.sqlite3"
    code, made = await command(
        "evidence", "completeness", "make", *kind, *blocks, "--archive", archive, "--out", events
    )
    assert code == ExitCode.OK, made
    organisation = Organisation.load(world.stack.data / "orgs" / "customs-cn")
    key = load_key(organisation.lists_key_file).verifying_key.to_multikey()
    shown = ("--trust-roots", roots, "--events", events, "--issuer-key", key)
    code, verdict = await command("status-list", "verify", file, *shown, "--index", 94567, "--index", 3)
    assert code == ExitCode.DEVELOPMENT_ONLY, verdict
    assert verdict["entries"] == {"94567": True, "3": False}
