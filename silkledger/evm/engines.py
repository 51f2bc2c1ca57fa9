"""What an engine can do, as data (design section 13). Code asks the profile; it never asks for the engine's
name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from silkledger.evidence.header import EngineKind


class ProofKind(StrEnum):
    """What an evidence file can prove about this engine's blocks."""

    SEALED_HEADERS = "sealed-headers"
    """Receipts and state, under headers that carry commit seals of a quorum."""
    UNSEALED_HEADERS = "unsealed-headers"
    """Receipts and state, under headers that nobody sealed: development only."""
    NONE = "none"


class SendOutcome(StrEnum):
    """What a node's refusal of a transaction means to the sender."""

    KNOWN = "known"
    """The node already has these very bytes."""
    NONCE_USED = "nonce-used"
    """The nonce is consumed, by these bytes or by others: only the chain can say."""
    UNDERPRICED = "underpriced"
    """The price is below the node's floor, or too small a step above the transaction it would replace."""
    FULL = "full"
    """The node's pool is full; the same bytes may be sent again later."""
    REFUSED = "refused"
    """Anything else: the node does not want these bytes, and says why."""


_COMMON_PHRASES: Final[Mapping[str, SendOutcome]] = MappingProxyType(
    {
        "already known": SendOutcome.KNOWN,
        "already imported": SendOutcome.KNOWN,
        "known transaction": SendOutcome.KNOWN,
        "tx already in mempool": SendOutcome.KNOWN,
        "already in mempool": SendOutcome.KNOWN,
        "nonce too low": SendOutcome.NONCE_USED,
        "nonce below": SendOutcome.NONCE_USED,
        "invalid nonce": SendOutcome.NONCE_USED,
        "underpriced": SendOutcome.UNDERPRICED,
        "gas price too low": SendOutcome.UNDERPRICED,
        "gas price below": SendOutcome.UNDERPRICED,
        "max fee per gas less than block base fee": SendOutcome.UNDERPRICED,
        "insufficient fee": SendOutcome.UNDERPRICED,
        "pool is full": SendOutcome.FULL,
        "mempool is full": SendOutcome.FULL,
        "txpool is full": SendOutcome.FULL,
    }
)
"""Fragments of refusal messages, in lower case, first match wins. JSON-RPC has no codes for these."""


@dataclass(frozen=True, slots=True)
class EngineProfile:
    """One engine's capabilities. A plain record: two engines differ by values only."""

    name: str
    """How settings name it."""
    min_gas_price: int
    """Wei. What the lane bids first."""
    transaction_types: frozenset[int]
    """EIP-2718 types the engine takes; 0 is a legacy transaction."""
    finality_depth: int
    """A block is final when this many blocks stand on it. 0: final as soon as it is in a block (BFT engines).
    """
    block_time_s: float
    """Usual time between blocks; sets how often the head is asked for."""
    log_range: int
    """Largest number of blocks fetched in one batch."""
    header_kind: EngineKind
    """How a block hash is made from a header."""
    transactions_root: bool
    """Whether a header's transactions root is that of the transactions the node tells in full; then the
    follower checks it.
    """
    proof_kind: ProofKind
    consensus_api: str | None
    """JSON-RPC namespace that names the validators, where there is one."""
    fee_bump_percent: int | None
    """By how much a replacement must outbid; None where the engine has no fees and nothing can be outbid."""
    resend_after_s: float
    """A transaction not in a block after this long is sent again, the same bytes."""
    state_history_blocks: int
    """For how many blocks behind the head state proofs can be asked for."""
    development_only: bool
    """True: services refuse this engine in production mode."""
    refusals: Mapping[str, SendOutcome]
    """Fragments (lower case) of the node's refusals to what they mean."""

    def outcome_of(self, message: str) -> SendOutcome:
        """What a refusal of `eth_sendRawTransaction` means; unknown words are `REFUSED`."""
        lowered = message.lower()
        for fragment, outcome in self.refusals.items():
            if fragment in lowered:
                return outcome
        return SendOutcome.REFUSED

    def final_number(self, head: int) -> int:
        """The highest final block number when the head is `head`; -1 when there is none yet."""
        return max(head - self.finality_depth, -1)


ANVIL: Final = EngineProfile(
    name="anvil",
    min_gas_price=0,
    transaction_types=frozenset({0, 1, 2}),
    finality_depth=2,
    block_time_s=1.0,
    log_range=100,
    header_kind=EngineKind.NO_SEALS,
    transactions_root=True,
    proof_kind=ProofKind.UNSEALED_HEADERS,
    consensus_api=None,
    fee_bump_percent=None,
    resend_after_s=3.0,
    state_history_blocks=64,
    development_only=True,
    refusals=_COMMON_PHRASES,
)
"""The embedded engine as `silkledger.evm.anvil.EmbeddedChain` runs it: block n+1 is not made before block n
is on disk, so at most the newest block is lost when it is killed; depth 2 also outlives the loss of the
newest dump.
"""

BESU_QBFT: Final = EngineProfile(
    name="besu-qbft",
    min_gas_price=0,
    transaction_types=frozenset({0, 1, 2}),
    finality_depth=0,
    block_time_s=2.0,
    log_range=500,
    header_kind=EngineKind.QBFT,
    transactions_root=True,
    proof_kind=ProofKind.SEALED_HEADERS,
    consensus_api="qbft",
    fee_bump_percent=10,
    resend_after_s=10.0,
    state_history_blocks=512,
    development_only=False,
    refusals=_COMMON_PHRASES,
)
"""Hyperledger Besu with QBFT: a sealed block is final."""

INJECTIVE: Final = EngineProfile(
    name="injective",
    min_gas_price=1,
    transaction_types=frozenset({0, 2}),
    finality_depth=1,
    block_time_s=1.0,
    log_range=100,
    header_kind=EngineKind.NO_SEALS,
    transactions_root=False,
    proof_kind=ProofKind.NONE,
    consensus_api=None,
    fee_bump_percent=10,
    resend_after_s=5.0,
    state_history_blocks=0,
    development_only=True,
    refusals=_COMMON_PHRASES,
)
"""A real BFT network for tests. CometBFT blocks are final, but their state is only committed by the next one.
"""

PROFILES: Final[Mapping[str, EngineProfile]] = MappingProxyType(
    {profile.name: profile for profile in (ANVIL, BESU_QBFT, INJECTIVE)}
)


def profile_named(name: str) -> EngineProfile:
    """The profile that settings name.

    Raises:
        ValueError: no such profile; the message lists those there are.
    """
    profile = PROFILES.get(name)
    if profile is None:
        raise ValueError(f"unknown engine {name!r}; known: {', '.join(sorted(PROFILES))}")
    return profile
