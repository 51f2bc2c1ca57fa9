"""Asking several nodes where their chains end, without waiting long for those that do not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from silkledger.evm.node_standing import Member, NodeTrouble
from silkledger.evm.port import NodeLied, NodeUnavailable
from silkledger.values import BlockHash

ANSWER_WITHIN_S: Final = 2.0
"""A node that says nothing for so long is silent: its answer, when it comes, brings it back."""
_PATIENCE_BLOCKS: Final = 5
"""A head that is behind for so many block times is told. Shorter, it is the network's way."""
_LEAST_PATIENCE_S: Final = 1.0


class Heads:
    """Keeps every member's head, silence, chain and lag up to date. `ask` before relying on them."""

    def __init__(
        self,
        members: Sequence[Member],
        chain_id: int,
        genesis: BlockHash,
        block_time_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._members = tuple(members)
        self._pinned = chain_id, genesis
        self._patience_s = max(_PATIENCE_BLOCKS * block_time_s, _LEAST_PATIENCE_S)
        self._clock = clock
        self._asking: dict[Member, asyncio.Task[None]] = {}
        self.untrue: set[Member] = set()
        """Those whose answer about themselves made no sense, or named another chain, when last asked."""

    async def ask(self) -> None:
        """Ask all; wait for those that answered last time, and for somebody in any case."""
        for member in self._members:
            if member not in self._asking or self._asking[member].done():
                asking = asyncio.create_task(self._ask(member), name=f"head of {member.name}")
                self._asking[member] = asking
        expected = [member for member in self._members if not member.is_in(NodeTrouble.SILENT)]
        waited = {self._asking[member]: member for member in expected or self._members}
        _, late = await asyncio.wait(waited, timeout=ANSWER_WITHIN_S)
        for asking in late:
            waited[asking].tell(NodeTrouble.SILENT, f"no answer within {ANSWER_WITHIN_S:g} s")
        self._tell_lag()

    def doubt(self, member: Member, why: str) -> None:
        """It did not give what it should have: silent until it says again where its chain ends."""
        if not member.is_in(NodeTrouble.OTHER_CHAIN):
            member.tell(NodeTrouble.SILENT, why)

    def close(self) -> None:
        for asking in list(self._asking.values()):
            asking.cancel()

    async def _ask(self, member: Member) -> None:
        try:
            if not member.identified:
                told = await member.node.chain_id(), await member.node.genesis_hash()
                if told != self._pinned:
                    self.untrue.add(member)
                    member.tell(NodeTrouble.OTHER_CHAIN, _other(told, self._pinned))
                    return
                member.identified = True
            head = await member.node.block_number()
        except NodeUnavailable as error:
            self.untrue.discard(member)
            member.tell(NodeTrouble.SILENT, str(error))
        except NodeLied as error:
            self.untrue.add(member)
            member.accuse(NodeTrouble.LIED, str(error), 0)
        else:
            self.untrue.discard(member)
            member.tell_head(head)
            member.clear(NodeTrouble.SILENT, NodeTrouble.OTHER_CHAIN)
            member.acquit(0, 0)

    def _tell_lag(self) -> None:
        """Told only to those in no worse trouble."""
        answering = [member for member in self._members if member.answers]
        highest = max((member.head for member in answering), default=0)
        for member in answering:
            if member.head == highest:
                member.behind_since = None
                member.clear(NodeTrouble.BEHIND)
                continue
            now = self._clock()
            member.behind_since = now if member.behind_since is None else member.behind_since
            patient = now - member.behind_since < self._patience_s
            if not patient and member.is_in(NodeTrouble.BEHIND) | (member.standing.trouble is None):
                detail = f"ends at block {member.head}, others at {highest}"
                member.tell(NodeTrouble.BEHIND, detail)


def _other(told: tuple[int, BlockHash], pinned: tuple[int, BlockHash]) -> str:
    return f"chain {told[0]} with genesis {told[1]}, not chain {pinned[0]} with genesis {pinned[1]}"
