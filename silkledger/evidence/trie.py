"""Merkle-Patricia tries: building one, proving a key, verifying a proof of presence or of absence.

Source: Ethereum yellow paper, appendix D. A node shorter than 32 bytes stands inside its parent; any
other is named by its keccak. A proof is the list of the named nodes from the root down to the key, in
order, and nothing else: this verifier refuses left-over nodes, so a proof has one form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from silkledger.evidence import rlp
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.keccak import keccak256
from silkledger.evidence.reasons import Reason

EMPTY_TRIE: Final = rlp.encode(b"")
EMPTY_TRIE_ROOT: Final = keccak256(EMPTY_TRIE)
"""Root of the trie that holds nothing."""

_HASH: Final = 32
_BRANCH: Final = 17
_LEAF_FLAG: Final = 2
_ODD_FLAG: Final = 1

_Nibbles = tuple[int, ...]


def _nibbles(key: bytes) -> _Nibbles:
    return tuple(n for byte in key for n in (byte >> 4, byte & 15))


def _compact(path: _Nibbles, *, leaf: bool) -> bytes:
    """Hex-prefix encoding of a partial path."""
    flag = _LEAF_FLAG if leaf else 0
    padded = (flag + _ODD_FLAG, *path) if len(path) % 2 else (flag, 0, *path)
    return bytes(padded[i] << 4 | padded[i + 1] for i in range(0, len(padded), 2))


class Trie:
    """An immutable trie over `entries`, none of whose keys may be a prefix of another, none empty-valued.

    Receipts tries (keys `rlp(index)`) and secure tries (32-byte keys) are of that form.
    """

    def __init__(self, entries: Mapping[bytes, bytes]) -> None:
        self._nodes: dict[bytes, bytes] = {}
        items = sorted((_nibbles(key), value) for key, value in entries.items())
        encoded = rlp.encode(self._build(items, 0)) if items else rlp.encode(b"")
        self.root: Final = keccak256(encoded)
        self._nodes[self.root] = encoded

    def _build(self, items: list[tuple[_Nibbles, bytes]], depth: int) -> rlp.Item:
        first = items[0][0]
        if len(items) == 1:
            return [_compact(first[depth:], leaf=True), items[0][1]]
        last = items[-1][0]
        shared = depth
        while first[shared] == last[shared]:
            shared += 1
        branch: list[rlp.Item] = []
        for nibble in range(16):
            below = [item for item in items if item[0][shared] == nibble]
            branch.append(self._reference(self._build(below, shared + 1)) if below else b"")
        branch.append(b"")
        if shared == depth:
            return branch
        return [_compact(first[depth:shared], leaf=False), self._reference(branch)]

    def _reference(self, node: rlp.Item) -> rlp.Item:
        encoded = rlp.encode(node)
        if len(encoded) < _HASH:
            return node
        name = keccak256(encoded)
        self._nodes[name] = encoded
        return name

    def prove(self, key: bytes) -> list[bytes]:
        """The nodes on the way to `key`, whether or not it is there. `[]` for the empty trie."""
        return proof_from(self._nodes, self.root, key)


class NodeMissing(LookupError):
    """A node on the way to a key is not at hand. `name` is its keccak."""

    def __init__(self, name: bytes) -> None:
        super().__init__(f"the trie node 0x{name.hex()} is not at hand")
        self.name = name


def proof_from(nodes: Mapping[bytes, bytes], root: bytes, key: bytes) -> list[bytes]:
    """The proof of `key` under `root`, present or absent, out of nodes by their names. `[]` for the empty
    trie. What is under a name is taken as it is: verify the proof.

    Raises:
        NodeMissing: `nodes` lacks one on the way.
        EvidenceInvalid: PROOF_NODE_SHAPE, RLP_NOT_CANONICAL.
    """
    proof: list[bytes] = []
    node: rlp.Item = b"" if root == EMPTY_TRIE_ROOT else root
    path = _nibbles(key)
    while node != b"":
        if isinstance(node, bytes):
            encoded = nodes.get(node)
            if encoded is None:
                raise NodeMissing(node)
            proof.append(encoded)
            node = rlp.decode(encoded)
        step = _descend(node, path)
        if step is None or step[1] is None:
            break
        node, path = step[0], step[1]
    return proof


def frontier(nodes: Mapping[bytes, bytes], root: bytes) -> list[tuple[_Nibbles, bytes]]:
    """Where the part of the trie under `root` that `nodes` hold ends: path and name of every node that one of
    them names and that is not among them. Empty if the root is not.
    """
    found: list[tuple[_Nibbles, bytes]] = []
    open_nodes: list[tuple[_Nibbles, rlp.Item]] = [((), root)] if root in nodes else []
    while open_nodes:
        path, node = open_nodes.pop()
        if isinstance(node, bytes):
            if node not in nodes:
                found.append((path, node))
                continue
            node = rlp.decode(nodes[node])
        if isinstance(node, list) and len(node) == _BRANCH:
            below = [((*path, nibble), node[nibble]) for nibble in range(16)]
        elif isinstance(node, list) and len(node) == 2 and isinstance(node[0], bytes) and node[0]:
            part, leaf = _expand(node[0])
            below = [] if leaf else [((*path, *part), node[1])]
        else:
            raise EvidenceInvalid(Reason.PROOF_NODE_SHAPE, "a node has 17 items, or a path and a value")
        open_nodes += [(way, item) for way, item in below if item != b""]
    return found


def node_at(nodes: Mapping[bytes, bytes], root: bytes, path: _Nibbles) -> bytes | None:
    """The node that stands for all keys under `path` in the trie under `root`: what a trie has there that
    branches at `path` and holds the same under it. None where there is no key.

    Raises:
        NodeMissing: `nodes` lacks one on the way.
        EvidenceInvalid: PROOF_NODE_SHAPE, RLP_NOT_CANONICAL.
    """
    node: rlp.Item = b"" if root == EMPTY_TRIE_ROOT else root
    while node != b"":
        if isinstance(node, bytes):
            if node not in nodes:
                raise NodeMissing(node)
            node = rlp.decode(nodes[node])
        if not path:
            return rlp.encode(node)
        if isinstance(node, list) and len(node) == 2 and isinstance(node[0], bytes) and node[0]:
            part, leaf = _expand(node[0])
            if part[: len(path)] == path and (leaf or len(part) > len(path)):
                return rlp.encode([_compact(part[len(path) :], leaf=leaf), node[1]])
        step = _descend(node, path)
        if step is None or step[1] is None:
            return None
        node, path = step[0], step[1]
    return None


def verify_proof(root: bytes, key: bytes, proof: Sequence[bytes]) -> bytes | None:
    """The value at `key` under `root`, or None where the proof shows that there is none.

    Raises:
        EvidenceInvalid: PROOF_NODE_HASH, PROOF_NODE_SHAPE, PROOF_LENGTH; RLP_NOT_CANONICAL.
    """
    if root == EMPTY_TRIE_ROOT:
        # Nodes answer with no proof, or with the one encoding of the empty trie.
        if list(proof) in ([], [EMPTY_TRIE]):
            return None
        raise EvidenceInvalid(Reason.PROOF_LENGTH, "the empty trie has no nodes to prove with")
    remaining = list(proof)
    node: rlp.Item = root
    path = _nibbles(key)
    while True:
        if isinstance(node, bytes):
            node = _named(node, remaining)
        step = _descend(node, path)
        if step is None:
            return _ended(remaining, None)
        below, rest = step
        if rest is None:
            if not isinstance(below, bytes) or below == b"":
                raise EvidenceInvalid(Reason.PROOF_NODE_SHAPE, "a leaf holds no value")
            return _ended(remaining, below)
        if below == b"":
            return _ended(remaining, None)
        node, path = below, rest


def _ended(remaining: list[bytes], value: bytes | None) -> bytes | None:
    if remaining:
        raise EvidenceInvalid(Reason.PROOF_LENGTH, f"{len(remaining)} proof nodes are left over")
    return value


def _named(name: bytes, remaining: list[bytes]) -> rlp.Item:
    """The next proof node, which MUST be the one that `name` names."""
    if len(name) != _HASH:
        raise EvidenceInvalid(Reason.PROOF_NODE_SHAPE, "a reference to a node is not 32 bytes")
    if not remaining:
        raise EvidenceInvalid(Reason.PROOF_LENGTH, "the proof ends above the key")
    encoded = remaining.pop(0)
    if keccak256(encoded) != name:
        raise EvidenceInvalid(Reason.PROOF_NODE_HASH, "a proof node is not the one its parent names")
    return rlp.decode(encoded)


def _descend(node: rlp.Item, path: _Nibbles) -> tuple[rlp.Item, _Nibbles | None] | None:
    """What lies below `node` on `path`, with the rest of the path.

    None: the path leaves the trie here. A rest of None: what lies below is the value at the key.
    """
    if isinstance(node, bytes):
        raise EvidenceInvalid(Reason.PROOF_NODE_SHAPE, "a node must be a list")
    if len(node) == _BRANCH:
        return (node[path[0]], path[1:]) if path else _value_or_nothing(node[16])
    if len(node) != 2 or not isinstance(node[0], bytes) or not node[0]:
        raise EvidenceInvalid(Reason.PROOF_NODE_SHAPE, "a node has 17 items, or a path and a value")
    part, leaf = _expand(node[0])
    if leaf:
        return (node[1], None) if part == path else None
    if not part:
        raise EvidenceInvalid(Reason.PROOF_NODE_SHAPE, "an extension without a path")
    return (node[1], path[len(part) :]) if path[: len(part)] == part else None


def _value_or_nothing(value: rlp.Item) -> tuple[rlp.Item, None] | None:
    return None if value == b"" else (value, None)


def _expand(compact: bytes) -> tuple[_Nibbles, bool]:
    """The partial path and whether it is a leaf's, of a hex-prefix encoding."""
    nibbles = _nibbles(compact)
    flag = nibbles[0]
    if flag > _LEAF_FLAG + _ODD_FLAG or (not flag & _ODD_FLAG and nibbles[1] != 0):
        raise EvidenceInvalid(Reason.PROOF_NODE_SHAPE, "a path with unknown flags")
    return nibbles[1 if flag & _ODD_FLAG else 2 :], bool(flag & _LEAF_FLAG)
