"""State proofs taken apart into trie nodes, and put together again from nodes that were kept.

A node is named by its keccak, so what two proofs share is kept once: the account of a contract that nothing
changed, the branches above a slot. Whoever keeps the nodes on the way to a key as of a block can prove the
key as of that block for ever, from the block's header alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import Header
from silkledger.evidence.keccak import keccak256
from silkledger.evidence.state import AccountState, verify_account
from silkledger.evidence.trie import EMPTY_TRIE_ROOT, NodeMissing, frontier, node_at, proof_from, verify_proof
from silkledger.evm.port import AccountProof, NodeLied
from silkledger.values import Address

SLOTS_AT_ONCE: Final = 256
"""Slots proven by one request: about 1 MB of answer in a large trie."""


class ProofSource(Protocol):
    """What is asked of a node (`silkledger.evm.port.Node`)."""

    async def get_proof(self, address: Address, slots: Sequence[int], block: int) -> AccountProof: ...


class NodeStore(Protocol):
    """Where trie nodes are kept."""

    async def nodes(self, names: Iterable[bytes]) -> Mapping[bytes, bytes]:
        """Those of `names` that are kept."""
        ...


@dataclass(frozen=True, slots=True)
class ProvenAccount:
    """An account as of a block, with the nodes that prove it and what was asked for of its storage."""

    account: AccountState
    nodes: dict[bytes, bytes]


def verified_nodes(header: Header, proof: AccountProof) -> ProvenAccount:
    """The nodes of `proof`, every one of them verified under the state root of `header`. What stands in the
    storage words is not looked at: some engines store words that are zero.

    Raises:
        NodeLied: the proof is none.
    """
    try:
        account = verify_account(header.state_root, proof.address, proof.account_proof)
        for slot, nodes in proof.storage_proofs.items():
            verify_proof(account.storage_root, keccak256(slot.to_bytes(32, "big")), nodes)
    except EvidenceInvalid as error:
        raise NodeLied(f"the state proof of {proof.address} at block {header.number}: {error}") from error
    listed = [proof.account_proof, *proof.storage_proofs.values()]
    return ProvenAccount(account, {keccak256(node): node for nodes in listed for node in nodes})


async def prove_slots(
    source: ProofSource, header: Header, address: Address, slots: Sequence[int]
) -> ProvenAccount:
    """The account and `slots` of it as of the block of `header`, verified.

    Raises:
        NodeLied: a proof does not verify.
        NodeUnavailable: e.g. the node no longer has the state of that block.
    """
    found: dict[bytes, bytes] = {}
    for start in range(0, max(len(slots), 1), SLOTS_AT_ONCE):
        part = slots[start : start + SLOTS_AT_ONCE]
        proven = verified_nodes(header, await source.get_proof(address, part, header.number))
        found |= proven.nodes
    return ProvenAccount(proven.account, found)


@dataclass(frozen=True, slots=True)
class Grown:
    """What a trie needs beside the proofs of what was written."""

    rebuilt: dict[bytes, bytes]
    missing: int
    """Nodes that are neither kept nor could be rebuilt."""


class KeptState:
    """Proofs put together from kept nodes. Reads each node once. Nothing is verified here."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store
        self._nodes: dict[bytes, bytes] = {}

    async def proofs(self, root: bytes, keys: Sequence[bytes]) -> dict[bytes, tuple[bytes, ...] | None]:
        """The proof of each key (hashed, 32 bytes) under `root`; None where a node on the way is not kept.

        Raises:
            EvidenceInvalid: what is kept is no trie node.
        """
        found: dict[bytes, tuple[bytes, ...] | None] = {}
        absent: set[bytes] = set()
        open_keys = list(dict.fromkeys(keys))
        while open_keys:
            missing: dict[bytes, bytes] = {}
            for key in open_keys:
                try:
                    found[key] = tuple(proof_from(self._nodes, root, key))
                except NodeMissing as error:
                    missing[key] = error.name
                    found[key] = None
            wanted = set(missing.values()) - absent
            self._nodes |= await self._store.nodes(wanted)
            absent |= wanted - self._nodes.keys()
            open_keys = [key for key, name in missing.items() if name not in absent]
        return found

    def add(self, nodes: Mapping[bytes, bytes]) -> None:
        """Take these for kept."""
        self._nodes |= nodes

    async def grown(self, old: bytes, new: bytes, nodes: Mapping[bytes, bytes]) -> Grown:
        """What else is needed to have the whole trie under `new`, if the one under `old` is kept whole and
        `nodes` are the proofs, under `new`, of every key whose value differs.

        A key that was written beside another one shortens the path of that other one's node, which is on no
        proof of what was written. It is what the old trie has there, cut, and taken only if its hash is the
        one named.
        """
        ends = [(path, name) for path, name in frontier(nodes, new) if name not in self._nodes]
        self._nodes |= await self._store.nodes({name for _, name in ends})
        cut = [(path, name) for path, name in ends if name not in self._nodes]
        there = await self._at(old, [path for path, _ in cut])
        rebuilt = {}
        for path, name in cut:
            node = there[path]
            if node is not None and keccak256(node) == name:
                rebuilt[name] = node
        self._nodes |= rebuilt
        return Grown(rebuilt, sum(name not in rebuilt for _, name in cut))

    async def _at(self, root: bytes, paths: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], bytes | None]:
        """What the trie under `root` has at each path, cut; None where a node on the way is not kept. The
        store is asked once a level, for all of them.
        """
        found: dict[tuple[int, ...], bytes | None] = {}
        absent: set[bytes] = set()
        open_paths = list(paths)
        while open_paths:
            missing: dict[tuple[int, ...], bytes] = {}
            for path in open_paths:
                try:
                    found[path] = node_at(self._nodes, root, path)
                except NodeMissing as error:
                    missing[path] = error.name
                    found[path] = None
            wanted = set(missing.values()) - absent
            self._nodes |= await self._store.nodes(wanted)
            absent |= wanted - self._nodes.keys()
            open_paths = [path for path, name in missing.items() if name not in absent]
        return found

    async def account(self, state_root: bytes, address: Address) -> tuple[AccountState, tuple[bytes, ...]]:
        """The account under `state_root`, with its proof.

        Raises:
            NodeMissing: it is not kept. EvidenceInvalid: what is kept is not it.
        """
        key = keccak256(address)
        proof = (await self.proofs(state_root, [key]))[key]
        if proof is None:
            raise NodeMissing(state_root)
        return verify_account(state_root, address, proof), proof

    async def slots(self, storage_root: bytes, slots: Sequence[int]) -> dict[int, tuple[bytes, ...] | None]:
        """Proofs of storage slots; None where a node on the way is not kept."""
        if storage_root == EMPTY_TRIE_ROOT:
            return dict.fromkeys(slots, ())
        keys = {slot: keccak256(slot.to_bytes(32, "big")) for slot in slots}
        found = await self.proofs(storage_root, list(keys.values()))
        return {slot: found[key] for slot, key in keys.items()}
