"""When state is captured: by the setting and by what the engine keeps."""

from __future__ import annotations

import pytest

from services.ledger.capturing.capturing import Plan
from services.ledger.capturing.storage import CaptureRow
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


PLAN = Plan(interval=8, depth=64)


@pytest.mark.parametrize(
    ("anchor", "last", "refused", "block"),
    [
        (None, None, 0, None),
        # As of the anchor's block, while the node is sure to have its state.
        (90, None, 0, 90),
        (68, None, 0, 68),
        (67, None, 0, 98),
        (90, None, 90, 98),
        (90, CaptureRow(60, whole=True), 0, 90),
        # It is covered, or too early for another one.
        (90, CaptureRow(90, whole=True), 0, None),
        (80, CaptureRow(90, whole=True), 0, None),
        (96, CaptureRow(91, whole=True), 0, None),
        (96, CaptureRow(90, whole=True), 0, 96),
        # What was cut short goes on at once, as of a newer block.
        (90, CaptureRow(90, whole=False), 0, 98),
        (97, CaptureRow(96, whole=False), 0, 97),
        (97, CaptureRow(98, whole=False), 0, None),
    ],
)
def test_when_and_as_of_which_block(
    anchor: int | None, last: CaptureRow | None, refused: int, block: int | None
) -> None:
    assert PLAN.due(head=100, final=98, anchor=anchor, last=last, refused=refused) == block
