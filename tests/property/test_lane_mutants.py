"""The state machine finds a broken lane: three faults that it must not let pass, found without shrinking.

Shrinking an example of thirty steps, each with commits to a file, takes longer than anybody waits; that a
fault is found, and as a failed assertion of the model, does not need it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.evm import lane
from silkledger.evm.engines import SendOutcome
from silkledger.evm.lane import Lane
from silkledger.evm.lane_rules import changes_by_chain
from silkledger.evm.lane_store import AttemptRow, Change, LaneRow, LaneStore
from tests.property.test_lane_model import LaneAgainstModel

Break = Callable[[pytest.MonkeyPatch], None]

_fenced = LaneStore.fenced


def nonce_is_not_taken(patch: pytest.MonkeyPatch) -> None:
    """The signed bytes are durable, the nonce under them is given out again."""

    @asynccontextmanager
    async def fenced(store: LaneStore, epoch: int, **_: object) -> AsyncIterator[AsyncConnection]:
        async with _fenced(store, epoch) as connection:
            yield connection

    patch.setattr(LaneStore, "fenced", fenced)


def included_is_final(patch: pytest.MonkeyPatch) -> None:
    """What is in a block is told as final, which a reorg may undo."""

    def changes(attempts: Sequence[AttemptRow], final: int) -> list[Change]:
        return changes_by_chain(attempts, final + 1_000)

    patch.setattr(lane, "changes_by_chain", changes)


def the_node_is_believed(patch: pytest.MonkeyPatch) -> None:
    """A nonce that the node calls used is taken for a stranger's at once; it may be our own, not read yet."""

    async def look(owner: Lane, row: LaneRow) -> None:
        attempts, _ = await owner._store.open_attempts()
        for attempt in attempts:
            if attempt.chain_block is None and attempt.error == SendOutcome.NONCE_USED.value:
                await owner._store.freeze(row.epoch, attempt, "used")

    patch.setattr(Lane, "_look_for_strangers", look)


@pytest.mark.parametrize("broken", [nonce_is_not_taken, included_is_final, the_node_is_believed])
def test_a_broken_lane_is_found(broken: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch)
    enough = settings(
        LaneAgainstModel.TestCase.settings,
        max_examples=200,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(LaneAgainstModel, settings=enough)
