"""A list that was taken is recorded exactly once, wherever between commit and chain the service dies."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.evm.contracts import Network, encode_call, view
from silkledger.evm.node import JsonRpcNode
from silkledger.identity.v1 import identity_pb2 as pb
from silkledger.identity.v1 import identity_pb2_grpc as rpc
from silkledger.keys.account import Account
from silkledger.registry.histories import status_list_id
from silkledger.values import Did
from tests.integration.identity.conftest import Service, new_database, send, serving, started
from tests.integration.identity.test_acts import KEY
from tests.integration.identity.test_status_lists import Issuer
from tests.support.anvil import FAST, eventually
from tests.support.grpc_clients import channel
from tests.support.pki import TestCa


async def _die(service: Service, account: Account, issuer: Issuer, content: bytes) -> None:
    """Hand the list in; the process kills itself, before or after the reply."""
    async with channel(service.address, service.identity_of(account)) as opened:
        stub = rpc.IdentityServiceStub(opened)
        with suppress(grpc.aio.AioRpcError):
            await stub.PublishStatusList(issuer.request(content))
    assert await asyncio.to_thread(service.process.wait, 30) == -9


@pytest.mark.parametrize(
    ("kind", "failpoint"), [("sqlite", "broadcast.taken"), ("postgresql", "persist.committed")]
)
async def test_a_list_that_was_taken_is_recorded_once(
    kind: str,
    failpoint: str,
    founded: tuple[str, Network, dict[str, Account]],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    node_url, network, authorities = founded
    url = f"sqlite:///{tmp_path}/identity.sqlite"
    if kind == "postgresql":
        url = new_database(request.getfixturevalue("postgres_server"))
    ca, account = TestCa(), Account.generate()
    operator = ca.organisation(Did.of(network.chain_id, Account.generate().address), "operator")
    node = JsonRpcNode(node_url, FAST)
    process: subprocess.Popen[bytes] | None = None
    try:
        process, address = started(tmp_path, url, node_url, network, ca, FAILPOINT=failpoint)
        service = Service(address, process, url, network, node_url, ca, operator, authorities)
        issuer = Issuer(service, None, account)
        key = (account.address, KEY, issuer.key.verifying_key.to_multicodec(), 2**63)
        data = encode_call("IdentityRegistry", "setAttribute", key)
        await send(node, account, network.address("IdentityRegistry"), data)
        await serving(address, operator)
        content = issuer.sign(0)
        await _resolved(service, issuer)
        await _die(service, account, issuer, content)

        process, address = started(tmp_path, url, node_url, network, ca)
        await serving(address, operator)
        again = replace(service, address=address, process=process)
        async with channel(address, again.identity_of(account)) as opened:
            issuer.service, issuer.stub = again, rpc.IdentityServiceStub(opened)
            page = await issuer.stub.ListStatusLists(pb.ListStatusListsRequest(issuer=issuer.did))
            assert [item.sequence for item in page.status_lists] == [0]
            found = await issuer.final(0)
            assert found.content == content
            answer = await issuer.stub.PublishStatusList(issuer.request(content))
            assert answer.status_list.stage == chain.EVIDENCE_STAGE_FINAL
        counted = await view(
            node,
            network,
            "IdentityRegistry",
            "statusListCount",
            (account.address, status_list_id(issuer.series)),
        )
        assert counted == (1,)
    finally:
        if process is not None and process.poll() is None:
            process.terminate()
            process.wait(20)
        await node.close()


async def _resolved(service: Service, issuer: Issuer) -> None:
    """Until the service knows the issuer's key."""
    async with channel(service.address, service.operator) as opened:
        stub = rpc.IdentityServiceStub(opened)

        async def known() -> bool:
            found = await stub.ResolveDid(pb.ResolveDidRequest(did=issuer.did))
            return issuer.key.verifying_key.to_multikey() in found.did_document_json

        await eventually(known, "the issuer's key is known")
