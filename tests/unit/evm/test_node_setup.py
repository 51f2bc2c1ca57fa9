"""Nodes from settings: their names, what is refused, and who is told of their troubles."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from silkledger.evm.crosscheck import CrossCheckedNode
from silkledger.evm.engines import ANVIL
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.node_setup import NodeReporter, node_checks, node_urls, open_node
from silkledger.evm.node_standing import NodeStanding, NodeTrouble
from silkledger.runtime.settings import SettingsError
from silkledger.runtime.telemetry import Metrics


@dataclass
class Settings:
    """What is read of the settings."""

    node_url: str
    node_agreement: int = 0
    chain_id: int = 7317
    genesis_hash: str = "0x" + "11" * 32


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
