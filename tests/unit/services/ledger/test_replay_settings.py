"""What a replay by the service is told: all of its nodes, its agreement, and under which trust roots."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.ledger.worker import Parts, replay_settings
from silkledger.audit.__main__ import _audited
from silkledger.evidence.bundle import Contract
from silkledger.evidence.header import EngineKind
from silkledger.evidence.lineage import ValidatorRules
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evm.contracts import Network
from silkledger.evm.engines import BESU_QBFT
from silkledger.values import Address, BlockHash

CONTRACTS = {c.directory_name: Address(bytes([i + 1]) * 20) for i, c in enumerate(Contract)}
NETWORK = Network(7317, BlockHash(b"\1" * 32), Address(b"\2" * 20), CONTRACTS)
ROOTS = TrustRoots(
    NETWORK.chain_id,
    NETWORK.genesis_hash,
    EngineKind.QBFT,
    ValidatorRules(30_000),
    NETWORK.directory,
    CONTRACTS,
    {3: BlockHash(b"\3" * 32)},
)


def job(folder: Path, roots: TrustRoots) -> dict[str, Any]:
    """Of a service with these settings; what it does not look at is left out."""
    file = folder / "roots.json"
    file.write_text(roots.to_json())
    settings = SimpleNamespace(
        trust_roots_file=file,
        origin="silkledger.example/a",
        node_url="a=http://one, b=http://two",
        node_agreement=1,
        database_url="sqlite:///ledger.sqlite",
        replay_processes=0,
        replay_directory=folder,
        replays_at_once=1,
    )
    keys = SimpleNamespace(verifier_keys=["silkledger.example/a+00000000+AQ=="])
    parts = SimpleNamespace(settings=settings, network=NETWORK, profile=BESU_QBFT, log_keys=keys)
    return dict(replay_settings(cast("Parts", parts)).job)


def test_a_replay_asks_the_services_nodes_under_its_trust_roots(tmp_path: Path) -> None:
    told = job(tmp_path, ROOTS)
    assert told["node_url"] == "a=http://one, b=http://two"
    assert told["node_agreement"] == 1
    audited = _audited(told)
    assert audited.roots == ROOTS
    assert (audited.network, audited.profile) == (NETWORK, BESU_QBFT)


def test_trust_roots_of_another_network_are_a_bad_job(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="another network"):
        _audited(job(tmp_path, replace(ROOTS, chain_id=1)))
