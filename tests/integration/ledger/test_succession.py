"""A log changes its key by a successor: the old origin is retired, the new one goes on, both verify."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.evm.contracts import encode_call, view
from silkledger.evm.node import JsonRpcNode
from silkledger.keys.account import Account
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.ledger.v1 import ledger_pb2_grpc as rpc
from silkledger.log.checkpoint import LogVerifierKey, verify_note
from silkledger.log.receipt import verify_receipt
from silkledger.registry.histories import origin_id
from tests.support.anvil import FAST
from tests.support.grpc_clients import channel

from .conftest import Founded, Ledger, id_of, opened, reached, register, send


async def log_one(service: Ledger) -> tuple[bytes, pb.GetReceiptResponse]:
    """A statement that is final, and its receipt."""
    await asyncio.to_thread(service.start)
    try:
        await opened(service)
        agency = service.founded.agency
        raw = service.statement(agency)
        async with channel(service.address, service.identity(agency)) as opened_channel:
            stub = rpc.LedgerServiceStub(opened_channel)
            await stub.RegisterStatements(register(raw))
            await reached(stub, bytes(id_of(raw)), chain.EVIDENCE_STAGE_FINAL)
            return raw, await stub.GetReceipt(pb.GetReceiptRequest(statement_id=bytes(id_of(raw))))
    finally:
        await asyncio.to_thread(service.stop)


def vkey(service: Ledger) -> LogVerifierKey:
    return LogVerifierKey.of(service.origin, service.log_key.verifying_key)


async def test_a_successor_takes_over_and_both_logs_stay_verifiable(founded: Founded, tmp_path: Path) -> None:
    services = []
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        url = f"sqlite:///{tmp_path}/{name}/ledger.sqlite"
        services.append(Ledger(founded, tmp_path / name, url))
    old, new = services
    shutil.copy(old.directory / "lane.pem", new.directory / "lane.pem")
    logged = [await log_one(old)]

    anchor = founded.network.address("LogAnchor")
    key = vkey(new)
    arguments = (new.origin, bytes((key.key_type,)) + key.public, origin_id(old.origin))
    node = JsonRpcNode(founded.url, FAST)
    await send(
        node,
        Account.load(old.directory / "lane.pem"),
        anchor,
        encode_call("LogAnchor", "registerOrigin", arguments),
    )
    logged.append(await log_one(new))

    for service, (raw, receipt), retired in zip(services, logged, (True, False), strict=True):
        where = (origin_id(service.origin),)
        assert (await view(node, founded.network, "LogAnchor", "originOf", where))[1] is retired
        assert (await view(node, founded.network, "LogAnchor", "anchoredHead", where))[0] == 1
        head = verify_note(receipt.checkpoint, vkey(service))
        assert verify_receipt(receipt.receipt, raw, vkey(service), head).size == 1
    await node.close()
