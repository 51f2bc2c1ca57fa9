"""What is known of each of several nodes, and who is told when it changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from silkledger.evm.port import Node


class NodeTrouble(StrEnum):
    """Why a node is not in order. Reason codes: they stand in health, log and metric, and never change."""

    SILENT = "NODE_SILENT"
    """No answer, or none in time. Not waited for."""
    BEHIND = "NODE_BEHIND"
    """Its head stays behind another node's: a stale head, or a node that catches up."""
    LIED = "NODE_LIED"
    """An answer that contradicts itself: a header without its hash, receipts that are not the block's."""
    OTHER_CHAIN = "NODE_OTHER_CHAIN"
    """Chain id or genesis are not the pinned ones."""
    DISAGREES = "NODE_DISAGREES"
    """It shows another block at a height than other nodes do."""


BLOCKING = frozenset({NodeTrouble.LIED, NodeTrouble.OTHER_CHAIN, NodeTrouble.DISAGREES})
"""Nothing is applied while a node that answers is in one of these."""


@dataclass(frozen=True, slots=True)
class NodeStanding:
    """One node as last seen."""

    name: str
    head: int | None = None
    """Number of its newest block; None: it never said."""
    trouble: NodeTrouble | None = None
    detail: str = ""

    def sentence(self) -> str:
        """For health and errors. Empty when the node is in order."""
        return "" if self.trouble is None else f"node {self.name}: {self.trouble.value}: {self.detail}"


StandingListener = Callable[[NodeStanding], None]


class Member:
    """A named node with its standing; whoever listens hears of every change of trouble and of head."""

    def __init__(self, name: str, node: Node, listener: StandingListener) -> None:
        self.name = name
        self.node = node
        self.identified = False
        """Its chain id and genesis were compared since it last came back from silence."""
        self.behind_since: float | None = None
        self._suspect = 0
        """Block about which it lied or disagrees; until it shows that one rightly it stays accused."""
        self._listener = listener
        self._standing = NodeStanding(name)

    @property
    def standing(self) -> NodeStanding:
        return self._standing

    @property
    def head(self) -> int:
        """Its newest block; 0 while it has not said."""
        return self._standing.head or 0

    @property
    def answers(self) -> bool:
        """Whether its word counts: it said where its chain ends, and has answered since."""
        return self._standing.head is not None and not self.is_in(NodeTrouble.SILENT, NodeTrouble.OTHER_CHAIN)

    def is_in(self, *troubles: NodeTrouble) -> bool:
        return self._standing.trouble in troubles

    def tell_head(self, head: int) -> None:
        self._set(NodeStanding(self.name, head, self._standing.trouble, self._standing.detail))

    def tell(self, trouble: NodeTrouble, detail: str) -> None:
        if trouble is NodeTrouble.SILENT:
            self.identified = False
        self._set(NodeStanding(self.name, self._standing.head, trouble, detail))

    def accuse(self, trouble: NodeTrouble, detail: str, block: int) -> None:
        """It lied, or disagrees, about `block` or the blocks up to it; 0: about itself."""
        self._suspect = block
        self.tell(trouble, detail)

    def acquit(self, first: int, last: int) -> None:
        """It showed blocks `first` to `last` rightly."""
        if first <= self._suspect <= last:
            self.clear(NodeTrouble.LIED, NodeTrouble.DISAGREES)

    def clear(self, *troubles: NodeTrouble) -> None:
        """Back in order, if it was in one of these."""
        if self._standing.trouble in troubles:
            self._set(NodeStanding(self.name, self._standing.head))

    def _set(self, standing: NodeStanding) -> None:
        before, self._standing = self._standing, standing
        if before != standing:
            self._listener(standing)


def blame(shown: Mapping[str, object]) -> frozenset[str]:
    """Whom a disagreement is laid to: those who differ from what more than half show; all, where none is."""
    said = list(shown.values())
    for value in said:
        if 2 * said.count(value) > len(said):
            return frozenset(name for name, other in shown.items() if other != value)
    return frozenset(shown)
