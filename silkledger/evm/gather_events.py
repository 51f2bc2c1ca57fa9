"""Gathering a completeness proof from a node or from a follower's archive.

What is gathered is verified, with the trust roots of whoever asks, before it is handed out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from silkledger.evidence.bundle import NetworkSection
from silkledger.evidence.completeness import CompletenessProof, EventQuestion, prove_completeness
from silkledger.evidence.completeness_verdict import verify_completeness
from silkledger.evidence.contract_lineage import ContractRules
from silkledger.evidence.header import EngineKind, Header
from silkledger.evidence.reasons import Reason
from silkledger.evidence.receipts import Receipt
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evidence.verdict import CheckResult
from silkledger.evm.archive import Archive
from silkledger.evm.capture import bridge
from silkledger.evm.contract_headers import ContractHeaders, ContractMode, ProvenHeaderSource
from silkledger.evm.failure import CaptureFailed
from silkledger.evm.port import FullBlock

_BATCH: Final = 100
"""Blocks read at once."""


class NodeSource(ProvenHeaderSource, Protocol):
    """What is asked of a node (`silkledger.evm.port.Node`)."""

    async def full_blocks(self, first: int, last: int) -> list[FullBlock]: ...


RangeSource = NodeSource | Archive
"""Where blocks are read."""


async def gather_events(source: RangeSource, roots: TrustRoots, question: EventQuestion) -> CompletenessProof:
    """The proof of all events that `question` asks for, verifiable with `roots`.

    Raises:
        CaptureFailed: the roots pin no block that vouches for the range, or what the source says does not
            fit together; `reasons` are the codes of the checks that did not pass.
        NodeUnavailable, NodeLied: as the source.
    """
    headers: list[Header] = []
    receipts: dict[int, Sequence[Receipt]] = {}
    for start in range(question.first, question.last + 1, _BATCH):
        for block in await source.full_blocks(start, min(start + _BATCH - 1, question.last)):
            headers.append(block.header)
            if question.may_be_in(block.header):
                receipts[block.header.number] = block.receipts
    linked = await _linked(source, roots, headers)
    network = NetworkSection(roots.chain_id, roots.genesis_hash, roots.directory)
    proof = prove_completeness(network, question, linked, receipts)
    answer = verify_completeness(proof.encode(), roots, question).verdict
    if not answer.outcome.good:
        bad = [check for check in answer.checks if check.result is not CheckResult.PASS]
        text = "; ".join(f"{check.name}: {check.detail}" for check in bad)
        raise CaptureFailed(
            f"what was gathered does not verify: {text}", tuple(check.reason for check in bad)
        )
    return proof


async def _linked(source: RangeSource, roots: TrustRoots, headers: Sequence[Header]) -> list[Header]:
    """`headers`, with those that link them to a block that `roots` pin."""
    first, last = headers[0].number, headers[-1].number
    if isinstance(roots.rules, ContractRules):
        if isinstance(source, Archive):
            raise CaptureFailed("in contract mode state proofs are needed: an archive has none, ask a node")
        below = max((number for number in roots.pinned_blocks if number < first), default=0)
        mode = ContractMode(roots.rules, below)
        return await ContractHeaders(source, mode).chain(range(first, last + 1))
    if roots.engine is EngineKind.QBFT:
        start = max((number for number in roots.pinned_blocks if number <= first), default=0)
        if start == first:
            return list(headers)
        pinned = (await source.block(start)).header
        return [pinned, *(await bridge(source, pinned, headers[0])), *headers[1:]]
    pin = min((number for number in roots.pinned_blocks if number >= last), default=None)
    if pin is None:
        raise CaptureFailed(
            f"the trust roots pin no block from {last} on, and the engine has no seals",
            (Reason.BLOCK_NOT_PINNED,),
        )
    linked = list(headers)
    for begin in range(last + 1, pin + 1, _BATCH):
        blocks = await source.full_blocks(begin, min(begin + _BATCH - 1, pin))
        linked += [block.header for block in blocks]
    return linked
