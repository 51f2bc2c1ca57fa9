"""A small chain of blocks whose transactions emit events, and proofs about all events of one kind.

Change `blocks` (the receipts by block) before asking for headers; blocks not named are empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from eth_abi.abi import encode

from silkledger.evidence.bundle import NetworkSection
from silkledger.evidence.completeness import CompletenessProof, EventQuestion, prove_completeness
from silkledger.evidence.completeness_verdict import CompletenessVerdict, verify_completeness
from silkledger.evidence.event_abi import EventDeclaration
from silkledger.evidence.header import EngineKind, Header, decode_header
from silkledger.evidence.lineage import ValidatorRules
from silkledger.evidence.receipts import EventLog, Receipt, bloom_of, receipts_root
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.values import Address
from tests.unit.evidence.qbft_chain import Draft, Validator, validators
from tests.unit.evidence.world import CHAIN_ID, CONTRACTS, DIRECTORY, GENESIS, START

CONTRACT, OTHER = Address(b"\x51" * 20), Address(b"\x52" * 20)
TRANSFER = EventDeclaration.parse("Transfer(address indexed from, address indexed to, uint256 value)")
PAUSED = b"\x77" * 32
"""First topic of another event."""
EPOCH = 10


def transfer(value: int, contract: Address = CONTRACT) -> EventLog:
    parties = tuple(bytes(12) + bytes([party]) * 20 for party in (0xA1, 0xA2))
    return EventLog(contract, (TRANSFER.topic, *parties), encode(["uint256"], [value]))


def other_event() -> EventLog:
    """Another event of the contract."""
    return EventLog(CONTRACT, (PAUSED,), b"")


def block_of(*logs: Sequence[EventLog]) -> tuple[Receipt, ...]:
    """Receipts of one block: one transaction for each list of logs."""
    return tuple(
        Receipt(2 if index % 2 else 0, True, 21_000 * (index + 1), bloom_of(entry), tuple(entry))
        for index, entry in enumerate(logs)
    )


USUAL: Mapping[int, tuple[Receipt, ...]] = {
    12: block_of([transfer(1)], [other_event(), transfer(2)]),
    13: block_of([transfer(7, OTHER)]),
    14: block_of([other_event()], []),
    15: block_of([transfer(8, OTHER), other_event()]),
    16: block_of([], [transfer(3)], []),
}
"""Two blocks with events, one in which another contract emits the like, one with another event alone, and one
whose bloom admits such an event though there is none."""


@dataclass
class EventWorld:
    """Blocks `start` to `end`, of which `first` to `last` are asked about."""

    engine: EngineKind = EngineKind.NO_SEALS
    members: Sequence[Validator] = field(default_factory=lambda: validators(4))
    blocks: Mapping[int, tuple[Receipt, ...]] = field(default_factory=lambda: dict(USUAL))
    start: int = 10
    first: int = 11
    last: int = 17
    end: int = 18
    special: Mapping[int, Callable[[Draft], Header]] = field(default_factory=dict)
    """Blocks that are sealed by another recipe."""
    blooms: Mapping[int, bytes] = field(default_factory=dict)
    """Blooms that headers claim instead of their receipts'."""

    @cached_property
    def headers(self) -> list[Header]:
        made: list[Header] = []
        for number in range(self.start, self.end + 1):
            made.append(self._header(number, bytes(made[-1].hash) if made else bytes(32)))
        return made

    def _header(self, number: int, parent: bytes) -> Header:
        receipts = self.blocks.get(number, ())
        bloom = bloom_of([log for receipt in receipts for log in receipt.logs])
        draft = Draft(
            number=number,
            members=self.members,
            parent=parent,
            timestamp=START,
            receipts_root=receipts_root(receipts),
            logs_bloom=self.blooms.get(number, bloom),
            gas_used=receipts[-1].cumulative_gas_used if receipts else 0,
        )
        if self.engine is EngineKind.NO_SEALS:
            return decode_header(draft.raw(b""), EngineKind.NO_SEALS)
        special = self.special.get(number)
        return special(draft) if special else draft.sealed()

    @property
    def question(self) -> EventQuestion:
        return EventQuestion(CONTRACT, TRANSFER.topic, self.first, self.last)

    def proof(self) -> CompletenessProof:
        sealed = self.engine is EngineKind.QBFT
        low, high = (self.start, self.last) if sealed else (self.first, self.end)
        linked = [header for header in self.headers if low <= header.number <= high]
        return prove_completeness(
            NetworkSection(CHAIN_ID, GENESIS, DIRECTORY),
            self.question,
            linked,
            {header.number: self.blocks.get(header.number, ()) for header in linked},
        )

    def roots(self, *pinned: int) -> TrustRoots:
        """Trust roots that pin these blocks; by default the first one with seals, else the last."""
        sealed = self.engine is EngineKind.QBFT
        numbers = pinned or ((self.start,) if sealed else (self.end,))
        return TrustRoots(
            chain_id=CHAIN_ID,
            genesis_hash=GENESIS,
            engine=self.engine,
            rules=ValidatorRules(EPOCH) if sealed else None,
            directory=DIRECTORY,
            contracts=CONTRACTS,
            pinned_blocks={h.number: h.hash for h in self.headers if h.number in numbers},
        )

    def verify(
        self,
        proof: CompletenessProof | bytes | None = None,
        question: EventQuestion | None = None,
        roots: TrustRoots | None = None,
    ) -> CompletenessVerdict:
        given = self.proof() if proof is None else proof
        data = given if isinstance(given, bytes) else given.encode()
        return verify_completeness(data, roots or self.roots(), question or self.question, TRANSFER)
