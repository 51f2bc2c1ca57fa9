"""Several nodes as one: one of them answers, and blocks are held against all the others (ADR 0008).

A block is handed out only if

1. every node that answers and has a block at that height shows the same block hash there,
2. as many nodes as must agree have shown it; unless told otherwise these are all that answer,
3. no node that answers is on another chain, or gave blocks that do not verify.

So a node that lies, or is on another chain, stops everything, and is named. A node that does not answer is
not waited for; one whose head is behind is waited for, and both are named. Every node is read whole, receipts
included, so that altered receipts are found whichever node has them. What is compared is the hash and never
the raw header: seals and round, which the hash leaves out, differ between honest nodes.

Not guaranteed: that what all nodes show is the network's block; that is for commit seals. Of two nodes that
disagree, nobody can tell from hashes which one lies: both are named.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from silkledger.evm.node_heads import Heads
from silkledger.evm.node_standing import (
    BLOCKING,
    Member,
    NodeStanding,
    NodeTrouble,
    StandingListener,
    blame,
)
from silkledger.evm.port import (
    AccountProof,
    Block,
    FullBlock,
    Node,
    NodeLied,
    NodesDisagree,
    NodeUnavailable,
    NotAgreedYet,
    TransactionReceipt,
)
from silkledger.evm.verify import verify_block, verify_links
from silkledger.values import Address, BlockHash, TxHash

T = TypeVar("T")


class CrossCheckedNode:
    """The node port over several nodes, the preferred one first.

    `agreement`: how many must have shown a block; 0 for all that answer. Names must differ.
    """

    def __init__(
        self,
        nodes: Sequence[tuple[str, Node]],
        chain_id: int,
        genesis: BlockHash,
        *,
        block_time_s: float,
        agreement: int = 0,
        listener: StandingListener = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if len({name for name, _ in nodes}) != len(nodes) or not 0 <= agreement <= len(nodes):
            raise ValueError("node names must differ, and no more nodes can agree than there are")
        self._members = tuple(Member(name, node, listener) for name, node in nodes)
        self._chain_id, self._genesis = chain_id, genesis
        self._agreement = agreement
        self._heads = Heads(self._members, chain_id, genesis, block_time_s, clock)

    @property
    def standings(self) -> list[NodeStanding]:
        """Every node as last seen."""
        return [member.standing for member in self._members]

    async def health(self) -> str | None:
        """None, or what stops or holds back the follower, node by node: silent ones if too few are left."""
        held = self._agreed() < max((member.head for member in self._answering()), default=0)
        troubles = BLOCKING | ({NodeTrouble.BEHIND} if held else set())
        told = [member for member in self._members if self._too_few() or member.is_in(*troubles)]
        said = [member.standing.sentence() for member in told]
        return "; ".join(sentence for sentence in said if sentence) or None

    async def chain_id(self) -> int:
        await self.block_number()
        return self._chain_id

    async def genesis_hash(self) -> BlockHash:
        await self.block_number()
        return self._genesis

    async def block_number(self) -> int:
        """The highest head of all; not all of them need have it.

        Raises:
            NodeUnavailable: none answers, or fewer than must agree.
            NodesDisagree: a node is on another chain, or makes no sense.
        """
        await self._heads.ask()
        if self._heads.untrue:
            raise NodesDisagree("; ".join(member.standing.sentence() for member in self._heads.untrue))
        answering = self._answering()
        if self._too_few():
            raise NodeUnavailable(f"{len(answering)} of {len(self._members)} nodes answer: {self._said()}")
        return max(member.head for member in answering)

    async def block(self, number: int) -> Block:
        """As every node shows it that has it; at least one must.

        Raises:
            NodesDisagree: not all show the same. NodeUnavailable: nobody has it.
        """
        if not self._answering():
            await self.block_number()
        asked = [member for member in self._answering() if member.head >= number]
        answers = await asyncio.gather(
            *(self._of(member, member.node.block(number), number) for member in asked)
        )
        shown = {member: block for member, block in zip(asked, answers, strict=True) if block is not None}
        if not shown:
            raise NodeUnavailable(f"no node gives block {number}: {self._said()}")
        self._compare({member: [block.header.hash] for member, block in shown.items()}, number)
        for member in shown:
            member.acquit(number, number)
        return next(iter(shown.values()))

    async def full_blocks(self, first: int, last: int) -> list[FullBlock]:
        """Verified blocks from `first` on that the nodes agree on: fewer than asked for, where some node that
        must agree ends before `last`.

        Raises:
            NotAgreedYet: not one of them, because of nodes that are behind.
            NodesDisagree: nodes show different blocks, or one of them shows one that does not verify.
            NodeUnavailable: a node does not give that many.
        """
        if not self._answering():
            await self.block_number()
        last = min(last, self._agreed())
        if last < first:
            if last > 0:
                await self.block(last)  # who is behind may be so on another fork
            raise NotAgreedYet(f"block {first} is not at all nodes yet: {self._ends()}")
        source = next(member for member in self._by_preference() if member.answers and member.head >= last)
        others = [m for m in self._answering() if m is not source and m.head >= first]
        read, *checked = await asyncio.gather(
            *(self._whole(member, first, min(last, member.head)) for member in (source, *others))
        )
        if not read:
            raise NodeUnavailable(source.standing.sentence())
        answers = zip((source, *others), (read, *checked), strict=True)
        shown = {member: [block.header.hash for block in blocks] for member, blocks in answers if blocks}
        self._compare(shown, first)
        if len([member for member in shown if member.head >= last]) < self._agreement:
            raise NotAgreedYet(f"block {last} is not shown by {self._agreement} nodes: {self._said()}")
        for member, hashes in shown.items():
            member.acquit(first, first + len(hashes) - 1)
        return read

    async def _whole(self, member: Member, first: int, last: int) -> list[FullBlock]:
        """The member's blocks, verified. Empty: it does not give a single one that it said it has, and counts
        as silent. Raises: NodeUnavailable for a larger range, of which a part may be had; NodesDisagree.
        """
        blocks = await self._of(member, member.node.full_blocks(first, last), last)
        if blocks is None:
            if last > first:
                raise NodeUnavailable(f"node {member.name} does not give blocks {first} to {last}")
            return []
        try:
            verify_links(blocks)
            for block in blocks:
                verify_block(block)
                await asyncio.sleep(0)
        except NodeLied as error:
            raise self._lied(member, error, last) from error
        return [replace(block, told_by=member.name) for block in blocks]

    async def _of(self, member: Member, asking: Awaitable[T], last: int) -> T | None:
        """The member's answer about blocks up to `last`; None, and told, where it gives none.

        Raises:
            NodesDisagree: it lies.
        """
        try:
            return await asking
        except NodeUnavailable as error:
            self._heads.doubt(member, str(error))
            return None
        except NodeLied as error:
            raise self._lied(member, error, last) from error

    def _lied(self, member: Member, error: NodeLied, last: int) -> NodesDisagree:
        member.accuse(NodeTrouble.LIED, str(error), last)
        return NodesDisagree(member.standing.sentence())

    def _compare(self, shown: dict[Member, list[BlockHash]], first: int) -> None:
        """Raises: NodesDisagree, with everybody named who shows another block than most do."""
        for offset in range(max(map(len, shown.values()))):
            here = {m.name: hashes[offset] for m, hashes in shown.items() if len(hashes) > offset}
            if len(set(here.values())) <= 1:
                continue
            detail = f"block {first + offset} is " + ", ".join(f"{h} at {name}" for name, h in here.items())
            for member in shown:
                if member.name in blame(here):
                    member.accuse(NodeTrouble.DISAGREES, detail, first + offset)
            raise NodesDisagree(f"the nodes disagree: {detail}")

    def _answering(self) -> list[Member]:
        return [member for member in self._members if member.answers]

    def _too_few(self) -> bool:
        return len(self._answering()) < max(self._agreement, 1)

    def _agreed(self) -> int:
        """The highest block that as many nodes have as must agree."""
        heads = sorted((member.head for member in self._answering()), reverse=True)
        needed = self._agreement or len(heads)
        return heads[needed - 1] if 0 < needed <= len(heads) else 0

    def _by_preference(self) -> list[Member]:
        """In the order of the settings, those in trouble last; never one of another chain."""
        usable = [member for member in self._members if not member.is_in(NodeTrouble.OTHER_CHAIN)]
        return sorted(usable, key=lambda member: member.standing.trouble is not None)

    def _said(self) -> str:
        return "; ".join(filter(None, (member.standing.sentence() for member in self._members)))

    def _ends(self) -> str:
        return ", ".join(f"{member.name} ends at {member.head}" for member in self._answering())

    async def _first(self, question: Callable[[Node], Awaitable[T]]) -> T:
        """The answer of the preferred node that gives one. What it says is that node's word alone."""
        return (await self._first_of(question))[1]

    async def _first_of(self, question: Callable[[Node], Awaitable[T]]) -> tuple[Member, T]:
        failed: list[str] = []
        for member in self._by_preference():
            try:
                return member, await question(member.node)
            except NodeUnavailable as error:
                failed.append(f"node {member.name}: {error}")
            except NodeLied as error:
                raise NodeLied(f"node {member.name}: {error}") from error
        raise NodeUnavailable("; ".join(failed) or self._said())

    async def transaction_receipt(self, tx_hash: TxHash) -> TransactionReceipt | None:
        return await self._first(lambda node: node.transaction_receipt(tx_hash))

    async def send_raw(self, raw: bytes) -> TxHash:
        return await self._first(lambda node: node.send_raw(raw))

    async def nonce(self, address: Address, block: int | None = None) -> int:
        return await self._first(lambda node: node.nonce(address, block))

    async def code(self, address: Address) -> bytes:
        return await self._first(lambda node: node.code(address))

    async def call(self, to: Address, data: bytes, block: int | None = None) -> bytes:
        return await self._first(lambda node: node.call(to, data, block))

    async def get_proof(self, address: Address, slots: Sequence[int], block: int) -> AccountProof:
        """From the first node that still has that state. A proof needs no second node: it is verified."""
        member, proof = await self._first_of(lambda node: node.get_proof(address, slots, block))
        return replace(proof, told_by=member.name)

    async def close(self) -> None:
        self._heads.close()
        for member in self._members:
            await member.node.close()
