"""A log in memory that a mirror can follow, and that can be made to misbehave."""

from __future__ import annotations

from collections.abc import AsyncIterator

from silkledger.keys import PrivateKey, Suite, generate
from silkledger.log.checkpoint import Checkpoint, LogVerifierKey, sign_checkpoint
from silkledger.log.tree import Tree

ORIGIN = "silkledger.example/mirrored"


class MemoryLog:
    """Signs whatever head its entries have."""

    def __init__(self, count: int = 0) -> None:
        self.key = generate(Suite.EDDSA)
        self.vkey = LogVerifierKey.of(ORIGIN, self.key.verifying_key)
        self.signers: list[PrivateKey] = []
        """While the log changes its key; else `key` signs alone."""
        self.all: list[bytes] = []
        self.grow(count)

    def grow(self, count: int) -> None:
        first = len(self.all)
        self.all += [f"entry {index} of the log".encode() for index in range(first, first + count)]

    @property
    def tree(self) -> Tree:
        tree = Tree()
        tree.extend(self.all)
        return tree

    async def checkpoint(self) -> str:
        return sign_checkpoint(
            Checkpoint(ORIGIN, len(self.all), self.tree.root()), *(self.signers or [self.key])
        )

    async def consistency(self, old: int, new: int) -> list[bytes]:
        return self.tree.consistency_path(old, new)

    async def entries(self, start: int) -> AsyncIterator[tuple[int, bytes]]:
        for index in range(start, len(self.all)):
            yield index, self.all[index]
