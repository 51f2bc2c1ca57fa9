"""A signer behind HTTP, in a process of its own: what it says is checked before anything is stored."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from silkledger.evidence.keccak import keccak256
from silkledger.evm.lane_types import State
from silkledger.evm.signer import SignerUnavailable, SigningFailed
from silkledger.evm.web3signer import Web3Signer
from silkledger.keys.account import Account, recover
from tests.support.anvil import eventually
from tests.support.http_signer import SignerProcess, signer_process
from tests.unit.evm.rig import Rig

HELD, OTHER = Account.generate(), Account.generate()


@pytest.fixture(scope="module")
def process() -> Iterator[SignerProcess]:
    with signer_process(OTHER, HELD) as running:
        yield running


@pytest.fixture
async def signer(process: SignerProcess) -> AsyncIterator[Web3Signer]:
    client = Web3Signer(process.url, HELD.address, timeout_s=2.0)
    yield client
    process.control(impostor=False)
    await client.close()


@pytest.fixture
def http_rig(rig: Rig, signer: Web3Signer) -> Rig:
    """The lane of the key that the process holds."""
    rig.account = HELD
    rig.lane = rig.new_lane(signer)
    return rig


async def test_it_signs_as_the_key_it_holds(signer: Web3Signer) -> None:
    assert recover(keccak256(b"anything"), await signer.sign(b"anything")) == HELD.address


async def test_the_lane_sends_what_it_signed(http_rig: Rig) -> None:
    await http_rig.enqueue("a", "b")
    await http_rig.lane.step()
    await http_rig.blocks(7)
    await http_rig.lane.step()
    assert http_rig.counted("a", "b")
    assert http_rig.node.senders[http_rig.node.included()[0]][0] == HELD.address


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("hang", SignerUnavailable),
        ("error", SignerUnavailable),
        ("busy", SignerUnavailable),
        ("garbage", SigningFailed),
    ],
)
async def test_a_failing_signer_is_asked_again_and_nothing_is_stored_before(
    http_rig: Rig, process: SignerProcess, signer: Web3Signer, fault: str, error: type[Exception]
) -> None:
    await signer.sign(b"so that the key is known")
    await http_rig.enqueue("a", "b")
    process.control(next=[fault])
    with pytest.raises(error):
        await http_rig.lane.step()
    assert await http_rig.attempts() == []
    assert http_rig.node.sent == []
    await http_rig.lane.step()
    assert await http_rig.attempts() == [(0, "BROADCAST"), (1, "BROADCAST")]
    await http_rig.blocks(7)
    assert http_rig.counted("a", "b")


async def test_another_keys_signature_is_refused_and_nothing_is_stored(
    http_rig: Rig, process: SignerProcess
) -> None:
    await http_rig.enqueue("a")
    process.control(impostor=True)
    with pytest.raises(SigningFailed, match=str(HELD.address)):
        await http_rig.lane.step()
    assert await http_rig.attempts() == []
    assert http_rig.node.sent == []
    assert await http_rig.state("a") is State.QUEUED


async def test_a_running_lane_tells_of_the_wrong_signer_and_goes_on_with_the_right_one(
    http_rig: Rig, process: SignerProcess
) -> None:
    await http_rig.enqueue("a")
    process.control(impostor=True)
    stop = asyncio.Event()
    running = asyncio.create_task(http_rig.lane.run(stop))

    async def told() -> bool:
        return "SigningFailed" in (await http_rig.lane.health() or "")

    async def sent() -> bool:
        return bool(http_rig.node.sent)

    await eventually(told, "health tells that the signer is somebody else")
    assert await http_rig.attempts() == []
    process.control(impostor=False)
    http_rig.lane.wake()
    await eventually(sent, "sent with the right signature")
    stop.set()
    await running


async def test_a_signer_without_our_key_is_named_as_such(process: SignerProcess) -> None:
    absent = Account.generate().address
    client = Web3Signer(process.url, absent)
    with pytest.raises(SignerUnavailable, match=f"no key of {absent}"):
        await client.sign(b"anything")
    await client.close()


async def test_a_signer_that_is_not_there(signer: Web3Signer) -> None:
    client = Web3Signer("http://127.0.0.1:1", HELD.address, timeout_s=0.3)
    with pytest.raises(SignerUnavailable):
        await client.sign(b"anything")
    await client.close()


@pytest.mark.parametrize("url", ["http://signer.example:9000", "ftp://127.0.0.1", "127.0.0.1:9000", ""])
def test_keys_are_not_used_over_an_open_network(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        Web3Signer(url, HELD.address)


async def test_a_password_in_the_url_is_told_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    client = Web3Signer("http://user:hunter2@127.0.0.1:1", HELD.address, timeout_s=0.3)
    with caplog.at_level(logging.DEBUG), pytest.raises(SignerUnavailable) as error:
        await client.sign(b"anything")
    await client.close()
    assert "hunter2" not in f"{client!r} {error.value!r} {caplog.text}"
