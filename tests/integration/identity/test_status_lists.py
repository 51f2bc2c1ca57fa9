"""Status lists through the real service: taken once and in order, recorded on chain, given as of a block."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from silkledger.audit.databases import Databases
from silkledger.audit.replay import Audited, Means, replay_ledger
from silkledger.audit.report import Report
from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.evidence.equivocation import verify_equivocation
from silkledger.evm.contracts import encode_call
from silkledger.evm.node import JsonRpcNode
from silkledger.identity.v1 import identity_pb2 as pb
from silkledger.keys import PrivateKey, Suite, generate
from silkledger.keys.account import Account
from silkledger.log.checkpoint import LogVerifierKey
from silkledger.registry.histories import status_list_id
from silkledger.runtime.db import parse_url
from silkledger.status_bits import MIN_ENTRIES, StatusBits
from silkledger.status_list import StatusList, parse_status_list, sign_status_list
from tests.integration.identity.conftest import Connect, Service, send
from tests.integration.identity.test_acts import KEY, act
from tests.support.anvil import FAST, eventually
from tests.support.grpc_clients import refusal_of

EMPTY = StatusBits.empty()


def now_text(ahead: timedelta = timedelta()) -> str:
    return (datetime.now(UTC) + ahead).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Issuer:
    """An organisation with an Ed25519 key in its identity, and one series of lists."""

    service: Service
    stub: Any
    account: Account = field(default_factory=Account.generate)
    key: PrivateKey = field(default_factory=lambda: generate(Suite.EDDSA))
    series: str = field(default_factory=lambda: f"https://customs.example/status/{uuid.uuid4()}")

    @property
    def did(self) -> str:
        return str(self.service.did(self.account))

    def sign(self, sequence: int, bits: StatusBits = EMPTY, **changes: Any) -> bytes:
        values: dict[str, Any] = {
            "issuer": self.service.did(self.account),
            "fragment": "delegate-1",
            "id_": self.series,
            "purpose": "revocation",
            "encoded_list": bits.encode(),
            "issued": now_text(),
        }
        return sign_status_list(changes.pop("key", self.key), sequence=sequence, **(values | changes))

    def arguments(self, content: bytes | StatusList) -> tuple[object, ...]:
        found = content if isinstance(content, StatusList) else parse_status_list(content)
        return (self.account.address, status_list_id(found.id), found.sequence, found.digest)

    def request(self, content: bytes, call: chain.SignedCall | None = None) -> pb.PublishStatusListRequest:
        call = call or self.service.call(
            self.account, "IdentityRegistry", "publishStatusList", *self.arguments(content)
        )
        return pb.PublishStatusListRequest(request_id=str(uuid.uuid4()), status_list=content, call=call)

    async def get(self, **which: Any) -> pb.GetStatusListResponse:
        request = pb.GetStatusListRequest(issuer=self.did, id=self.series, **which)
        found: pb.GetStatusListResponse = await self.stub.GetStatusList(request)
        return found

    async def final(self, sequence: int) -> pb.GetStatusListResponse:
        found: list[pb.GetStatusListResponse] = []

        async def reached() -> bool:
            found.append(await self.get(sequence=sequence))
            return found[-1].status_list.stage == chain.EVIDENCE_STAGE_FINAL

        await eventually(reached, f"number {sequence} is final")
        return found[-1]

    async def publish(self, content: bytes) -> pb.GetStatusListResponse:
        taken = await self.stub.PublishStatusList(self.request(content))
        assert taken.status_list.stage == chain.EVIDENCE_STAGE_ACCEPTED
        return await self.final(taken.status_list.sequence)


@pytest.fixture
async def issuer(service: Service, connect: Connect) -> Issuer:
    """With its key published."""
    account = Account.generate()
    made = Issuer(service, connect(service.identity_of(account)), account)
    args = (account.address, KEY, made.key.verifying_key.to_multicodec(), 2**63)
    await act(service, connect, account, "PublishIdentity", "IdentityRegistry", "setAttribute", *args)
    return made


async def refused(call: Any) -> tuple[str, str]:
    """Reason and field of a refusal."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    refusal = refusal_of(caught.value)
    return refusal.reason, refusal.violations[0][0] if refusal.violations else ""


