"""Which headers of a bundle are part of the ledger, and what vouches for that.

A header is trusted if its hash is pinned, if it is the parent of a trusted one, or, on an engine with seals,
if the validators' lineage from a pinned block reaches it. Every header must be trusted: what nothing vouches
for has no place in a bundle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from silkledger.evidence import contract_lineage, lineage
from silkledger.evidence.contract_lineage import ContractRules
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import Header
from silkledger.evidence.lineage import ValidatorRules
from silkledger.evidence.qbft import extra_data_of, verify_seals
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evidence.verdict import Assurance

REPLAYED: Final = "replay of every header"
_SKIPS: Final = "skips, each sealed by more than a third of the validators trusted before"
_ASSUMED: Final = "Of every validator set on the way, fewer than a third are faulty, retired keys included."


@dataclass(frozen=True, slots=True)
class HeaderTrust:
    """What vouches for the headers."""

    assurance: Assurance
    assumptions: tuple[str, ...]


def sealed_assumptions(rules: ValidatorRules | ContractRules, start: int, how: str) -> tuple[str, ...]:
    """What is trusted without proof where seals were followed from block `start`, in sentences."""
    if isinstance(rules, ValidatorRules):
        told = "Validators were read from the headers (header mode)"
        return (f"{told} and followed from pinned block {start} by {how}.", _ASSUMED)
    return (
        f"Validators were read from the contract {rules.address} (contract mode) and followed from "
        f"pinned block {start} by {how}.",
        f"The code with hash 0x{rules.code_hash.hex()} answers getValidators with the array at storage "
        f"slot {rules.slot}.",
        _ASSUMED,
    )


def trust_headers(headers: Sequence[Header], roots: TrustRoots) -> HeaderTrust:
    """Establish that all `headers` are on the ledger.

    Steps: (1) they ascend, and adjacent ones link; (2) none contradicts a pinned hash; (3) on an engine with
    seals, those after the first pinned one are sealed along the lineage; (4) the rest is pinned, or reached
    by parent hashes from a trusted one.

    Raises:
        EvidenceInvalid: HEADER_ORDER, HEADER_PARENT, BLOCK_PIN_MISMATCH, BLOCK_NOT_PINNED,
            LINEAGE_NO_START, HEADER_FIELDS, and what `silkledger.evidence.lineage` and `contract_lineage`
            raise.
    """
    _check_links(headers)  # (1)
    pinned = [index for index, header in enumerate(headers) if _is_pinned(header, roots)]  # (2)
    if isinstance(roots.rules, ContractRules):
        return _trust_by_contract(headers, pinned, roots.rules)  # (3)
    if any(header.validators_proof is not None for header in headers):
        raise EvidenceInvalid(Reason.HEADER_FIELDS, "a proof of validators outside of contract mode")
    if roots.rules is not None:
        return _trust_sealed(headers, pinned, roots.rules)  # (3)
    _check_reached(headers, set(pinned), Reason.BLOCK_NOT_PINNED)  # (4)
    return HeaderTrust(
        Assurance.ENGINE_WITHOUT_SEALS,
        (
            "The engine has no commit seals: that the blocks are the network's rests only on the pinned "
            f"hashes of {_blocks(headers, pinned)}.",
        ),
    )


def _blocks(headers: Sequence[Header], indexes: Sequence[int]) -> str:
    numbers = ", ".join(str(headers[index].number) for index in indexes)
    return f"block {numbers}" if len(indexes) == 1 else f"blocks {numbers}"


def _check_links(headers: Sequence[Header]) -> None:
    for one, other in pairwise(headers):
        if other.number <= one.number:
            raise EvidenceInvalid(Reason.HEADER_ORDER, f"block {other.number} stands after {one.number}")
        if other.number == one.number + 1:
            lineage.check_child(one, other)


def _is_pinned(header: Header, roots: TrustRoots) -> bool:
    pin = roots.pin_of(header.number)
    if pin is not None and pin != header.hash:
        raise EvidenceInvalid(
            Reason.BLOCK_PIN_MISMATCH, f"block {header.number} is {header.hash}, but {pin} is pinned"
        )
    return pin is not None


def _check_reached(headers: Sequence[Header], trusted: set[int], otherwise: Reason) -> None:
    for index in reversed(range(len(headers))):
        parent_of_next = index + 1 < len(headers) and headers[index + 1].number == headers[index].number + 1
        if index not in trusted and not parent_of_next:
            raise EvidenceInvalid(otherwise, f"nothing pinned vouches for block {headers[index].number}")


def _trust_by_contract(headers: Sequence[Header], pinned: Sequence[int], rules: ContractRules) -> HeaderTrust:
    followed = contract_lineage.follow(headers, pinned, rules)
    _check_reached(headers, set(followed.trusted), Reason.LINEAGE_NO_START)
    start = headers[followed.start].number
    how = REPLAYED if followed.replayed else _SKIPS
    return HeaderTrust(Assurance.SEALED_BY_QUORUM, sealed_assumptions(rules, start, how))


def _trust_sealed(headers: Sequence[Header], pinned: Sequence[int], rules: ValidatorRules) -> HeaderTrust:
    if not pinned:
        raise EvidenceInvalid(Reason.LINEAGE_NO_START, "no header of the bundle is pinned")
    start = pinned[0]
    followed = headers[start:]
    contiguous = all(b.number == a.number + 1 for a, b in pairwise(followed))
    if contiguous and rules.is_epoch(followed[0].number):
        lineage.replay(followed, rules)
        mode = REPLAYED
    else:
        trusted = frozenset(extra_data_of(followed[0]).validators)
        for header in followed[1:]:
            trusted = lineage.skip(trusted, header)
        mode = _SKIPS
    _check_reached(headers, set(range(start, len(headers))), Reason.LINEAGE_NO_START)
    for header in headers[: start + 1]:
        # Reached by hash, which does not cover seals and round. Nothing in a bundle goes unverified.
        if header.number:
            verify_seals(header, extra_data_of(header).validators)
    return HeaderTrust(Assurance.SEALED_BY_QUORUM, sealed_assumptions(rules, followed[0].number, mode))
