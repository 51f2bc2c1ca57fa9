"""A small chain in QBFT contract mode: its validators stand in a contract's storage, its headers name none.

The chain of `event_world.py`, so that completeness proofs carry it to a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import rlp

from silkledger.evidence.completeness import CompletenessProof
from silkledger.evidence.contract_lineage import ContractRules
from silkledger.evidence.header import EngineKind, Header, ValidatorsProof, encode_proven
from silkledger.evidence.keccak import keccak256
from silkledger.evidence.receipts import Receipt, bloom_of, receipts_root
from silkledger.evidence.trie import Trie
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.values import Address
from tests.support.qbft_chain import Validator, in_order, validators
from tests.unit.evidence.event_world import EventWorld
from tests.unit.evidence.qbft_chain import Draft
from tests.unit.evidence.world import START

RULES = ContractRules(Address(b"\x77" * 20), keccak256(b"the code of the validators' contract"), 3)
FOUR = validators(4)
FIFTH = Validator(50)
ACCOUNT_KEY = keccak256(bytes(RULES.address))


def words(members: Sequence[Validator]) -> list[int]:
    """The array as the contract stores it: in any order."""
    return [int.from_bytes(bytes(member.address), "big") for member in reversed(members)]


@dataclass
class ContractWorld(EventWorld):
    """Change parts before asking for headers. `sets` are the validators at the end of a block and after."""

    engine: EngineKind = EngineKind.QBFT
    sets: Mapping[int, Sequence[Validator]] = field(default_factory=lambda: {0: FOUR})
    stored: Mapping[int, list[int]] = field(default_factory=dict)
    """Storage words at a block, instead of the set's."""
    code_hash: bytes = RULES.code_hash
    proven: frozenset[int] | None = None
    """Blocks that carry the proof of validators. Default: all but the last."""
    stripped: frozenset[int] = frozenset()
    """Blocks that are put in as their hash covers them."""
    left_out: frozenset[int] = frozenset()

    def members_at(self, number: int) -> list[Validator]:
        """The validators that the contract holds at the end of block `number`."""
        since = max(block for block in self.sets if block <= number)
        return in_order(self.sets[since])

    def tries(self, number: int) -> tuple[Trie, Trie]:
        """State and the contract's storage at the end of block `number`."""
        items = self.stored.get(number, words(self.members_at(number)))
        slots = {RULES.slot: len(items)} | {RULES.item_slot(i): word for i, word in enumerate(items)}
        storage = Trie({_key(slot): rlp.encode(word) for slot, word in slots.items() if word})
        account = rlp.encode([1, 0, storage.root, self.code_hash])
        other = rlp.encode([7, 5, storage.root, keccak256(b"")])
        return Trie({ACCOUNT_KEY: account, keccak256(b"other"): other}), storage

    def validators_proof(self, number: int) -> ValidatorsProof:
        state, storage = self.tries(number)
        items = self.stored.get(number, words(self.members_at(number)))
        slots = [RULES.slot, *(RULES.item_slot(index) for index in range(len(items)))]
        nodes = tuple(tuple(storage.prove(_key(slot))) for slot in slots)
        return ValidatorsProof(tuple(state.prove(ACCOUNT_KEY)), nodes)

    @cached_property
    def headers(self) -> list[Header]:
        made: list[Header] = []
        for number in range(self.start, self.end + 1):
            made.append(self._sealed(number, bytes(made[-1].hash) if made else bytes(32)))
        return made

    def _sealed(self, number: int, parent: bytes) -> Header:
        receipts: tuple[Receipt, ...] = self.blocks.get(number, ())
        draft = Draft(
            number=number,
            members=self.members_at(number - 1),
            listed=[],
            parent=parent,
            timestamp=START,
            state_root=self.tries(number)[0].root,
            receipts_root=receipts_root(receipts),
            logs_bloom=bloom_of([log for receipt in receipts for log in receipt.logs]),
            gas_used=receipts[-1].cumulative_gas_used if receipts else 0,
        )
        special = self.special.get(number)
        return special(draft) if special else draft.sealed()

    def entry(self, header: Header) -> bytes:
        """As it stands in evidence."""
        number = header.number
        shown = strip(header) if number in self.stripped or number == self.start else header
        proven = number != self.last if self.proven is None else number in self.proven
        return encode_proven(shown, self.validators_proof(number)) if proven else shown.raw

    def proof(self) -> CompletenessProof:
        bare = EventWorld.proof(self)
        used = [h for h in self.headers if h.number <= self.last and h.number not in self.left_out]
        return replace(bare, headers=tuple(self.entry(header) for header in used))

    def roots(self, *pinned: int) -> TrustRoots:
        return replace(EventWorld.roots(self, *pinned), rules=RULES)


def _key(slot: int) -> bytes:
    return keccak256(slot.to_bytes(32, "big"))


def strip(header: Header) -> Header:
    """The header as its hash covers it: round 0, no seals."""
    items = rlp.decode(header.raw)
    extra = rlp.decode(items[12])
    items[12] = rlp.encode([*extra[:3], b"", []])
    return replace(header, raw=rlp.encode(items))
