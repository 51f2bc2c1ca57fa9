"""When state is captured: by the setting and by what the engine keeps."""

from __future__ import annotations

import pytest

from services.ledger.capturing.capturing import Plan
from silkledger.evm.engines import ANVIL, BESU_QBFT, INJECTIVE, EngineProfile


@pytest.mark.parametrize(
    ("profile", "setting", "interval"),
    [(ANVIL, -1, 8), (BESU_QBFT, -1, 64), (BESU_QBFT, 1, 1), (ANVIL, 100, 100)],
)
def test_the_interval(profile: EngineProfile, setting: int, interval: int) -> None:
    assert Plan.of(profile, setting) == Plan(interval, profile.state_history_blocks)


@pytest.mark.parametrize(("profile", "setting"), [(ANVIL, 0), (INJECTIVE, -1), (INJECTIVE, 5)])
def test_nothing_is_captured_where_it_is_not_wanted_or_cannot_be(
    profile: EngineProfile, setting: int
) -> None:
    assert Plan.of(profile, setting) is None
