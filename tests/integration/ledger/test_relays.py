"""Who may submit for an issuer: the account that it named as its relay on chain, as long as that holds."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.evm.contracts import encode_call
from silkledger.evm.node import JsonRpcNode
from silkledger.keys.account import Account
from silkledger.ledger.v1 import ledger_pb2 as pb
from tests.integration.ledger.conftest import Connect, Ledger, id_of, reached, refused, register, send
from tests.support.anvil import FAST

RELAY = b"relay".ljust(32, b"\0")
LOGGED = chain.EVIDENCE_STAGE_LOGGED


async def act(ledger: Ledger, name: str, *arguments: object) -> int:
    """An act of the agency on its own identity; returns the block."""
    founded = ledger.founded
    node = JsonRpcNode(founded.url, FAST)
    try:
        registry = founded.network.address("IdentityRegistry")
        data = encode_call("IdentityRegistry", name, (founded.agency.address, *arguments))
        return await send(node, founded.agency, registry, data)
    finally:
        await node.close()


async def final(stub: Any, block: int) -> None:
    deadline = time.monotonic() + 30
    while (await stub.GetNetwork(pb.GetNetworkRequest())).final.number < block:
        assert time.monotonic() < deadline, "the block does not become final"
        await asyncio.sleep(0.05)


async def test_a_relay_submits_for_its_issuer_until_it_is_revoked(ledger: Ledger, connect: Connect) -> None:
    agency, relay, stranger = ledger.founded.agency, Account.generate(), Account.generate()
    stub: Any = connect(ledger.identity(relay, "agency"))
    raw = ledger.statement(agency)
    told = await refused(stub.RegisterStatements(register(raw)))
    assert (told.code, told.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ISSUER_NOT_CALLER")

    await final(stub, await act(ledger, "addDelegate", RELAY, relay.address, 3_600))
    answer = await stub.RegisterStatements(register(raw))
    assert [item.already_registered for item in answer.statements] == [False]
    owner: Any = connect(ledger.identity(agency, "agency"))
    found = await reached(owner, bytes(id_of(raw)), LOGGED)
    assert (found.issuer, found.signed_statement) == (str(ledger.did(agency)), raw)
    listed = await owner.ListStatements(
        pb.ListStatementsRequest(issuer=str(ledger.did(agency)), document_digest=found.document_digest)
    )
    assert [item.statement_id for item in listed.statements] == [bytes(id_of(raw))]
    # A relay may submit, not read; and it speaks for one issuer a call, with nobody's signature but theirs.
    seen = (await stub.GetStatement(pb.GetStatementRequest(statement_id=bytes(id_of(raw))))).statement
    assert (seen.signed_statement, seen.subject) == (b"", "")
    mixed = register(ledger.statement(agency), ledger.statement(relay))
    told = await refused(stub.RegisterStatements(mixed))
    assert told.violations == (("statements[1].issuer", "ISSUER_NOT_CALLER"),)
    forged = register(ledger.statement(agency, signer=relay))
    assert (await refused(stub.RegisterStatements(forged))).reason == "KEY_UNKNOWN"
    other: Any = connect(ledger.identity(stranger, "agency"))
    assert (await refused(other.RegisterStatements(register(raw)))).reason == "ISSUER_NOT_CALLER"

    await final(stub, await act(ledger, "revokeDelegate", RELAY, relay.address))
    told = await refused(stub.RegisterStatements(register(ledger.statement(agency))))
    assert told.reason == "ISSUER_NOT_CALLER"
