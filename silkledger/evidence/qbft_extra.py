"""The extraData field of a QBFT header, decoded strictly, and the two ways it is rewritten for hashing.

`extraData = RLP[vanity(32), [validator addresses], vote, round, [seals(65)]]`.
Source: EEA QBFT specification 1.0, section "Extra data"; Besu's `QbftExtraDataCodec`. Besu itself
decodes more leniently: this decoder accepts only what a correct validator emits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

from silkledger.evidence import rlp
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.reasons import Reason
from silkledger.values import Address

SEAL_SIZE: Final = 65
"""Bytes of a commit seal: r (32) ‖ s (32) ‖ recovery id (1, 0 or 1)."""

_VANITY_SIZE: Final = 32
_ITEMS: Final = 5
_ADD: Final = b"\xff"
"""Vote byte for adding a validator."""
_DROP: Final = b""
"""Vote for dropping one: the integer zero, which RLP writes as the empty string."""
_VALIDATOR_PREFIX: Final = b"\x94"
"""RLP prefix of a 20-byte string."""
_SEAL_PREFIX: Final = b"\xb8\x41"
"""RLP prefix of a 65-byte string."""
_MAX_ROUND_BYTES: Final = 4
"""A round is a 32-bit integer in Besu."""


@dataclass(frozen=True, slots=True)
class Vote:
    """The proposer's vote on one validator."""

    subject: Address
    add: bool


@dataclass(frozen=True, slots=True)
class ExtraData:
    """extraData of one header. Nothing in here is verified but its form."""

    vanity: bytes
    validators: tuple[Address, ...]
    vote: Vote | None
    round: int
    seals: tuple[bytes, ...]

    def encode(self) -> bytes:
        """As it stands in the header."""
        return self._encode(self.round, self.seals)

    def without_seals(self) -> bytes:
        """As the commit seals sign it: with the round, without seals."""
        return self._encode(self.round, ())

    def for_block_hash(self) -> bytes:
        """As the block hash covers it: round 0, without seals."""
        return self._encode(0, ())

    def _encode(self, round_: int, seals: tuple[bytes, ...]) -> bytes:
        vote = [] if self.vote is None else [bytes(self.vote.subject), _ADD if self.vote.add else _DROP]
        return rlp.encode_payload(
            rlp.encode(self.vanity)
            + rlp.encode_payload(_VALIDATOR_PREFIX.join((b"", *self.validators)))
            + rlp.encode(vote)
            + rlp.encode(rlp.encode_int(round_))
            + rlp.encode_payload(_SEAL_PREFIX.join((b"", *seals)))
        )


def decode_extra_data(data: bytes) -> ExtraData:
    """The five items of extraData, of which `data` MUST be the only encoding.

    Raises:
        EvidenceInvalid: RLP_NOT_CANONICAL, QBFT_EXTRA_ITEMS, QBFT_VANITY, QBFT_VALIDATORS_ORDER,
            QBFT_VOTE, QBFT_EXTRA_SHAPE.
    """
    items = rlp.decode_list(data, "extraData")
    if len(items) != _ITEMS:
        raise EvidenceInvalid(Reason.QBFT_EXTRA_ITEMS, f"extraData has {len(items)} items instead of 5")
    vanity, validators, vote, round_, seals = items
    if not isinstance(vanity, bytes) or len(vanity) != _VANITY_SIZE:
        raise EvidenceInvalid(Reason.QBFT_VANITY, "vanity must be exactly 32 bytes")
    result = ExtraData(
        vanity=vanity,
        validators=_validators(validators),
        vote=_vote(vote),
        round=rlp.as_int(round_, "round", _MAX_ROUND_BYTES),
        seals=_seals(seals),
    )
    # The checks above leave no second encoding; this holds it should one of them ever change.
    if result.encode() != data:
        raise EvidenceInvalid(Reason.RLP_NOT_CANONICAL, "extraData does not re-encode to the same bytes")
    return result


def _validators(item: rlp.Item) -> tuple[Address, ...]:
    if not isinstance(item, list) or not all(isinstance(v, bytes) for v in item):
        raise EvidenceInvalid(Reason.QBFT_EXTRA_SHAPE, "validators must be a list of addresses")
    return _checked_validators(tuple(v for v in item if isinstance(v, bytes)))


@lru_cache(maxsize=64)
def _checked_validators(listed: tuple[bytes, ...]) -> tuple[Address, ...]:
    """Cached, since most headers of a chain name the same set."""
    if any(len(v) != Address.SIZE for v in listed):
        raise EvidenceInvalid(Reason.QBFT_EXTRA_SHAPE, "validators must be a list of addresses")
    if any(a >= b for a, b in pairwise(listed)):
        raise EvidenceInvalid(Reason.QBFT_VALIDATORS_ORDER, "validators must be sorted and unique")
    return tuple(Address(v) for v in listed)


def _vote(item: rlp.Item) -> Vote | None:
    if item == []:
        return None
    if isinstance(item, list) and len(item) == 2:
        subject, direction = item
        if isinstance(subject, bytes) and len(subject) == Address.SIZE and direction in (_ADD, _DROP):
            return Vote(Address(subject), add=direction == _ADD)
    raise EvidenceInvalid(Reason.QBFT_VOTE, "a vote is empty, or an address with 0xff or the empty string")


def _seals(item: rlp.Item) -> tuple[bytes, ...]:
    seals = tuple(s for s in item if isinstance(s, bytes) and len(s) == SEAL_SIZE)
    if not isinstance(item, list) or len(seals) != len(item):
        raise EvidenceInvalid(Reason.QBFT_EXTRA_SHAPE, "seals must be a list of 65-byte strings")
    return seals