async def test_lists_are_recorded_and_given_as_of_a_block_and_a_time(issuer: Issuer) -> None:
    first = issuer.sign(0, EMPTY.changed(to_set=[94567]))
    one = await issuer.publish(first)
    assert one.content == first
    record = one.status_list
    assert (record.issuer, record.id, record.sequence) == (issuer.did, issuer.series, 0)
    assert (record.purpose, record.entries, record.equivocated) == ("revocation", MIN_ENTRIES, False)
    assert record.digest == record.recorded_digest == parse_status_list(first).digest

    async def a_second_has_passed() -> bool:
        return bool((await issuer.get()).as_of.time.seconds > record.recorded_at.time.seconds)

    await eventually(a_second_has_passed, "a block of a later second")
    second = issuer.sign(1, EMPTY.changed(to_set=[94567, 3]))
    two = await issuer.publish(second)
    block = two.status_list.recorded_at
    assert block.number > record.recorded_at.number
    assert (await issuer.get()).content == second
    assert (await issuer.get(sequence=0)).content == first
    assert (await issuer.get(as_of_block=block.number)).content == second
    before = await issuer.get(as_of_block=block.number - 1)
    assert (before.content, before.as_of.number) == (first, block.number - 1)
    assert (await issuer.get(as_of_time=record.recorded_at.time)).content == first
    assert (await issuer.get(as_of_time=block.time)).content == second
    early = await refused(issuer.get(as_of_block=record.recorded_at.number - 1))
    assert early == ("STATUS_LIST_NOT_FOUND", "")


async def test_questions_without_an_answer(issuer: Issuer) -> None:
    assert await refused(issuer.get()) == ("STATUS_LIST_NOT_FOUND", "")
    assert await refused(issuer.get(sequence=0)) == ("STATUS_LIST_NOT_FOUND", "")
    assert await refused(issuer.get(as_of_block=10**9)) == ("BLOCK_NOT_FINAL", "as_of_block")
    for seconds in (0, 2**33):
        time = pb.GetStatusListRequest().as_of_time
        time.FromSeconds(seconds)
        assert await refused(issuer.get(as_of_time=time)) == ("BLOCK_NOT_FINAL", "as_of_time")
    bad = pb.GetStatusListRequest(issuer="did:web:example", id=issuer.series)
    assert await refused(issuer.stub.GetStatusList(bad)) == ("DID_INVALID", "issuer")
    question = pb.GetStatusListEquivocationRequest(issuer=issuer.did, id=issuer.series)
    assert await refused(issuer.stub.GetStatusListEquivocation(question)) == ("STATUS_LIST_NOT_FOUND", "")


async def test_the_same_request_and_the_same_list_again_change_nothing(issuer: Issuer) -> None:
    content = issuer.sign(0)
    request = issuer.request(content)
    first = await issuer.stub.PublishStatusList(request)
    rows = await issuer.service.rows()
    assert await issuer.stub.PublishStatusList(request) == first
    assert await issuer.service.rows() == rows
    again = await issuer.stub.PublishStatusList(issuer.request(content))
    assert again.call.request_id == request.call.request_id, "no second call is sent"
    assert (await issuer.service.rows())["intent"] == rows["intent"]
    other = issuer.request(issuer.sign(0, EMPTY.changed(to_set=[1])))
    other.request_id = request.request_id
    assert (await refused(issuer.stub.PublishStatusList(other)))[0] == "REQUEST_ID_CONFLICT"
    await issuer.final(0)


async def test_a_second_list_of_a_number_is_refused_and_proven(issuer: Issuer, connect: Connect) -> None:
    await issuer.publish(issuer.sign(0))
    other = issuer.sign(0, EMPTY.changed(to_set=[7]))
    rows = await issuer.service.rows()
    for _ in range(2):
        reason = await refused(issuer.stub.PublishStatusList(issuer.request(other)))
        assert reason == ("STATUS_LIST_EQUIVOCATION", "status_list")
    assert await issuer.service.rows() == rows
    stranger = connect(issuer.service.operator)
    question = pb.GetStatusListEquivocationRequest(issuer=issuer.did, id=issuer.series, sequence=0)
    proof = (await stranger.GetStatusListEquivocation(question)).proof
    found = verify_equivocation(proof)
    assert found.signers == (f"{issuer.did}#delegate-1 {issuer.key.verifying_key.to_multikey()}",)
    assert f"sequence 0, of {issuer.did}" in found.subject
    assert (await issuer.get()).status_list.equivocated
    await issuer.publish(issuer.sign(1))
    assert not (await issuer.get()).status_list.equivocated


