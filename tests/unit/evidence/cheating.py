"""One way of cheating with a bundle on sealed blocks, and the check and code that it must meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from silkledger.evidence.bundle import Bundle
from silkledger.evidence.reasons import Reason
from silkledger.evidence.verdict import Verdict
from tests.unit.evidence.sealed_world import SealedWorld
from tests.unit.evidence.world import World


@dataclass(frozen=True)
class Case:
    """One way of cheating, and the check and code that it must meet."""

    name: str
    check: str
    reason: Reason
    cheat: Callable[[], Verdict]


def edited(edit: Callable[[World, Bundle], Bundle]) -> Callable[[], Verdict]:
    """The bundle, edited after it was made."""

    def cheat() -> Verdict:
        world = SealedWorld()
        return world.verify(edit(world.world, world.bundle()))

    return cheat
