"""Commit seals in a replay, the part that needs order: who the validators of each block are.

Guarantees of the blocks followed what `silkledger.evm.seals` and `silkledger.evm.contract_seals` guarantee of
those they check. The state after the last block is bytes, so that a replay that was cut off goes on from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from silkledger import cbor
from silkledger.audit.sealing import SealedBlock, Sealing
from silkledger.evidence import lineage
from silkledger.evidence.contract_lineage import ContractRules
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import Header
from silkledger.evidence.lineage import Lineage, ValidatorRules
from silkledger.evidence.qbft import verify_contract_seals
from silkledger.evidence.reasons import Reason
from silkledger.evm.contract_seals import ContractNode
from silkledger.evm.seal_refusals import SealsRefused
from silkledger.evm.sealed_archive import genesis_header
from silkledger.evm.validator_contract import ContractSet, read_set, set_after
from silkledger.values import Address, BlockHash

Members = frozenset[Address]


@dataclass(slots=True)
class Followed:
    """What following some blocks came to."""

    state: bytes
    """After the last of them: what `order_of` goes on from."""
    sets: list[tuple[int, Members]] = field(default_factory=list)
    """Block, and who seals it and those after it, wherever that changed."""


class SealOrder(Protocol):
    """Follows the validators block after block."""

    async def follow(self, blocks: Sequence[SealedBlock]) -> Followed:
        """`blocks` are the next ones.

        Raises:
            SealsRefused: one is not sealed by a quorum, or contradicts a pinned block.
            NodeUnavailable, NodeLied: what must be asked for is not to be had.
        """
        ...


async def order_of(
    sealing: Sealing, node: ContractNode, genesis: BlockHash, state: bytes | None
) -> SealOrder:
    """Goes on from `state`; None: from genesis. Raises: NodeUnavailable, NodeLied, SealsRefused."""
    if isinstance(sealing.rules, ContractRules):
        return await _ContractOrder.begin(sealing, sealing.rules, node, genesis, state)
    return await _HeaderOrder.begin(sealing.rules, sealing.pins, node, genesis, state)


class _HeaderOrder:
    """Header mode: votes are counted."""

    def __init__(
        self, rules: ValidatorRules, pins: Mapping[int, BlockHash], state: Lineage, *, new: bool
    ) -> None:
        self._rules = rules
        self._pins = pins
        self._state = state
        self._sets: list[tuple[int, Members]] = [(1, state.validators)] if new else []

    @classmethod
    async def begin(
        cls,
        rules: ValidatorRules,
        pins: Mapping[int, BlockHash],
        node: ContractNode,
        genesis: BlockHash,
        state: bytes | None,
    ) -> _HeaderOrder:
        if state is not None:
            return cls(rules, pins, _decode_lineage(state), new=False)
        header = await genesis_header(node, genesis)
        try:
            return cls(rules, pins, lineage.start(header, rules), new=True)
        except EvidenceInvalid as refusal:
            raise SealsRefused.of(0, "", refusal) from refusal

    async def follow(self, blocks: Sequence[SealedBlock]) -> Followed:
        sets, state = self._sets, self._state
        for block in blocks:
            _check_pin(self._pins, block)
            before, number = state.validators, block.header.number
            try:
                state = lineage.advance(state, block.header, self._rules, block.signers)
            except EvidenceInvalid as refusal:
                raise SealsRefused.of(number, block.told_by, refusal) from refusal
            if state.validators != before:
                sets.append((number + 1, state.validators))
        self._state, self._sets = state, []
        return Followed(_encode_lineage(state), sets)


class _ContractOrder:
    """Contract mode: who seals is proven at each parent, from the newest pinned block on."""

    def __init__(
        self, sealing: Sealing, rules: ContractRules, node: ContractNode, state: ContractSet | None
    ) -> None:
        self._sealing = sealing
        self._rules = rules
        self._node = node
        self._state = state
        self._sets: list[tuple[int, Members]] = []

    @classmethod
    async def begin(
        cls,
        sealing: Sealing,
        rules: ContractRules,
        node: ContractNode,
        genesis: BlockHash,
        state: bytes | None,
    ) -> _ContractOrder:
        order = cls(sealing, rules, node, _decode_set(state))
        if state is None and sealing.start == 0:
            await order._start(await genesis_header(node, genesis))
        return order

    async def _start(self, header: Header) -> None:
        self._state = await read_set(self._node, self._rules, header)
        self._sets.append((header.number + 1, self._state.validators))

    async def follow(self, blocks: Sequence[SealedBlock]) -> Followed:
        for block in blocks:
            _check_pin(self._sealing.pins, block)
            header = block.header
            if header.number == self._sealing.start:
                await self._start(header)
            if header.number > self._sealing.start:
                await self._step(block)
        sets, self._sets = self._sets, []
        return Followed(_encode_set(self._state), sets)

    async def _step(self, block: SealedBlock) -> None:
        header, state = block.header, self._state
        if state is None:
            raise RuntimeError("blocks are followed in order")
        try:
            verify_contract_seals(header, state.validators, block.signers)
        except EvidenceInvalid as refusal:
            raise SealsRefused.of(header.number, block.told_by, refusal) from refusal
        if block.account is None:
            return
        after = await set_after(self._node, self._rules, state, header, block.account)
        if after.validators != state.validators:
            self._sets.append((header.number + 1, after.validators))
        self._state = after


def _check_pin(pins: Mapping[int, BlockHash], block: SealedBlock) -> None:
    header = block.header
    pin = pins.get(header.number)
    if pin is not None and pin != header.hash:
        detail = f"it is {header.hash}, but {pin} is pinned"
        raise SealsRefused(header.number, block.told_by, Reason.BLOCK_PIN_MISMATCH, detail)


def _encode_lineage(state: Lineage) -> bytes:
    votes = [
        [[bytes(subject), _members(voters)] for subject, voters in sorted(about.items())]
        for about in (state.adds, state.drops)
    ]
    return cbor.encode([_members(state.validators), *votes])


def _decode_lineage(data: bytes) -> Lineage:
    value: Any = cbor.decode(data)
    validators, adds, drops = value
    return Lineage(_addresses(validators), _votes(adds), _votes(drops))


def _votes(listed: list[Any]) -> dict[Address, Members]:
    return {Address(subject): _addresses(voters) for subject, voters in listed}


def _encode_set(state: ContractSet | None) -> bytes:
    return cbor.encode([] if state is None else [state.storage_root, _members(state.validators)])


def _decode_set(data: bytes | None) -> ContractSet | None:
    value: Any = [] if data is None else cbor.decode(data)
    return ContractSet(value[0], _addresses(value[1])) if value else None


def _members(members: Members) -> list[bytes]:
    return [bytes(member) for member in sorted(members)]


def _addresses(listed: list[bytes]) -> Members:
    return frozenset(map(Address, listed))
