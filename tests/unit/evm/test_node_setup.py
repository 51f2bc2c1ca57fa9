"""Nodes from settings: their names, what is refused, and who is told of their troubles."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from silkledger.evidence.bundle import Contract
from silkledger.evidence.contract_lineage import ContractRules
from silkledger.evidence.header import EngineKind
from silkledger.evidence.lineage import ValidatorRules
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evm.contract_seals import ContractSeals
from silkledger.evm.crosscheck import CrossCheckedNode
from silkledger.evm.engines import ANVIL, BESU_QBFT
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.node_setup import NodeReporter, node_checks, open_node, seals_of
from silkledger.evm.node_standing import NodeStanding, NodeTrouble
from silkledger.evm.node_urls import node_urls
from silkledger.evm.seals import SealedLineage
from silkledger.runtime.db import Database
from silkledger.runtime.settings import SettingsError
from silkledger.runtime.telemetry import Metrics
from silkledger.values import Address, BlockHash
from tests.unit.evm.fake_node import FakeNode


@dataclass
class Settings:
    """What is read of the settings."""

    node_url: str
    node_agreement: int = 0
    chain_id: int = 7317
    genesis_hash: str = "0x" + "11" * 32
    directory: str = "0x" + "22" * 20
    trust_roots_file: Path | None = None


def test_names_stand_before_urls_or_are_host_and_port() -> None:
    text = "port-authority=https://node.example/rpc?key=a=b, http://user:secret@10.0.0.1:8545 "
    assert node_urls(text) == [
        ("port-authority", "https://node.example/rpc?key=a=b"),
        ("10.0.0.1:8545", "http://user:secret@10.0.0.1:8545"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a=",
        "ftp://node",
        "http://",
        "http://one,",
        "a=http://one,a=http://two",
        "http://one,http://one",
        "http://user:hunter2@one,no url",
        "http://[one",
    ],
)
def test_what_is_no_list_of_urls_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        node_urls(text)
    assert list(refusal.value.problems) == ["SILKLEDGER_NODE_URL"]
    assert "hunter2" not in str(refusal.value)


async def test_one_url_is_a_node_and_several_are_held_against_each_other() -> None:
    one = open_node(Settings("http://one"), ANVIL)
    two = open_node(Settings("http://one,b=http://two", node_agreement=2), ANVIL, Metrics())
    assert isinstance(one, JsonRpcNode)
    assert node_checks(one) == {}
    assert isinstance(two, CrossCheckedNode)
    assert [standing.name for standing in two.standings] == ["one", "b"]
    assert list(node_checks(two)) == ["nodes"]
    await one.close()
    await two.close()


@pytest.mark.parametrize(("urls", "agreement"), [("http://one", 2), ("http://one,http://two", -1)])
def test_no_more_nodes_agree_than_there_are(urls: str, agreement: int) -> None:
    with pytest.raises(SettingsError, match="SILKLEDGER_NODE_AGREEMENT"):
        open_node(Settings(urls, agreement), ANVIL)


def trust_roots(tmp_path: Path, **change: object) -> Path:
    """A file for the network of `Settings`."""
    value = TrustRoots(
        chain_id=7317,
        genesis_hash=BlockHash.from_hex(Settings.genesis_hash),
        engine=EngineKind.QBFT,
        rules=ValidatorRules(30_000),
        directory=Address.from_hex(Settings.directory),
        contracts={c.directory_name: Address(bytes([i + 1]) * 20) for i, c in enumerate(Contract)},
        pinned_blocks={},
    )
    (tmp_path / "roots.json").write_text(dataclasses.replace(value, **change).to_json())  # type: ignore[arg-type]
    return tmp_path / "roots.json"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(f"sqlite:///{tmp_path}/x.sqlite")
    yield opened
    await opened.close()


async def test_seals_are_checked_exactly_where_the_engine_has_them(
    database: Database, tmp_path: Path
) -> None:
    roots, node = trust_roots(tmp_path), FakeNode()
    sealed = Settings("http://one", trust_roots_file=roots)
    assert isinstance(seals_of(sealed, BESU_QBFT, database, node), SealedLineage)
    assert seals_of(Settings("http://one"), ANVIL, database, node) is None
    with pytest.raises(SettingsError, match="has no seals"):
        seals_of(sealed, ANVIL, database, node)
    with pytest.raises(SettingsError, match="is required"):
        seals_of(Settings("http://one"), BESU_QBFT, database, node)


@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": 1},
        {"genesis_hash": BlockHash(bytes(32))},
        {"directory": Address(bytes(20))},
        {"engine": EngineKind.NO_SEALS, "rules": None},
    ],
)
async def test_trust_roots_of_another_network_are_refused(
    database: Database, tmp_path: Path, change: dict[str, object]
) -> None:
    settings = Settings("http://one", trust_roots_file=trust_roots(tmp_path, **change))
    with pytest.raises(SettingsError, match="SILKLEDGER_TRUST_ROOTS_FILE: is of another"):
        seals_of(settings, BESU_QBFT, database, FakeNode())


async def test_validators_of_a_contract_are_followed_by_proofs(database: Database, tmp_path: Path) -> None:
    rules = ContractRules(Address(b"\x01" * 20), bytes(32), 0)
    settings = Settings("http://one", trust_roots_file=trust_roots(tmp_path, rules=rules))
    assert isinstance(seals_of(settings, BESU_QBFT, database, FakeNode()), ContractSeals)


@pytest.mark.parametrize("content", [None, b"{}", b"\xff"])
async def test_trust_roots_that_cannot_be_read_are_refused(
    database: Database, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "roots.json").write_bytes(content)
    settings = Settings("http://one", trust_roots_file=tmp_path / "roots.json")
    with pytest.raises(SettingsError, match="cannot be used"):
        seals_of(settings, BESU_QBFT, database, FakeNode())


def test_log_and_metrics_name_the_node_and_the_reason() -> None:
    metrics = Metrics()
    tell = NodeReporter(metrics)
    with capture_logs() as lines:
        tell(NodeStanding("b", 7))
        tell(NodeStanding("b", 7, NodeTrouble.DISAGREES, "block 7 is ..."))
        tell(NodeStanding("b", 8, NodeTrouble.DISAGREES, "block 8 is ..."))
        assert value(metrics, "silkledger_node_trouble", node="b", reason="NODE_DISAGREES") == 1
        assert value(metrics, "silkledger_node_trouble", node="b", reason="NODE_LIED") == 0
        assert value(metrics, "silkledger_node_head", node="b") == 8
        tell(NodeStanding("b", 9))
    assert value(metrics, "silkledger_node_trouble", node="b", reason="NODE_DISAGREES") == 0
    assert [(line["event"], line["node"], line.get("reason")) for line in lines] == [
        ("node_trouble", "b", "NODE_DISAGREES"),
        ("node_in_order", "b", None),
    ]


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)