async def test_of_two_lists_at_once_one_wins_and_the_other_is_the_proof(issuer: Issuer) -> None:
    contents = [issuer.sign(0, EMPTY.changed(to_set=[index])) for index in range(6)]
    calls = (issuer.stub.PublishStatusList(issuer.request(content)) for content in contents)
    answers = await asyncio.gather(*calls, return_exceptions=True)
    failed = [isinstance(answer, grpc.aio.AioRpcError) for answer in answers]
    won = [content for content, lost in zip(contents, failed, strict=True) if not lost]
    reasons = [refusal_of(answer).reason for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert len(won) == 1
    assert reasons == ["STATUS_LIST_EQUIVOCATION"] * 5
    assert (await issuer.final(0)).content == won[0]
    question = pb.GetStatusListEquivocationRequest(issuer=issuer.did, id=issuer.series, sequence=0)
    proof = (await issuer.stub.GetStatusListEquivocation(question)).proof
    assert str(parse_status_list(won[0]).digest) in verify_equivocation(proof).values


async def test_bad_lists_are_refused_by_field_and_write_nothing(issuer: Issuer) -> None:
    set_ = EMPTY.changed(to_set=[5])
    await issuer.publish(issuer.sign(0, set_))
    another = Account.generate()
    other_did = issuer.service.did(another)
    good = issuer.sign(1, set_)
    wrong = issuer.service.call(
        issuer.account,
        "IdentityRegistry",
        "publishStatusList",
        *issuer.arguments(issuer.sign(1, EMPTY.changed(to_set=[5, 6]))),
    )
    stranger = issuer.service.call(another, "IdentityRegistry", "publishStatusList", *issuer.arguments(good))
    function = issuer.service.call(
        issuer.account, "IdentityRegistry", "changeOwner", issuer.account.address, another.address
    )
    bad: dict[str, tuple[str, str, pb.PublishStatusListRequest]] = {
        "no JSON": ("STATUS_LIST_MALFORMED", "status_list", issuer.request(good)),
        "short": ("STATUS_LIST_MALFORMED", "status_list", issuer.request(issuer.sign(1, encoded_list="uAA"))),
        "issuer": (
            "ISSUER_NOT_CALLER",
            "status_list",
            issuer.request(issuer.sign(1, set_, issuer=other_did)),
        ),
        "signed by another key": (
            "STATUS_LIST_SIGNATURE",
            "status_list",
            issuer.request(issuer.sign(1, set_, key=generate(Suite.EDDSA))),
        ),
        "unknown key": (
            "KEY_UNKNOWN",
            "status_list",
            issuer.request(issuer.sign(1, set_, fragment="delegate-2")),
        ),
        "too early": (
            "STATUS_LIST_NOT_YET_VALID",
            "status_list",
            issuer.request(issuer.sign(1, set_, issued=now_text(timedelta(hours=1)))),
        ),
        "run out": (
            "STATUS_LIST_EXPIRED",
            "status_list",
            issuer.request(
                issuer.sign(
                    1, set_, issued=now_text(timedelta(days=-2)), valid_until=now_text(timedelta(days=-1))
                )
            ),
        ),
        "gap": ("STATUS_LIST_SEQUENCE", "status_list", issuer.request(issuer.sign(2, set_))),
        "purpose": (
            "STATUS_LIST_PURPOSE",
            "status_list",
            issuer.request(issuer.sign(1, set_, purpose="suspension")),
        ),
        "older": (
            "STATUS_LIST_TIME",
            "status_list",
            issuer.request(issuer.sign(1, set_, issued=now_text(timedelta(hours=-1)))),
        ),
        "unrevoked": ("STATUS_LIST_UNREVOKED", "status_list", issuer.request(issuer.sign(1))),
        "no call": (
            "CALL_REQUIRED",
            "call",
            pb.PublishStatusListRequest(request_id=str(uuid.uuid4()), status_list=good),
        ),
        "another list's call": ("CALL_ARGUMENT_INVALID", "call.data", issuer.request(good, wrong)),
        "a stranger's call": ("CALL_ACTOR_NOT_CALLER", "call.actor", issuer.request(good, stranger)),
        "another function": ("CALL_FUNCTION_NOT_ALLOWED", "call.data", issuer.request(good, function)),
        "no request id": ("INVALID_REQUEST", "request_id", issuer.request(good)),
        "nothing": (
            "INVALID_REQUEST",
            "status_list",
            pb.PublishStatusListRequest(request_id=str(uuid.uuid4())),
        ),
    }
    bad["no JSON"][2].status_list = good[:-1]
    bad["no request id"][2].request_id = ""
    before = await issuer.service.rows()
    for name, (reason, where, request) in bad.items():
        assert await refused(issuer.stub.PublishStatusList(request)) == (reason, where), name
    assert await issuer.service.rows() == before
    assert await refused(issuer.get(sequence=1)) == ("STATUS_LIST_NOT_FOUND", "")
    await issuer.publish(good)


async def test_lists_are_listed_by_series_and_number_page_by_page(issuer: Issuer) -> None:
    series = sorted(f"urn:status:{name}-{uuid.uuid4()}" for name in "ab")
    for name in series:
        for number in range(2):
            content = issuer.sign(number, id_=name)
            await issuer.stub.PublishStatusList(issuer.request(content))

    async def listed(**question: Any) -> list[tuple[str, int]]:
        found, token = [], ""
        while True:
            request = pb.ListStatusListsRequest(issuer=issuer.did, page_token=token, **question)
            page = await issuer.stub.ListStatusLists(request)
            found += [(item.id, item.sequence) for item in page.status_lists]
            token = page.next_page_token
            if not token:
                return found

    every = [(name, number) for name in series for number in range(2)]
    assert await listed() == await listed(page_size=1) == await listed(page_size=3) == every
    assert await listed(id=series[1], page_size=1) == every[2:]
    assert await listed(id="urn:status:none") == []
    stolen = pb.ListStatusListsRequest(issuer=issuer.did, id=series[0], page_token="AAAA")
    assert await refused(issuer.stub.ListStatusLists(stolen)) == ("PAGE_TOKEN_INVALID", "page_token")


async def test_a_call_that_came_to_nothing_is_made_good_by_another(issuer: Issuer) -> None:
    content = issuer.sign(0)
    signed = issuer.service.call(
        issuer.account, "IdentityRegistry", "publishStatusList", *issuer.arguments(content), signed_gas=30_000
    )
    first = await issuer.stub.PublishStatusList(issuer.request(content, signed))
    question = chain.GetCallRequest(actor=signed.actor, request_id=signed.request_id)

    async def refused_on_chain() -> bool:
        status = (await issuer.stub.GetCall(question)).status
        return bool(status.outcome == chain.CALL_OUTCOME_REFUSED)

    await eventually(refused_on_chain, "the call ran out of gas")
    assert (await issuer.get(sequence=0)).status_list.stage == chain.EVIDENCE_STAGE_ACCEPTED
    again = await issuer.stub.PublishStatusList(issuer.request(content))
    assert again.call.request_id != first.call.request_id
    await issuer.final(0)


async def test_what_the_owner_recorded_itself_is_taken_without_a_call(issuer: Issuer) -> None:
    content, other = issuer.sign(0), issuer.sign(0, EMPTY.changed(to_set=[2]))
    node = JsonRpcNode(issuer.service.node_url, FAST)
    data = encode_call("IdentityRegistry", "publishStatusList", issuer.arguments(content))
    await send(node, issuer.account, issuer.service.network.address("IdentityRegistry"), data)
    await node.close()

    async def unavailable() -> bool:
        return await refused(issuer.get()) == ("STATUS_LIST_UNAVAILABLE", "")

    await eventually(unavailable, "the chain records a list that is not here")
    reason = await refused(issuer.stub.PublishStatusList(issuer.request(other)))
    assert reason == ("STATUS_LIST_RECORDED_OTHERWISE", "status_list")
    request = pb.PublishStatusListRequest(request_id=str(uuid.uuid4()), status_list=content)
    taken = await issuer.stub.PublishStatusList(request)
    assert not taken.HasField("call")
    assert taken.status_list.stage == chain.EVIDENCE_STAGE_FINAL
    assert (await issuer.get()).content == content


async def test_a_replay_finds_the_lists_as_their_issuers_recorded_them(issuer: Issuer) -> None:
    await issuer.publish(issuer.sign(0))
    await issuer.publish(issuer.sign(1, EMPTY.changed(to_set=[3])))
    network, url = issuer.service.network, issuer.service.database_url
    key = str(LogVerifierKey.of("silkledger.example/none", issuer.key.verifying_key))
    audited = Audited(network, FAST, "silkledger.example/none", key)

    async def replay() -> Report:
        databases = Databases((("identity", url),))
        return await replay_ledger(
            audited, issuer.service.node_url, databases, lambda *_: None, means=Means(processes=0)
        )

    report = await replay()
    (total,) = (total for total in report.totals if total.table == "status_list")
    assert 2 <= total.found <= total.rows
    assert report.differences == ()
    missing = [line for line in report.unavailable if "status list" in line]
    assert len(missing) == total.rows - total.found, "those that were handed in elsewhere"
    digest = str(parse_status_list((await issuer.get(sequence=0)).content).digest)
    assert not any(digest in line for line in missing)

    engine = create_async_engine(parse_url(url))
    mine = {"issuer": issuer.did, "purpose": "suspension"}
    query = text("UPDATE status_list SET purpose = :purpose WHERE issuer = :issuer AND sequence = 0")
    async with engine.begin() as connection:
        await connection.execute(query, mine)
    found = await replay()
    async with engine.begin() as connection:
        await connection.execute(query, mine | {"purpose": "revocation"})
    await engine.dispose()
    assert [(d.table, d.field, d.found) for d in found.differences] == [
        ("status_list", "purpose", "suspension")
    ]
