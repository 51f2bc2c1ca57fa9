"""Evidence from the service on a QBFT network whose validators stand in a contract.

The chain is a real node's, with the real contracts, sealed by test validators as it grows
(tests/support/qbft_contract_chain.py, which says what it is and what it is not). Bundles are asked for when
the node proves no state any more: what is in them was captured before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from silkledger.evidence.bundle import Bundle, decode_bundle
from silkledger.evidence.header import EngineKind, Header, ValidatorsProof, decode_header, encode_proven
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evidence.verdict import Assurance, CheckResult, Outcome, Verdict
from silkledger.evidence.verify import verify_bundle
from silkledger.evm.anvil import EmbeddedChain
from silkledger.evm.anvil_state import LoadedState
from silkledger.evm.node import JsonRpcNode
from silkledger.keys.account import Account
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.ledger.v1 import ledger_pb2_grpc as rpc
from silkledger.statement import parse_statement
from silkledger.values import CountryCode
from tests.integration.evm.test_following_seals import seals_of, with_seals
from tests.support.anvil import FAST
from tests.support.grpc_clients import channel
from tests.support.node_proxy import NodeProxy
from tests.support.qbft_chain import validators
from tests.support.qbft_contract_chain import LiveChain, ValidatorContract
from tests.support.sealed_rpc import SealedRpc

from .conftest import Ledger, found, opened
from .test_pruned_state import captured, final_statement, until_captured

FOUR, NEWCOMERS, LAST = validators(4), validators(5, first=50), validators(5, first=80)
HALF = [*FOUR[:2], *NEWCOMERS[:3]]


class Remembering(EmbeddedChain):
    """Keeps the states of 2,000 blocks: how slowly the machine starts a service shall not matter."""

    def _flags(self, state: LoadedState | None) -> list[str]:
        flags = super()._flags(state)
        flags[flags.index("--prune-history") + 1] = "2000"
        return flags


@dataclass
class Network:
    """The sealed chain behind a proxy, a service on it that is not started, and what a verifier trusts."""

    contract: ValidatorContract
    proxy: NodeProxy
    service: Ledger
    roots: TrustRoots


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    embedded = Remembering(tmp_path / "chain", block_time_s=0.1)
    await asyncio.to_thread(embedded.start)
    node, proxy = JsonRpcNode(embedded.url, FAST), NodeProxy(embedded.url)
    contract = await ValidatorContract.create(node, Account.generate(), FOUR)
    founded = await found(embedded.url)
    live = LiveChain(node, contract, [*FOUR, *NEWCOMERS, *LAST])
    await live.seal_on()
    pinned = live.headers[-1]
    sealed = replace(founded.network, genesis_hash=live.headers[0].hash)
    roots = TrustRoots(
        chain_id=sealed.chain_id,
        genesis_hash=sealed.genesis_hash,
        engine=EngineKind.QBFT,
        rules=await contract.rules(),
        directory=sealed.directory,
        contracts=sealed.addresses,
        pinned_blocks={pinned.number: pinned.hash},
    )
    (tmp_path / "roots.json").write_text(roots.to_json())
    proxy.distort = SealedRpc.of_growing(live.headers).told
    await proxy.start()
    sealing = asyncio.create_task(live.run())
    service = Ledger(
        replace(founded, network=sealed, url=proxy.url), tmp_path, f"sqlite:///{tmp_path}/l.sqlite"
    )
    try:
        yield Network(contract, proxy, service, roots)
    finally:
        await asyncio.to_thread(service.stop)
        sealing.cancel()
        with suppress(asyncio.CancelledError):
            await sealing
        await proxy.stop()
        await node.close()
        await asyncio.to_thread(embedded.stop)


def judged(network: Network, raw: bytes, bundle: bytes) -> Verdict:
    digest = parse_statement(raw).digest
    return verify_bundle(digest, bundle, network.roots, relying_country=CountryCode("CN"))


def headers_of(bundle: Bundle) -> list[Header]:
    return [decode_header(entry, EngineKind.QBFT) for entry in bundle.headers]


def altered(bundle: Bundle, number: int, header: Header) -> bytes:
    entries = [
        header.entry if one.number == number else entry
        for one, entry in zip(headers_of(bundle), bundle.headers, strict=True)
    ]
    return replace(bundle, headers=tuple(entries)).encode()


async def test_bundles_of_the_service_pass_under_seals_of_validators_in_a_contract(network: Network) -> None:
    service = network.service
    settings = {
        "ENGINE": "besu-qbft",
        "TRUST_ROOTS_FILE": str(service.directory / "roots.json"),
        "STATE_CAPTURE_BLOCKS": "1",
    }
    await asyncio.to_thread(lambda: service.start(**settings))
    await opened(service)
    stories: list[tuple[bytes, pb.Statement]] = []
    async with channel(service.address, service.identity(service.founded.agency, "agency")) as connection:
        stub: Any = rpc.LedgerServiceStub(connection)
        for members in (HALF, LAST, None):
            stories.append(await final_statement(service, stub))
            await until_captured(service, stories[-1][1].anchor.block.number)
            if members is not None:
                await network.contract.replace_all(members)
        bundles = []
        for raw, found_ in stories:
            network.proxy.keeps = -1
            wanted = pb.GetEvidenceRequest(
                statement_id=found_.statement_id, relying_country="CN", as_of_block=found_.anchor.block.number
            )
            bundles.append((await stub.GetEvidence(wanted)).bundle)
            verdict = judged(network, raw, bundles[-1])
            assert verdict.outcome is Outcome.PASS, verdict.checks
            assert verdict.assurance is Assurance.SEALED_BY_QUORUM
            assert "contract mode" in " ".join(verdict.assumptions)
            # The last final block, of which the node has the state; the anchor's it has no more.
            network.proxy.keeps = 20
            wanted = pb.GetEvidenceRequest(statement_id=found_.statement_id, relying_country="CN")
            now = judged(network, raw, (await stub.GetEvidence(wanted)).bundle)
            assert now.outcome is Outcome.PASS, now.checks
    assert len(await captured(service)) >= len(stories)
    raw, bundle = stories[-1][0], decode_bundle(bundles[-1])
    newest = headers_of(bundle)[-1]
    fewer = with_seals(replace(newest, validators_proof=None), seals_of(newest)[:3])
    for header, reason in (
        (replace(fewer, validators_proof=newest.validators_proof), Reason.SEAL_QUORUM),
        (_other_set(newest), Reason.VALIDATOR_SET),
    ):
        verdict = judged(network, raw, altered(bundle, newest.number, header))
        assert verdict.outcome is Outcome.FAIL
        assert (verdict.check("headers").result, verdict.check("headers").reason) == (
            CheckResult.FAIL,
            reason,
        )


def _other_set(header: Header) -> Header:
    """One validator is left out of the proof."""
    assert header.validators_proof is not None
    proof = ValidatorsProof(header.validators_proof.account, header.validators_proof.slots[:-1])
    return decode_header(encode_proven(header, proof), EngineKind.QBFT)
