"""Block headers: raw RLP, decoded strictly, with the block hash as the engine defines it.

The raw bytes are the evidence: keep them as first seen. On QBFT the block hash covers neither the round
nor the commit seals, so two nodes may hold different raw headers of one block (silkledger.evidence.qbft).
Sources: Ethereum yellow paper 4.3; EIP-1559, EIP-4895, EIP-4844, EIP-4788, EIP-7685 for the later fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from silkledger.evidence import rlp, rpc
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.keccak import keccak256
from silkledger.evidence.qbft_extra import ExtraData, decode_extra_data
from silkledger.evidence.reasons import Reason
from silkledger.values import Address, BlockHash, BlockRef


class EngineKind(StrEnum):
    """What proves a block on this engine, and thereby how its hash is made."""

    NO_SEALS = "no-seals"
    """Block hash = keccak of the header. Nothing in a header proves that the network agreed on it."""
    QBFT = "qbft"
    """Commit seals in extraData; block hash over the header with round 0 and without seals."""


# Field names are those of JSON-RPC. Value: bytes if fixed, None for an integer, 0 for any length.
_REQUIRED: Final[tuple[tuple[str, int | None], ...]] = (
    ("parentHash", 32),
    ("sha3Uncles", 32),
    ("miner", 20),
    ("stateRoot", 32),
    ("transactionsRoot", 32),
    ("receiptsRoot", 32),
    ("logsBloom", 256),
    ("difficulty", None),
    ("number", None),
    ("gasLimit", None),
    ("gasUsed", None),
    ("timestamp", None),
    ("extraData", 0),
    ("mixHash", 32),
    ("nonce", 8),
)
_OPTIONAL: Final[tuple[tuple[str, int | None], ...]] = (
    ("baseFeePerGas", None),
    ("withdrawalsRoot", 32),
    ("blobGasUsed", None),
    ("excessBlobGas", None),
    ("parentBeaconBlockRoot", 32),
    ("requestsHash", 32),
)
"""Fields that later forks appended, in their order. A header has a prefix of them."""
_FIELDS: Final = _REQUIRED + _OPTIONAL
EXTRA_DATA_FIELD: Final = 12
"""Index of extraData in the header's list."""
_MAX_U64: Final = 2**64 - 1
_PROVEN_ITEMS: Final = 3
"""Items of a header with the proof of the validators at its end."""


@dataclass(frozen=True, slots=True)
class ValidatorsProof:
    """Trie nodes that show, under a header's state root, the validators that a contract holds (QBFT contract
    mode). A claim until `silkledger.evidence.contract_lineage` verified it.
    """

    account: tuple[bytes, ...]
    slots: tuple[tuple[bytes, ...], ...]
    """Of the array's length, then of each item."""


@dataclass(frozen=True, slots=True)
class Header:
    """One block header. `raw` is the RLP; every other field but the last was read from it.

    Guarantees that `hash` is the engine's block hash of `raw`. This is not a verification that the
    network agreed on the block.
    """

    raw: bytes
    kind: EngineKind
    hash: BlockHash
    parent_hash: BlockHash
    ommers_hash: bytes
    coinbase: Address
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    logs_bloom: bytes
    difficulty: int
    number: int
    gas_limit: int
    gas_used: int
    timestamp: int
    """Unix time, seconds."""
    extra_data: bytes
    mix_hash: bytes
    nonce: bytes
    base_fee_per_gas: int | None
    """Wei; None before EIP-1559."""
    extra: ExtraData | None
    """The decoded extraData on QBFT, else None."""
    seal_digest: bytes
    """What a commit seal of this header signs on QBFT, else empty."""
    validators_proof: ValidatorsProof | None = None
    """What stood beside the header in evidence of QBFT contract mode."""

    @property
    def entry(self) -> bytes:
        """As it stands in evidence: the RLP, in contract mode with the proof of the validators beside it."""
        return self.raw if self.validators_proof is None else encode_proven(self, self.validators_proof)

    @property
    def ref(self) -> BlockRef:
        return BlockRef(self.number, self.hash, self.timestamp)


def decode_header(raw: bytes, kind: EngineKind) -> Header:
    """The header whose RLP is `raw`; on QBFT also `[header, account proof, slot proofs]`, as evidence of
    contract mode has it (docs/formats/evidence.md).

    Raises:
        EvidenceInvalid: RLP_NOT_CANONICAL, HEADER_FIELDS, and on QBFT the codes of extraData.
    """
    items = rlp.decode_list(raw, "header")
    if kind is EngineKind.QBFT and len(items) == _PROVEN_ITEMS and isinstance(items[0], list):
        header = decode_header(rlp.encode(items[0]), kind)
        return replace(header, validators_proof=_proof(items[1], items[2]))
    if not len(_REQUIRED) <= len(items) <= len(_FIELDS):
        raise EvidenceInvalid(Reason.HEADER_FIELDS, f"a header has no {len(items)} fields")
    values = [_field(item, name, size) for item, (name, size) in zip(items, _FIELDS, strict=False)]
    numbers = [value for value in values if isinstance(value, int)]
    octets = [value for value in values if isinstance(value, bytes)]
    if max(numbers[1:5]) > _MAX_U64:
        raise EvidenceInvalid(Reason.HEADER_FIELDS, "a counter exceeds 64 bits")
    if kind is EngineKind.NO_SEALS:
        return _header(raw, kind, numbers, octets, keccak256(raw), None, b"")
    extra = decode_extra_data(octets[7])
    seal_digest = keccak256(with_extra_data(raw, items, extra.without_seals()))
    if numbers[1] == 0:
        hash_ = keccak256(raw)  # QBFT does not rewrite the genesis header.
    elif extra.round == 0:
        hash_ = seal_digest
    else:
        hash_ = keccak256(with_extra_data(raw, items, extra.for_block_hash()))
    return _header(raw, kind, numbers, octets, hash_, extra, seal_digest)


