"""Evidence after the node has pruned: a real service behind a proxy that proves the state of few blocks."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.evidence.bundle import decode_bundle
from silkledger.evidence.header import EngineKind, decode_header
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evidence.verdict import CheckResult, Outcome, Verdict
from silkledger.evidence.verify import verify_bundle
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.port import NodeUnavailable
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.ledger.v1 import ledger_pb2_grpc as rpc
from silkledger.runtime.db import parse_url
from silkledger.statement import parse_statement
from silkledger.values import BlockHash, CountryCode
from tests.support.anvil import FAST, eventually
from tests.support.grpc_clients import channel, refusal_of
from tests.support.node_proxy import NodeProxy

from .conftest import Founded, Ledger, id_of, opened, reached, register
from .test_verdicts import executed, relay, revocation

KEEPS = 12
"""Blocks; of a tenth of a second each."""
FINAL = chain.EVIDENCE_STAGE_FINAL


@pytest.fixture
async def own(founded: Founded, database_url: str, tmp_path: Path) -> AsyncIterator[Ledger]:
    """A service of the test's own, not started, on either database."""
    service = Ledger(founded, tmp_path, database_url)
    yield service
    await asyncio.to_thread(service.stop)


@pytest.fixture
async def own_sqlite(founded: Founded, tmp_path: Path) -> AsyncIterator[Ledger]:
    service = Ledger(founded, tmp_path, f"sqlite:///{tmp_path}/ledger.sqlite")
    yield service
    await asyncio.to_thread(service.stop)


@asynccontextmanager
async def life(service: Ledger, proxy: NodeProxy, **change: str) -> AsyncIterator[Any]:
    """The service on the pruning node, and the agency's stub; stopped in order at the end."""
    settings = {"NODE_URL": proxy.url, "STATE_CAPTURE_BLOCKS": "1"} | change
    await asyncio.to_thread(lambda: service.start(**settings))
    await opened(service)
    identity = service.identity(service.founded.agency, "agency")
    async with channel(service.address, identity) as connection:
        yield rpc.LedgerServiceStub(connection)
    if service.process is not None and service.process.poll() is None:
        await asyncio.to_thread(service.stop)


async def captured(service: Ledger) -> list[int]:
    """Blocks as of which state was captured."""
    engine = create_async_engine(parse_url(service.database_url))
    async with engine.connect() as connection:
        rows = await connection.execute(text("SELECT block_number FROM state_capture ORDER BY 1"))
        found = [int(row[0]) for row in rows]
    await engine.dispose()
    return found


async def final_statement(service: Ledger, stub: Any) -> tuple[bytes, pb.Statement]:
    raw = service.statement(service.founded.agency)
    await stub.RegisterStatements(register(raw))
    return raw, await reached(stub, bytes(id_of(raw)), FINAL)


async def until_captured(service: Ledger, block: int) -> None:
    async def done() -> bool:
        return any(number >= block for number in await captured(service))

    await eventually(done, f"the state of block {block} is captured\n{service.log[-2000:]}")


async def until_pruned(proxy: NodeProxy, service: Ledger, block: int) -> None:
    """Until the node refuses the state of `block`."""
    node = JsonRpcNode(proxy.url, FAST)
    registry = service.founded.network.address("TrustRegistry")

    async def refuses() -> bool:
        try:
            await node.get_proof(registry, [0], block)
        except NodeUnavailable as error:
            return "pruned" in str(error)
        return False

    await eventually(refuses, "the node prunes")
    await node.close()


def verified(
    service: Ledger, raw: bytes, bundle: bytes, country: str = "TH", as_of: int | None = None
) -> Verdict:
    """Offline, by trust roots that pin the bundle's newest block."""
    newest = decode_header(decode_bundle(bundle).headers[-1], EngineKind.NO_SEALS)
    network = service.founded.network
    roots = TrustRoots(
        chain_id=network.chain_id,
        genesis_hash=network.genesis_hash,
        engine=EngineKind.NO_SEALS,
        rules=None,
        directory=network.directory,
        contracts=network.addresses,
        pinned_blocks={newest.number: BlockHash(newest.hash)},
    )
    digest = parse_statement(raw).digest
    return verify_bundle(digest, bundle, roots, relying_country=CountryCode(country), as_of=as_of)


def wanted(found: pb.Statement, country: str = "TH", as_of: int | None = None) -> pb.GetEvidenceRequest:
    block = found.anchor.block.number if as_of is None else as_of
    return pb.GetEvidenceRequest(statement_id=found.statement_id, relying_country=country, as_of_block=block)


