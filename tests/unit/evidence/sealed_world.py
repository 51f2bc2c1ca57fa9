"""The small ledger of `world.py` under commit seals: its blocks sealed by the QBFT test chain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256

import rlp

from silkledger.evidence.bundle import Bundle
from silkledger.evidence.header import EngineKind
from silkledger.evidence.lineage import ValidatorRules
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evidence.verdict import Verdict
from silkledger.evidence.verify import verify_bundle
from silkledger.values import Digest
from tests.support.qbft_chain import QbftChain, Turn, Validator, validators
from tests.unit.evidence.world import DOCUMENT, World

FOUR = validators(4)
EPOCH = 10
REGISTRATION, AS_OF = 20, 24

Items = list[object]
"""A header's list, as `rlp` decodes it."""


@dataclass
class SealedWorld:
    """Change `world` or `turns`, or edit parts of the result, and ask for the verdict."""

    world: World = field(default_factory=lambda: World(first_header=0))
    turns: Mapping[int, Turn] = field(default_factory=dict)
    members: Sequence[Validator] = field(default_factory=lambda: FOUR)
    replay: bool = True
    """Put in every header, not only those that skipping needs."""
    counted_epoch: int = EPOCH
    """By which the validators count votes; the verifier's trust roots always say EPOCH."""
    reseal: Callable[[int, Items], None] | None = None
    """Alters a block before it is sealed."""

    @cached_property
    def chain(self) -> QbftChain:
        """Made at first use: change the world before."""
        raw = [self._altered(header.number, header.raw) for header in self.world.headers()]
        return QbftChain(raw, self.members, epoch_length=self.counted_epoch, turns=self.turns)

    def _altered(self, number: int, raw: bytes) -> bytes:
        items: Items = rlp.decode(raw)
        if self.reseal is not None:
            self.reseal(number, items)
        encoded: bytes = rlp.encode(items)
        return encoded

    def bundle(self) -> Bundle:
        bundle, headers = self.world.evidence(), self.chain.headers
        network = replace(bundle.network, genesis_hash=headers[0].hash)
        needed = {0, REGISTRATION - 1, REGISTRATION, AS_OF}
        raw = tuple(header.raw for header in headers if self.replay or header.number in needed)
        return replace(bundle, headers=raw, network=network)

    def roots(self) -> TrustRoots:
        return replace(
            self.world.roots([]),
            engine=EngineKind.QBFT,
            rules=ValidatorRules(EPOCH),
            genesis_hash=self.chain.headers[0].hash,
        )

    def verify(
        self, bundle: Bundle | None = None, as_of: int | None = None, roots: TrustRoots | None = None
    ) -> Verdict:
        data = (self.bundle() if bundle is None else bundle).encode()
        return verify_bundle(Digest(sha256(DOCUMENT).digest()), data, roots or self.roots(), as_of=as_of)
