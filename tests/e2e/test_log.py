"""The log in its auditors' hands, by the command line: mirrored, verified, given back when it was lost."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.cli.exit_codes import ExitCode
from silkledger.client.signing import sign_document, statement_id
from silkledger.values import Digest, DocumentType
from tests.support.embedded_stack import ROOT
from tests.support.outside_verifiers.go_tlog import verify_tiles

from .conftest import World

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]


async def command(world: World, *arguments: str) -> tuple[int, dict[str, Any]]:
    """`silkledger log …` on the stack's data directory."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "silkledger.cli", "log", *arguments, "--data", str(world.stack.data), "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    out, err = await process.communicate()
    assert out, err.decode()
    assert process.returncode is not None
    return process.returncode, json.loads(out)


async def test_a_lost_database_comes_back_from_an_auditors_mirror(world: World, tmp_path: Path) -> None:
    session = world.session("customs-cn")
    organisation = session.organisation
    statements = [
        sign_document(
            organisation.account(),
            organisation.did,
            digest=Digest(hashlib.sha256(b"mirrored %d" % number).digest()),
            subject="urn:silkledger:test:mirrored",
            document_type=DocumentType("705"),
            content_type="application/json",
        )
        for number in range(7)
    ]
    ids = [statement_id(statement) for statement in statements]
    async with session.ledger() as ledger:
        await ledger.register(statements)
        await ledger.wait_for_stage(ids, chain.EVIDENCE_STAGE_FINAL)
    world.filed += ids
    mirror = tmp_path / "mirror"

    code, mirrored = await command(world, "mirror", str(mirror), "--as", "auditor-sg")
    assert (code, mirrored["old_size"]) == (0, 0)
    assert mirrored["size"] >= 7
    size, root = verify_tiles(session.network_file.log_verifier_key, mirror)
    assert (size, root.hex()) == (mirrored["size"], mirrored["root"])
    code, denied = await command(world, "mirror", str(tmp_path / "other"), "--as", "bank-a")
    assert (code, denied["error"]["code"]) == (5, "PERMISSION_DENIED")
    code, denied = await command(world, "restore", str(mirror))
    assert code == 2
    assert "already runs" in denied["error"]["message"]

    await world.stack.stop()
    for file in (world.stack.data / "services" / "ledger").glob("db.sqlite3*"):
        file.unlink()
    code, restored = await command(world, "restore", str(mirror))
    assert (code, restored) == (0, {"old_size": 0, "new_size": size, "anchored_size": size})
    await world.stack.start()

    async with session.ledger() as ledger:
        found = await ledger.wait_for_stage(ids, chain.EVIDENCE_STAGE_FINAL)
    assert {bytes(item.statement_id) for item in found} == {bytes(item) for item in ids}
    assert await command(world, "mirror", str(mirror)) == (0, mirrored | {"old_size": size})


async def test_the_operator_adds_a_key_and_ends_it_by_the_command_line(world: World, tmp_path: Path) -> None:
    old = world.session("customs-cn").network_file.log_verifier_key
    code, made = await command(world, "key", "new", str(tmp_path / "new.pem"))
    new = made["verifier_key"]
    assert code == 0 and (tmp_path / "new.pem").stat().st_mode & 0o777 == 0o600
    code, added = await command(world, "key", "add", new)
    assert (code, added["verifier_key"], added["signs"]) == (0, new, False)
    code, refused = await command(world, "key", "end", old)
    assert code == ExitCode.REFUSED and "LOG_KEY_IN_USE" in json.dumps(refused)
    code, ended = await command(world, "key", "end", new)
    assert code == 0 and ended["ended_block"] > added["added_block"]
    code, after = await command(world, "key", "list")
    listed = [(key["verifier_key"], key["signs"], key["ended_block"]) for key in after["keys"]]
    assert (code, listed) == (0, [(old, True, None), (new, False, ended["ended_block"])])