def _proof(account: rlp.Item, slots: rlp.Item) -> ValidatorsProof:
    return ValidatorsProof(_nodes(account), tuple(_nodes(slot) for slot in rlp.as_list(slots, "slot proofs")))


def _nodes(item: rlp.Item) -> tuple[bytes, ...]:
    return tuple(rlp.as_bytes(node, "trie node") for node in rlp.as_list(item, "proof"))


def encode_proven(header: Header, proof: ValidatorsProof) -> bytes:
    """`header` with the proof of the validators at its end, as evidence of contract mode has it."""
    items: list[rlp.Encodable] = [rlp.decode(header.raw), proof.account, proof.slots]
    return rlp.encode(items)


def stripped(header: Header) -> Header:
    """A QBFT `header` in the form that its hash covers: round 0, no seals. Genesis is in no other."""
    if header.extra is None or header.number == 0:
        return header
    items = rlp.decode_list(header.raw, "header")
    bare = decode_header(with_extra_data(header.raw, items, header.extra.for_block_hash()), header.kind)
    return replace(bare, validators_proof=header.validators_proof)


def _header(
    raw: bytes,
    kind: EngineKind,
    numbers: Sequence[int],
    octets: Sequence[bytes],
    hash_: bytes,
    extra: ExtraData | None,
    seal_digest: bytes,
) -> Header:
    """The header of these fields: integers and byte strings, each in the order of `_FIELDS`."""
    difficulty, number, gas_limit, gas_used, timestamp, *later = numbers
    parent, ommers, miner, state, transactions, receipts, bloom, extra_data, mix_hash, nonce, *_ = octets
    return Header(
        raw=raw,
        kind=kind,
        hash=BlockHash(hash_),
        parent_hash=BlockHash(parent),
        ommers_hash=ommers,
        coinbase=Address(miner),
        state_root=state,
        transactions_root=transactions,
        receipts_root=receipts,
        logs_bloom=bloom,
        difficulty=difficulty,
        number=number,
        gas_limit=gas_limit,
        gas_used=gas_used,
        timestamp=timestamp,
        extra_data=extra_data,
        mix_hash=mix_hash,
        nonce=nonce,
        base_fee_per_gas=later[0] if later else None,
        extra=extra,
        seal_digest=seal_digest,
    )


def _field(item: rlp.Item, name: str, size: int | None) -> int | bytes:
    if size is None:
        return rlp.as_int(item, name)
    if not isinstance(item, bytes) or (size and len(item) != size):
        raise EvidenceInvalid(Reason.HEADER_FIELDS, f"{name} must be {size or 'some'} bytes")
    return item


def with_extra_data(raw: bytes, items: Sequence[rlp.Item], extra_data: bytes) -> bytes:
    """The header `raw`, whose items are `items`, with only its extraData replaced; all else verbatim."""
    after = b"".join([rlp.encode(item) for item in items[EXTRA_DATA_FIELD + 1 :]])
    end = len(raw) - len(after) - len(rlp.encode(items[EXTRA_DATA_FIELD]))
    return rlp.encode_payload(raw[rlp.payload_start(raw) : end] + rlp.encode(extra_data) + after)


def header_from_rpc(block: Mapping[str, object], kind: EngineKind = EngineKind.NO_SEALS) -> Header:
    """The header of a block as `eth_getBlockBy…` returned it, with its RLP rebuilt.

    Guarantees that the rebuilt header has the hash that the node reported, so no field was left out or
    altered. Fields of later forks are taken as far as the node reports them.

    Raises:
        EvidenceInvalid: RPC_FIELD for a malformed answer, HEADER_HASH if the rebuilt header has another
            hash (a field we do not know of, or a node that lies), and what `decode_header` raises.
    """
    items: list[bytes] = [_rpc_field(block, name, size) for name, size in _REQUIRED]
    for name, size in _OPTIONAL:
        if block.get(name) is None:
            break
        items.append(_rpc_field(block, name, size))
    header = decode_header(rlp.encode(items), kind)
    reported = rpc.data(block, "hash", 32)
    if header.hash != BlockHash(reported):
        raise EvidenceInvalid(
            Reason.HEADER_HASH,
            f"block {header.number}: its fields hash to {header.hash}, not 0x{reported.hex()}",
        )
    return header


def _rpc_field(block: Mapping[str, object], name: str, size: int | None) -> bytes:
    if size is None:
        return rlp.encode_int(rpc.quantity(block, name))
    return rpc.data(block, name, size or None)