async def test_what_was_captured_proves_after_the_node_has_pruned(
    own: Ledger, proxy: NodeProxy, founded: Founded
) -> None:
    proxy.keeps = KEEPS
    async with life(own, proxy) as stub:
        for call in [await _revoked(own, stub, secrets.token_bytes(32)) for _ in range(6)]:
            await executed(stub, call)
        raw, found = await final_statement(own, stub)
        block = found.anchor.block.number
        await until_captured(own, block)
        said = await executed(stub, await _revoked(own, stub, secrets.token_bytes(32)))
        call = await _revoked(own, stub, found.statement_id)
        revoked = (await executed(stub, call)).block.number
        others = [own.statement(own.founded.agency) for _ in range(8)]
        await stub.RegisterStatements(register(*others))
        later = await reached(stub, bytes(id_of(others[-1])), FINAL)
        await until_captured(own, max(revoked, later.anchor.block.number))
    blocks = await captured(own)
    assert block < said.block.number < revoked < blocks[-1]
    assert said.block.number not in blocks
    await until_pruned(proxy, own, later.anchor.block.number + 2)
    async with life(own, proxy) as stub:
        for country, outcome in (
            ("TH", Outcome.PASS_DEVELOPMENT_ONLY),
            ("CN", Outcome.PASS_DEVELOPMENT_ONLY),
            ("LA", Outcome.FAIL),
        ):
            bundle = (await stub.GetEvidence(wanted(found, country))).bundle
            verdict = verified(own, raw, bundle, country)
            assert verdict.outcome is outcome, verdict.checks
            assert verdict.as_of is not None
            assert verdict.as_of.number == block
        assert verdict.check("authority_known").reason == Reason.NOT_RECOGNISED
        # That nothing was said about them: none of them was asked for when the state was captured.
        for raw_other in others:
            later.statement_id = bytes(id_of(raw_other))
            good = (await stub.GetEvidence(wanted(later))).bundle
            assert verified(own, raw_other, good).outcome is Outcome.PASS_DEVELOPMENT_ONLY
        # A block between two captures: as of the next one, with the header of the block itself.
        between = said.block.number
        bundle = (await stub.GetEvidence(wanted(found, as_of=between))).bundle
        verdict = verified(own, raw, bundle)
        assert verdict.as_of is not None
        assert verdict.as_of.number == next(b for b in blocks if b > between)
        assert verdict.check("status_in_force").reason == Reason.DOCUMENT_REVOKED
        assert verdict.check("status_known").result is CheckResult.FAIL
        earlier = verified(own, raw, bundle, as_of=between)
        assert earlier.check("status_known").result is CheckResult.PASS, earlier.checks
        assert any("revoked later" in notice for notice in earlier.notices)
        # Without a block, and with a node that proves nothing at all: the newest state that is kept.
        proxy.keeps = -1
        request = pb.GetEvidenceRequest(statement_id=found.statement_id, relying_country="TH")
        newest = verified(own, raw, (await stub.GetEvidence(request)).bundle)
        assert newest.as_of is not None
        assert newest.as_of.number >= blocks[-1]
        assert newest.check("status_in_force").reason == Reason.DOCUMENT_REVOKED


async def _revoked(service: Ledger, stub: Any, statement_id: bytes) -> chain.SignedCall:
    call = revocation(service, service.founded.agency, statement_id)
    await stub.RelayCall(relay(call))
    return call


async def test_without_a_capture_it_is_unavailable_and_named(own_sqlite: Ledger, proxy: NodeProxy) -> None:
    """The negative twin."""
    own = own_sqlite
    proxy.keeps = KEEPS
    async with life(own, proxy, STATE_CAPTURE_BLOCKS="0") as stub:
        _, found = await final_statement(own, stub)
        block = found.anchor.block.number
        assert (await stub.GetEvidence(wanted(found))).bundle
        await until_pruned(proxy, own, block)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetEvidence(wanted(found))
        told = refusal_of(caught.value)
        assert (told.code, told.reason) == (grpc.StatusCode.UNAVAILABLE, "EVIDENCE_UNAVAILABLE")
        text = caught.value.details() or ""
        assert "no proof of the account 0x" in text
        assert f"as of block {block}: it was not captured" in text
        assert "the state of that block was pruned" in text
        # The state of recent blocks can still be had.
        recent = pb.GetEvidenceRequest(statement_id=found.statement_id, relying_country="TH")
        assert (await stub.GetEvidence(recent)).bundle
    assert await captured(own) == []


async def test_killed_between_finality_and_capture_it_captures_after_the_start(
    own_sqlite: Ledger, proxy: NodeProxy
) -> None:
    own = own_sqlite
    async with life(own, proxy, FAILPOINT="capture.gathered:1") as stub:
        raw = own.statement(own.founded.agency)
        await stub.RegisterStatements(register(raw))
        assert own.process is not None
        assert await asyncio.to_thread(own.process.wait, 30) == -signal.SIGKILL, own.log
    assert await captured(own) == []
    proxy.keeps = KEEPS
    async with life(own, proxy) as stub:
        found = await reached(stub, bytes(id_of(raw)), FINAL)
        await until_captured(own, found.anchor.block.number)
        (block, *_) = await captured(own)
        await until_pruned(proxy, own, block)
        proxy.keeps = -1
        bundle = (await stub.GetEvidence(wanted(found, as_of=block))).bundle
        assert verified(own, raw, bundle).outcome is Outcome.PASS_DEVELOPMENT_ONLY
