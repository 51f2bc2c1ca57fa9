"""A replay of all services' databases after a crash and a reorg, and after databases were lost and rebuilt.

Each time: nothing differs on what is untouched, and of random single-field tamperings every one is found and
named by table, key and field. Once on SQLite and once on PostgreSQL.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ledger.storage import checkpoint
from services.settlement import storage
from silkledger.audit.databases import Databases
from silkledger.audit.prepare import COMPARED as TABLES
from silkledger.audit.replay import Findings, Means, Replay, rebuilt, replay_ledger
from silkledger.audit.report import Report
from silkledger.cli.vault_terms import ServiceTerms
from silkledger.client.channel import Connection, Credentials
from silkledger.client.ledger import LedgerClient
from silkledger.evm.tables import CHAIN_BLOCK, CHAIN_CURSOR, CHAIN_TX
from silkledger.log.checkpoint import LogVerifierKey
from silkledger.mirror.directory import MirrorDirectory
from silkledger.mirror.follow import extend
from silkledger.projections.histories import HISTORY
from silkledger.projections.log_index import index_page, index_segment
from silkledger.projections.log_tiles import tile
from silkledger.projections.settlements import PAYMENT_FACT, PAYMENT_REFUSAL
from silkledger.projections.statements import accepted, entry_pack, leaf_run, manifest_pack
from tests.support.anvil import eventually
from tests.support.nursery import ROOT
from tests.support.postgres import *  # noqa: F403
from tests.support.tampering import Field, Named, connected, fields_of, tampered, with_rows

from .network import (
    COMPARED,
    ORIGIN,
    AuditedNetwork,
    Payments,
    registered,
    registered_manifest,
    running_chain,
    until_final,
)

MEANS = Means(processes=0, terms=ServiceTerms())

TAMPERINGS = 36
"""Of each of the three databases: more than a hundred in all."""
DOCUMENTS = 300
"""Of the manifest: as many as stand in one row, so that the root alone says which row was altered."""
ENTRIES = 10


async def _story(network: AuditedNetwork) -> None:
    """Some of everything; then a crash in the middle of more, and a reorg in the middle of the rest."""
    await network.found()
    await network.start()
    await network.enrol()
    payments = Payments(network)
    await payments.submit("pacs.008-bank-a-to-bank-b.xml")
    first = await registered(network, 3)
    await payments.accept()
    await payments.submit("pacs.009-bank-a-to-bank-b.xml")
    second = [*await registered(network, 3), await registered_manifest(network, DOCUMENTS)]
    await network.kill()
    await network.start()
    await payments.submit("pacs.008-batch.xml")
    await asyncio.to_thread(network.chain.rpc, "anvil_reorg", 2, [])
    third = await registered(network, 3)
    await payments.accept()
    await payments.settle()
    await until_final(network, [first[-1], second[-1], third[-1]])


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def network(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AuditedNetwork]:
    def database(folder: Path, name: str) -> str:
        unique = f"{name.replace('-', '_')}_{uuid.uuid4().hex}"
        if request.param == "sqlite":
            return f"sqlite:///{folder}/{unique}.sqlite"
        server = request.getfixturevalue("postgres_server")
        server.psql(f"CREATE DATABASE {unique};")
        return str(server.get_uri(database=unique))

    folder = tmp_path_factory.mktemp("network")
    with running_chain(folder / "chain") as chain:
        audited = AuditedNetwork(folder, chain, database)
        try:
            asyncio.run(_story(audited))
            asyncio.run(_mirror(audited))
            asyncio.run(audited.stop())
            yield audited
        finally:
            for service in audited.services.values():
                service.stop()


def mirror_of(network: AuditedNetwork) -> MirrorDirectory:
    return MirrorDirectory(network.folder / "mirror")


async def _mirror(network: AuditedNetwork) -> None:
    key = LogVerifierKey.of(ORIGIN, network.log_key.verifying_key)
    files = network.identity_of("operator", "auditor").write(network.folder / "auditor")
    credentials = Credentials(files[2], files[0], files[1])
    async with Connection(network.services["ledger"].address, credentials) as connection:
        await extend(mirror_of(network), LedgerClient(connection), key)


def databases(network: AuditedNetwork) -> Databases:
    return Databases(tuple((name, network.database(name)) for name in COMPARED))


async def replay(network: AuditedNetwork) -> Report:
    return await replay_ledger(
        network.audited, network.chain.url, databases(network), lambda *_: None, means=MEANS
    )


@asynccontextmanager
async def replayed(network: AuditedNetwork, work: Path) -> AsyncIterator[Replay]:
    async with rebuilt(
        network.audited, network.chain.url, lambda *_: None, None, replace(MEANS, work=work)
    ) as found:
        yield found


async def found_in(replay: Replay, name: str, url: str) -> set[Named]:
    findings = Findings()
    await replay.compare(name, url, findings)
    return {(one.table, one.key, one.field) for one in findings.differences}


async def find_every_tampering(network: AuditedNetwork, work: Path, seed: int) -> None:
    chance = random.Random(seed)
    async with replayed(network, work) as replay:
        for name in COMPARED:
            url = network.database(name)
            fields = await with_rows(url, [*fields_of(TABLES), *VAULT_FIELDS, *LOG_FIELDS])
            chance.shuffle(fields)
            order = (fields * (TAMPERINGS // len(fields) + 1))[:TAMPERINGS]
            async with connected(url) as engine:
                below = await final_in(engine)
                for field in order:
                    async with tampered(engine, field, chance, below) as named:
                        assert await found_in(replay, name, url) == {named}, field
                assert await found_in(replay, name, url) == set()


_DETERMINED = (
    "uetr role hop end_to_end_id transaction_id clearing_reference instructing_bic instructed_bic debtor_bic "
    "creditor_bic amount_minor currency market settlement_date charges_minor message_digest outgoing salt "
    "commitment own_address counterparty_address"
)
VAULT_FIELDS = [
    *(Field(storage.payment, name, ("payment_id",)) for name in _DETERMINED.split()),
    Field(storage.message, "content", ("digest",)),
    Field(storage.signed, "statement", ("payment_id", "statement_digest")),
]
"""What messages, statements and the chain determine of a vault."""

LOG_FIELDS = [
    Field(tile, "hashes", ("level", "number")),
    *(Field(entry_pack, name, ("call", "first_item")) for name in ("width", "entries")),
    *(Field(leaf_run, name, ("first_leaf",)) for name in ("call", "first_item", "width")),
    *(Field(manifest_pack, name, ("manifest", "first_document")) for name in ("width", "leaves")),
    *(Field(checkpoint, name, ("tree_size",)) for name in ("root", "note", "signatures")),
    *(Field(index_segment, name, ("segment",)) for name in ("first_leaf", "end_leaf")),
    Field(index_page, "records", ("segment", "first")),
    Field(accepted, "width", ("call",)),
]
"""What the log's own redundancy, its signatures and the chain determine of the log's tables."""

EXPECTED = {
    "ledger": {"chain_block", "chain_tx", "history", "anchor"},
    "identity": {"chain_block", "chain_tx", "history", "accreditation"},
    "settlement-a": {"chain_block", "chain_tx", "history", "payment_fact"},
}


async def test_after_a_crash_and_a_reorg_nothing_differs(network: AuditedNetwork) -> None:
    report = await replay(network)
    assert (report.verdict, report.differences, report.unavailable) == ("CLEAN", (), ())
    assert report.entries == ENTRIES
    for name, tables in EXPECTED.items():
        with_content = {total.table for total in report.totals if total.database == name and total.rows}
        assert tables <= with_content
    assert all(total.rows == total.found for total in report.totals)
    again = await replay_ledger(
        network.audited,
        network.chain.url,
        databases(network),
        lambda *_: None,
        upto=report.last.number,
        means=MEANS,
    )
    assert again.document() == report.document()


async def test_every_tampering_after_a_crash_and_a_reorg_is_named(
    network: AuditedNetwork, tmp_path: Path
) -> None:
    await find_every_tampering(network, tmp_path, 7317)


async def test_lost_databases_are_rebuilt_and_every_tampering_is_named_again(
    network: AuditedNetwork, tmp_path: Path
) -> None:
    """The ledger's from chain and mirror, the identity's from the chain, the bank's from chain and vault."""
    final = (await replay(network)).last.number
    network.fresh_database("identity")
    network.fresh_database("ledger")
    await asyncio.to_thread(restore, network)
    await forget_the_chain(network.database("settlement-a"))
    await network.start()
    await followed(network, final)
    await network.stop()
    report = await replay(network)
    assert report.differences == ()
    assert report.entries == ENTRIES
    # A mirror has a manifest, and not what it is about.
    assert report.unavailable == ("ledger: the documents of 1 manifest(s) of the log",)
    assert {total.rows for total in report.totals if total.table == "payment"} == {6}
    await find_every_tampering(network, tmp_path, 1886)


