"""A list that was taken is recorded once though the service dies on the way; two replicas take one list."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.evidence.equivocation import verify_equivocation
from silkledger.evm.contracts import Network, encode_call, view
from silkledger.evm.node import JsonRpcNode
from silkledger.identity.v1 import identity_pb2 as pb
from silkledger.identity.v1 import identity_pb2_grpc as rpc
from silkledger.keys.account import Account
from silkledger.registry.histories import status_list_id
from silkledger.values import Did
from tests.integration.identity.conftest import Service, new_database, send, serving, started
from tests.integration.identity.test_acts import KEY
from tests.integration.identity.test_status_lists import EMPTY, Issuer
from tests.support.anvil import FAST, eventually
from tests.support.grpc_clients import channel, refusal_of
from tests.support.nursery import Forked
from tests.support.pki import TestCa


async def _die(service: Service, account: Account, issuer: Issuer, content: bytes) -> None:
    """Hand the list in; the process kills itself, before or after the reply."""
    async with channel(service.address, service.identity_of(account)) as opened:
        stub = rpc.IdentityServiceStub(opened)
        with suppress(grpc.aio.AioRpcError):
            await stub.PublishStatusList(issuer.request(content))
    assert await asyncio.to_thread(service.process.wait, 30) == -9


async def test_a_list_that_was_taken_is_recorded_once(
    founded: tuple[str, Network, dict[str, Account]], tmp_path: Path
) -> None:
    node_url, network, authorities = founded
    url = f"sqlite:///{tmp_path}/identity.sqlite"
    ca, account = TestCa(), Account.generate()
    operator = ca.organisation(Did.of(network.chain_id, Account.generate().address), "operator")
    node = JsonRpcNode(node_url, FAST)
    process: Forked | None = None
    try:
        process, address = started(tmp_path, url, node_url, network, ca, FAILPOINT="broadcast.taken")
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


async def test_of_two_replicas_one_takes_a_list_and_the_other_has_the_proof(
    founded: tuple[str, Network, dict[str, Account]],
    tmp_path: Path,
    postgres_server: Any,
) -> None:
    node_url, network, authorities = founded
    url, ca, account = new_database(postgres_server), TestCa(), Account.generate()
    operator = ca.organisation(Did.of(network.chain_id, Account.generate().address), "operator")
    lane = Account.generate()
    services, node = [], JsonRpcNode(node_url, FAST)
    try:
        for name in ("one", "other"):
            folder = tmp_path / name
            folder.mkdir()
            lane.save(folder / "lane.pem")
            process, address = started(folder, url, node_url, network, ca)
            services.append(Service(address, process, url, network, node_url, ca, operator, authorities))
        issuer = Issuer(services[0], None, account)
        key = (account.address, KEY, issuer.key.verifying_key.to_multicodec(), 2**63)
        data = encode_call("IdentityRegistry", "setAttribute", key)
        await send(node, account, network.address("IdentityRegistry"), data)
        for service in services:
            await serving(service.address, operator)
            await _resolved(service, issuer)
        channels = [channel(service.address, service.identity_of(account)) for service in services]
        stubs = [rpc.IdentityServiceStub(opened) for opened in channels]
        for number in range(3):
            lists = [issuer.sign(number, EMPTY.changed(to_set=range(10 * number + each))) for each in (1, 2)]
            calls = (s.PublishStatusList(issuer.request(c)) for s, c in zip(stubs, lists, strict=True))
            answers = await asyncio.gather(*calls, return_exceptions=True)
            reasons = [refusal_of(a).reason for a in answers if isinstance(a, grpc.aio.AioRpcError)]
            assert reasons == ["STATUS_LIST_EQUIVOCATION"]
            for stub in stubs:
                proof = (await stub.GetStatusListEquivocation(_number(issuer, number))).proof
                assert len(verify_equivocation(proof).signers) == 1
        issuer.stub = stubs[1]
        await issuer.final(2)
        for opened in channels:
            await opened.close(None)
    finally:
        for service in services:
            service.process.terminate()
            service.process.wait(20)
        await node.close()


def _number(issuer: Issuer, number: int) -> pb.GetStatusListEquivocationRequest:
    return pb.GetStatusListEquivocationRequest(issuer=issuer.did, id=issuer.series, sequence=number)


async def _resolved(service: Service, issuer: Issuer) -> None:
    """Until the service knows the issuer's key."""
    async with channel(service.address, service.operator) as opened:
        stub = rpc.IdentityServiceStub(opened)

        async def known() -> bool:
            found = await stub.ResolveDid(pb.ResolveDidRequest(did=issuer.did))
            return issuer.key.verifying_key.to_multikey() in found.did_document_json

        await eventually(known, "the issuer's key is known")
