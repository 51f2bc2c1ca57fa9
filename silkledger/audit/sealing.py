"""Commit seals in a replay, the part that needs no order: who made them is recovered in any process.

Whose seals count is followed in the order of blocks (`silkledger.audit.sealing_order`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from silkledger import cbor
from silkledger.evidence.contract_lineage import ContractRules
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import Header
from silkledger.evidence.lineage import ValidatorRules
from silkledger.evidence.qbft import recover_signers
from silkledger.evidence.state import AccountState
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evm.port import AccountProof, FullBlock
from silkledger.evm.validator_contract import ProofSource, account_proofs, may_change, verified_account
from silkledger.values import Address, BlockHash


@dataclass(frozen=True, slots=True)
class Sealing:
    """By which rules seals are verified. Plain values, for any process."""

    rules: ValidatorRules | ContractRules
    pins: Mapping[int, BlockHash]

    @classmethod
    def under(cls, roots: TrustRoots | None) -> Sealing | None:
        """None: the engine has no seals, or nobody says whose count."""
        if roots is None or roots.rules is None:
            return None
        rules = roots.rules
        if isinstance(rules, ValidatorRules):
            rules = ValidatorRules(rules.epoch_length, dict(rules.transitions))
        return cls(rules, dict(roots.pinned_blocks))

    @property
    def start(self) -> int:
        """The block from which on seals are verified: genesis; in contract mode the newest pinned block,
        which vouches for all before it by its hash, so that no state of theirs is needed.
        """
        return max(self.pins, default=0) if isinstance(self.rules, ContractRules) else 0

    def encode(self) -> bytes:
        """The same bytes for the same rules."""
        pins = [[number, bytes(pin)] for number, pin in sorted(self.pins.items())]
        rules = self.rules
        if isinstance(rules, ContractRules):
            slot = rules.slot.to_bytes(32, "big")
            return cbor.encode(["contract", bytes(rules.address), rules.code_hash, slot, pins])
        transitions = [
            [block, [bytes(member) for member in members]]
            for block, members in sorted(rules.transitions.items())
        ]
        return cbor.encode(["headers", rules.epoch_length, transitions, pins])


@dataclass(frozen=True, slots=True)
class SealedBlock:
    """One block's header with what was found out about its seals without knowing the validators."""

    header: Header
    told_by: str
    """Which of several nodes gave it."""
    signers: tuple[Address, ...] | None
    """Who made each seal; None: one of them is malformed, or none was looked at."""
    account: AccountState | None
    """Contract mode: the validators' contract at the end of the block, proven; None: as after the parent."""


async def contract_proofs(
    node: ProofSource, sealing: Sealing | None, blocks: Sequence[FullBlock]
) -> dict[int, AccountProof]:
    """In contract mode the proofs that `sealed_blocks` needs, not verified.

    Raises:
        NodeUnavailable, NodeLied.
    """
    if sealing is None or not isinstance(sealing.rules, ContractRules):
        return {}
    numbers = [b.header.number for b in blocks if b.header.number > sealing.start and may_change(b.header)]
    found: dict[int, AccountProof] = {}
    for number, proof in (await account_proofs(node, sealing.rules, numbers)).items():
        if isinstance(proof, Exception):
            raise proof
        found[number] = proof
    return found


def sealed_blocks(
    sealing: Sealing | None, blocks: Sequence[FullBlock], proofs: Mapping[int, AccountProof]
) -> list[SealedBlock]:
    """Pure. Not a verification that the blocks are sealed.

    Raises:
        SealsRefused: a proof of the validators' contract does not hold.
    """
    if sealing is None:
        return []
    return [_sealed_block(sealing, block, proofs.get(block.header.number)) for block in blocks]


def _sealed_block(sealing: Sealing, block: FullBlock, proof: AccountProof | None) -> SealedBlock:
    header, account = block.header, None
    if header.number <= sealing.start:
        return SealedBlock(header, block.told_by, None, None)
    if proof is not None and isinstance(sealing.rules, ContractRules):
        account = verified_account(header, proof, sealing.rules)
    try:
        signers = recover_signers(header)
    except EvidenceInvalid:  # told, with its reason, when the block's turn comes
        return SealedBlock(header, block.told_by, None, account)
    return SealedBlock(header, block.told_by, signers, account)