def restore(network: AuditedNetwork) -> None:
    """`python -m services.ledger.restore MIRROR`, as `silkledger log restore` runs it."""
    settings = network.services["ledger"].environment
    result = subprocess.run(
        [sys.executable, "-m", "services.ledger.restore", str(mirror_of(network).root)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]} | {f"SILKLEDGER_{name}": value for name, value in settings.items()},
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert json.loads(result.stdout)["new_size"] == ENTRIES


async def forget_the_chain(url: str) -> None:
    """A bank's projections are dropped; its vault is what it was."""
    async with connected(url) as engine, engine.begin() as connection:
        for table in (CHAIN_CURSOR, CHAIN_BLOCK, CHAIN_TX, HISTORY, PAYMENT_FACT, PAYMENT_REFUSAL):
            await connection.execute(delete(table))


async def final_in(engine: AsyncEngine) -> int:
    """The last block that the database has as final."""
    async with engine.connect() as connection:
        return await connection.scalar(select(CHAIN_CURSOR.c.final_number)) or 0


async def followed(network: AuditedNetwork, final: int) -> None:
    """Until every compared database has this block as final."""
    for name in COMPARED:
        async with connected(network.database(name)) as engine:

            async def there(engine: AsyncEngine = engine) -> bool:
                return await final_in(engine) >= final

            await eventually(there, f"{name} has read the chain again", timeout_s=60, pause_s=0.1)


async def test_a_bank_that_lost_its_vault_too_has_no_details(network: AuditedNetwork) -> None:
    """What is on chain is rebuilt; whose payments they are, and how much, is UNAVAILABLE: counted, listed."""
    final = (await replay(network)).last.number
    network.fresh_database("settlement-a")
    await network.start()
    await followed(network, final)
    await network.stop()
    report = await replay(network)
    assert (report.verdict, report.differences) == ("INCOMPLETE", ())
    lost = [item for item in report.unavailable if not item.startswith("ledger: ")]
    assert len(lost) == 6
    assert all(item.startswith("the details of payment 0x") for item in lost)
    facts = [total for total in report.totals if total.table == "payment_fact"]
    assert [(total.rows, total.found) for total in facts] == [(facts[0].rows, facts[0].rows)]
    assert facts[0].rows
