"""Builds QBFT headers and seals them, independently of the code under test where that matters.

The header is assembled with the `rlp` library, so that an error in our own RLP does not cancel out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import rlp

from silkledger.evidence.header import EngineKind, Header, decode_header
from silkledger.values import Address
from tests.support.qbft_chain import MIX_HASH, Validator, keccak, validators

__all__ = ["Draft", "Validator", "addresses", "validators"]

OMMERS = bytes.fromhex("1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347")


@dataclass
class Draft:
    """A header before sealing. Change any field to make an adversarial one."""

    number: int
    members: Sequence[Validator]
    parent: bytes = bytes(32)
    proposer: Address | None = None
    vanity: bytes = bytes(32)
    vote: list[bytes] = field(default_factory=list)
    round: int = 0
    difficulty: int = 1
    mix_hash: bytes = MIX_HASH
    listed: list[bytes] | None = None
    extra_items: list[bytes] = field(default_factory=list)
    base_fee: int | None = 0
    timestamp: int = 1_700_000_000
    state_root: bytes = bytes(32)
    receipts_root: bytes = bytes(32)
    logs_bloom: bytes = bytes(256)
    gas_used: int = 0

    def extra(self, round_: int, seals: Sequence[bytes]) -> bytes:
        listed = self.listed if self.listed is not None else [bytes(v.address) for v in self.members]
        items = [self.vanity, listed, self.vote, rlp.sedes.big_endian_int.serialize(round_), list(seals)]
        return bytes(rlp.encode([*items, *self.extra_items]))

    def raw(self, extra: bytes) -> bytes:
        big = rlp.sedes.big_endian_int.serialize
        proposer = self.proposer if self.proposer is not None else self.members[0].address
        items = [
            self.parent,
            OMMERS,
            bytes(proposer),
            self.state_root,
            bytes(32),
            self.receipts_root,
            self.logs_bloom,
        ]
        items += [
            big(self.difficulty),
            big(self.number),
            big(30_000_000),
            big(self.gas_used),
            big(self.timestamp + self.number),
        ]
        items += [extra, self.mix_hash, bytes(8)]
        if self.base_fee is not None:
            items.append(big(self.base_fee))
        return bytes(rlp.encode(items))

    def digest(self, round_: int | None = None) -> bytes:
        """What a seal over `round_` signs."""
        return keccak(self.raw(self.extra(self.round if round_ is None else round_, [])))

    def hash(self) -> bytes:
        return keccak(self.raw(self.extra(0, [])))

    def with_seals(self, seals: Sequence[bytes]) -> Header:
        return decode_header(self.raw(self.extra(self.round, seals)), EngineKind.QBFT)

    def sealed(self, sealers: Sequence[Validator] | None = None) -> Header:
        chosen = self.members if sealers is None else sealers
        return self.with_seals([validator.seal(self.digest()) for validator in chosen])


def addresses(members: Sequence[Validator]) -> tuple[Address, ...]:
    return tuple(validator.address for validator in members)
