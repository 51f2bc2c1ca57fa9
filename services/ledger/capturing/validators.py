"""QBFT contract mode: the proofs of the validators, captured with the state and at pinned blocks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger.capturing.source import EvidenceSource
from services.ledger.capturing.storage import last_step, steps_between
from silkledger.evidence.contract_lineage import ContractRules
from silkledger.evidence.header import EngineKind, Header, ValidatorsProof
from silkledger.evidence.keccak import keccak256
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evm.capture import BlockSource
from silkledger.evm.contract_headers import ContractHeaders, ContractMode, prove_validators
from silkledger.evm.failure import CaptureFailed
from silkledger.evm.port import NodeUnavailable
from silkledger.runtime.db import Database
from silkledger.runtime.telemetry import logger


@dataclass(frozen=True, slots=True)
class ContractLineage:
    """How a bundle leads from a pinned block to its own blocks."""

    mode: ContractMode
    steps: tuple[int, ...]
    """Blocks of which and of whose parents the validators were captured."""


@dataclass(slots=True)
class GatheredValidators:
    """What one capture reads of a node."""

    nodes: dict[bytes, bytes] = field(default_factory=dict)
    steps: tuple[int, ...] = ()
    """Blocks of which and of whose parents the validators are proven."""
    pinned: list[int] = field(default_factory=list)
    """Pinned blocks of which they are proven."""
    unproven: list[int] = field(default_factory=list)
    """Those of which the node, which proved the rest, does not prove them any more."""

    def add(self, proof: ValidatorsProof) -> None:
        self.nodes |= {keccak256(node): node for nodes in (proof.account, *proof.slots) for node in nodes}


class ValidatorProofs:
    """The validators of one network, as a contract names them."""

    def __init__(
        self, database: Database, node: BlockSource, rules: ContractRules, pinned: Iterable[int]
    ) -> None:
        """`pinned`: blocks that verifiers pin. Genesis always is."""
        self._database, self._node, self._rules = database, node, rules
        self._pinned = sorted({0, *pinned})
        self._unproven: set[int] = set()

    @classmethod
    def under(cls, roots: TrustRoots | None, database: Database, node: BlockSource) -> ValidatorProofs | None:
        """None where no contract names the validators."""
        if roots is None or not isinstance(roots.rules, ContractRules):
            return None
        return cls(database, node, roots.rules, roots.pinned_blocks)

    async def gather(self, header: Header) -> GatheredValidators:
        """What proves the validators at the end of the block of `header` and of its parent, and on the way
        from the last step, or from a pinned block; and at every pinned block before, where it can be had.

        Raises:
            CaptureFailed, NodeUnavailable, NodeLied: not of the block and its parent.
        """
        async with self._database.read() as connection:
            source = self._source(connection)
            gathered = GatheredValidators()
            for number in self._pinned:
                if number < header.number and number not in self._unproven:
                    await self._add_pinned(source, number, gathered)
            start = await last_step(connection, header.number)
            if start is None:
                start = max(gathered.pinned, default=None)
            if start is None:
                raise CaptureFailed(f"of no pinned block before {header.number} the validators can be proven")
            await self._add_way(source, start, header.number, gathered)
            self._unproven.update(gathered.unproven)
            return gathered

    async def _add_pinned(self, source: EvidenceSource, number: int, gathered: GatheredValidators) -> None:
        try:
            pinned = (await source.block(number)).header
            gathered.add(await prove_validators(source, pinned, self._rules))
            gathered.pinned.append(number)
        except (NodeUnavailable, CaptureFailed) as error:
            gathered.unproven.append(number)
            logger().info("pinned_validators_not_captured", block=number, why=str(error))

    async def _add_way(
        self, source: EvidenceSource, start: int, end: int, gathered: GatheredValidators
    ) -> None:
        """Where the way cannot be proven any more, its end alone: that is enough unless too many validators
        were replaced on it."""
        way = ContractHeaders(source, ContractMode(self._rules, start))
        try:
            headers = await way.chain([end])
        except NodeUnavailable as error:
            logger().warning("validators_not_linked", since=start, block=end, why=str(error))
            headers = []
            for number in (end - 1, end):
                header = (await source.block(number)).header
                proof = await prove_validators(source, header, self._rules)
                headers.append(replace(header, validators_proof=proof))
        for header in headers:
            if header.validators_proof is not None:
                gathered.add(header.validators_proof)
        proven = {header.number for header in headers if header.validators_proof is not None}
        gathered.steps = tuple(number for number in sorted(proven) if number - 1 in proven)

    async def lineage(self, connection: AsyncConnection, anchor: int, as_of: int) -> ContractLineage:
        """From the newest pinned block before `anchor` of which the validators can be proven.

        Raises:
            CaptureFailed: there is none.
        """
        source, said = self._source(connection), "none is pinned"
        for number in reversed([number for number in self._pinned if number < anchor]):
            try:
                await prove_validators(source, (await source.block(number)).header, self._rules)
            except (NodeUnavailable, CaptureFailed) as error:
                said = str(error)
                continue
            steps = await steps_between(connection, number + 1, as_of)
            return ContractLineage(ContractMode(self._rules, number), tuple(steps))
        raise CaptureFailed(f"of no pinned block before {anchor} the validators can be proven: {said}")

    def _source(self, connection: AsyncConnection) -> EvidenceSource:
        return EvidenceSource(connection, self._node, EngineKind.QBFT)
