"""State and receipts that no node has: well proven, but not of the shape that they must have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from silkledger.evidence import rlp
from silkledger.evidence.bundle import Contract
from silkledger.evidence.header import Header
from silkledger.evidence.receipts import Receipt
from silkledger.evidence.trie import EMPTY_TRIE_ROOT, Trie
from silkledger.registry.histories import keccak256
from silkledger.values import Address
from tests.unit.evidence.world import CONTRACTS, World
from tests.vectors.evidence.verdict_cases import Case, case

SECOND = rlp.encode(rlp.encode_int(1))
"""Key of the anchor's transaction in the receipts trie."""
GOOD_PATH = bytes([0x20, *SECOND])
"""Hex prefix of a leaf at that key."""


@dataclass
class OddWorld(World):
    """A world whose registration block names another receipts root, or all blocks another state."""

    registration: int = 20
    as_of: int = 20
    receipts_root: bytes | None = None
    bloom: bytes | None = None
    account: bytes | None = None
    word: bytes | None = None
    state_root: bytes | None = None

    def receipts(self) -> list[Receipt]:
        made = super().receipts()
        return made if self.bloom is None else [replace(item, logs_bloom=self.bloom) for item in made]

    def storage(self, contract: Contract) -> dict[bytes, bytes]:
        stored = super().storage(contract)
        return stored if self.word is None else dict.fromkeys(stored, self.word)

    def state(self) -> tuple[Trie, dict[Contract, Trie]]:
        accounts, tries = super().state()
        if self.account is None:
            return accounts, tries
        odd = {keccak256(address): self.account for address in CONTRACTS.values()}
        return Trie(odd), tries

    def header(self, number: int, parent: bytes, state_root: bytes, receipts: bytes) -> Header:
        if number == self.registration and self.receipts_root is not None:
            receipts = self.receipts_root
        return super().header(number, parent, self.state_root or state_root, receipts)


def cases() -> Iterator[Case]:
    yield case("receipts-empty", OddWorld(receipts_root=EMPTY_TRIE_ROOT))
    yield case("state-empty", OddWorld(state_root=EMPTY_TRIE_ROOT))
    yield case("receipt-bloom", OddWorld(bloom=b"\xff" * 256))
    yield from _receipts()
    yield from _nodes()
    accounts = {
        "three-items": rlp.encode([b"\1", b"", bytes(32)]),
        "no-list": rlp.encode(bytes(40)),
        "nonce-zeros": rlp.encode([b"\0\1", b"", bytes(32), bytes(32)]),
        "short-root": rlp.encode([b"\1", b"", bytes(31), bytes(32)]),
        "without-code": rlp.encode([b"\1", b"", bytes(32), keccak256(b"")]),
    }
    for name, account in accounts.items():
        yield case(f"account-{name}", OddWorld(account=account))
    words = {
        "zero": rlp.encode(b""),
        "zeros": rlp.encode(b"\0\1"),
        "long": rlp.encode(b"\1" * 33),
        "list": b"\xc0",
    }
    for name, word in words.items():
        yield case(f"word-{name}", OddWorld(word=word))
    world = OddWorld()
    nowhere = Address(b"\x99" * 20)
    proof = tuple(world.state()[0].prove(keccak256(nowhere)))
    bundle = world.evidence()
    states = tuple(
        replace(state, account_proof=proof) if state.contract is Contract.DOCUMENT_STATUS else state
        for state in bundle.states
    )
    roots = world.roots()
    roots = replace(roots, contracts={**roots.contracts, "DocumentStatus": nowhere})
    yield Case("contract-absent", replace(bundle, states=states).encode(), roots)


def _receipts() -> Iterator[Case]:
    """Values in the place of the anchor's receipt."""
    bloom = bytes(256)
    values = {
        "three-items": rlp.encode([b"\1", b"\1", bloom]),
        "status-2": rlp.encode([b"\2", b"\1", bloom, []]),
        "logs-no-list": rlp.encode([b"\1", b"\1", bloom, b""]),
        "gas-long": rlp.encode([b"\1", b"\1" * 9, bloom, []]),
        "bloom-short": rlp.encode([b"\1", b"\1", bytes(255), []]),
        "five-topics": rlp.encode([b"\1", b"\1", bloom, [[bytes(20), [bytes(32)] * 5, b""]]]),
        "typed": b"\x02" + rlp.encode([b"\1", b"\1", bloom, []]),
        "type-zero": b"\x00" + rlp.encode([b"\1", b"\1", bloom, []]),
        "trailing": rlp.encode([b"\1", b"\1", bloom, []]) + b"\0",
    }
    for name, value in values.items():
        trie = Trie({SECOND: value})
        yield _with_node(f"receipt-value-{name}", trie.root, trie.prove(SECOND))


def _nodes() -> Iterator[Case]:
    """Nodes in the place of the receipts trie's root."""
    leaf = rlp.encode([b"\1", b"\1", bytes(256), []])
    nodes = {
        "three-items": rlp.encode([GOOD_PATH, leaf, leaf]),
        "no-list": rlp.encode(bytes(40)),
        "no-rlp": b"\xb8\x01" + bytes(40),
        "path-a-list": rlp.encode([[GOOD_PATH], leaf]),
        "path-empty": rlp.encode([b"", leaf]),
        "path-flags": rlp.encode([b"\x40" + SECOND, leaf]),
        "path-padding": rlp.encode([b"\x21" + SECOND, leaf]),
        "value-empty": rlp.encode([GOOD_PATH, b""]),
        "value-a-list": rlp.encode([GOOD_PATH, [leaf]]),
        "extension-without-path": rlp.encode([b"\x00", bytes(32)]),
        "reference-short": rlp.encode([b"\x00" + SECOND[:1], bytes(31)]),
        "elsewhere": rlp.encode([b"\x20\x07", leaf]),
        "branch-empty": rlp.encode([b""] * 17),
        "branch-child-list": rlp.encode([[[], []], *[b""] * 16]),
        "branch-value": rlp.encode([bytes(32), *[b""] * 15, leaf]),
        "branch-deep": rlp.encode([[b"\x31", leaf], *[b""] * 16]),
    }
    for name, node in nodes.items():
        yield _with_node(f"node-{name}", keccak256(node), [node])


def _with_node(name: str, root: bytes, proof: list[bytes]) -> Case:
    world = OddWorld(receipts_root=root)
    bundle = world.evidence()
    return case(name, world, replace(bundle, anchor=replace(bundle.anchor, receipt_proof=tuple(proof))))
