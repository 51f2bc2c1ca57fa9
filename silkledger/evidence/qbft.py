"""QBFT commit seals: what they sign, whose they are, and when they are enough.

A seal signs the keccak of the whole header in which only extraData is rewritten: same round, no seals. The
block hash is made with round 0 as well, so a parent hash commits to neither seals nor round.
Sources: EEA QBFT specification 1.0; Besu `BftBlockHashing`, `QbftHelpers`. The quorum is ceil(2N/3), which
is more than the 2f+1 that some public verifiers accept at N = 3, 5, 6, 8, 9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import coincurve

from silkledger.evidence import rlp
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import EngineKind, Header, with_extra_data
from silkledger.evidence.keccak import keccak256
from silkledger.evidence.qbft_extra import ExtraData, decode_extra_data
from silkledger.evidence.reasons import Reason
from silkledger.values import Address

MIX_HASH: Final = bytes.fromhex("63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365")
"""mixHash of every QBFT block: part of the text "Practical byzantine fault tolerance"."""
OMMERS_HASH: Final = keccak256(rlp.encode([]))
_DIFFICULTY: Final = 1
_NONCE: Final = bytes(8)
_ROUNDS_TRIED: Final = 16
"""How many other rounds are tried to explain a seal that is no validator's. For the explanation only."""


def quorum(validators: int) -> int:
    """How many distinct validators must have sealed: ceil(2N/3)."""
    return -(-2 * validators // 3)


def extra_data_of(header: Header) -> ExtraData:
    """The decoded extraData of a QBFT header. Raises: what `decode_extra_data` raises."""
    return decode_extra_data(header.extra_data) if header.extra is None else header.extra


def seal_digest(header: Header, round_: int | None = None) -> bytes:
    """The 32 bytes that a commit seal of `header` signs; `round_` replaces the header's own round."""
    extra = extra_data_of(header)
    if header.seal_digest and round_ in (None, extra.round):
        return header.seal_digest
    rewritten = replace(extra, round=extra.round if round_ is None else round_).without_seals()
    return keccak256(with_extra_data(header.raw, rlp.decode_list(header.raw, "header"), rewritten))


def verify_seals(
    header: Header, validators: Sequence[Address], signers: Sequence[Address] | None = None
) -> frozenset[Address]:
    """Verify that a quorum of `validators` sealed `header`; the answer is who did.

    Steps: (1) the fields that QBFT fixes have their values; (2) the header names exactly `validators`;
    (3) the proposer is one of them; (4) every seal is by one of them, and no two by the same; (5) there
    are at least ceil(2N/3) seals.

    This is not a verification that `validators` is the right set for this height (that is
    silkledger.evidence.lineage), nor of the parent. `signers` is what `recover_signers` said of `header`,
    where that was asked already.

    Raises:
        EvidenceInvalid: QBFT_FIXED_FIELD, QBFT_VALIDATORS, QBFT_PROPOSER, SEAL_MALFORMED, SEAL_OTHER_ROUND,
            SEAL_NOT_VALIDATOR, SEAL_DUPLICATE, SEAL_QUORUM, and what `decode_extra_data` raises.
    """
    members = frozenset(validators)
    _check_fixed_fields(header)  # (1)
    if extra_data_of(header).validators != tuple(sorted(members)):  # (2)
        raise EvidenceInvalid(Reason.QBFT_VALIDATORS, f"block {header.number} names another validator set")
    return _sealed_by(header, members, signers)


def verify_contract_seals(
    header: Header, members: frozenset[Address], signers: Sequence[Address] | None = None
) -> frozenset[Address]:
    """As `verify_seals`, in contract mode: the header names no validators and carries no vote; who they are
    was proven elsewhere. Source: Besu `QbftValidatorsValidationRule`.

    Raises:
        EvidenceInvalid: QBFT_NOT_EMPTY instead of QBFT_VALIDATORS, else as `verify_seals`.
    """
    _check_fixed_fields(header)
    extra = extra_data_of(header)
    if extra.validators or extra.vote is not None:
        raise EvidenceInvalid(
            Reason.QBFT_NOT_EMPTY, f"block {header.number} names validators or a vote in contract mode"
        )
    return _sealed_by(header, members, signers)


def recover_signers(header: Header) -> tuple[Address, ...]:
    """Who made each commit seal of `header`, in their order. Anybody can seal: this verifies nothing.

    Raises:
        EvidenceInvalid: SEAL_MALFORMED, and what `decode_extra_data` raises.
    """
    digest = seal_digest(header)
    return tuple(_recover(digest, seal) for seal in extra_data_of(header).seals)


def _sealed_by(
    header: Header, members: frozenset[Address], recovered: Sequence[Address] | None
) -> frozenset[Address]:
    """Steps (3) to (5) of `verify_seals`."""
    extra = extra_data_of(header)
    if header.coinbase not in members:  # (3)
        raise EvidenceInvalid(
            Reason.QBFT_PROPOSER, f"proposer {header.coinbase} of block {header.number} is no validator"
        )
    digest = seal_digest(header)
    signers: set[Address] = set()
    for index, seal in enumerate(extra.seals):  # (4)
        signer = _recover(digest, seal) if recovered is None else recovered[index]
        if signer not in members:
            raise _explain_stranger(header, seal, signer, members)
        if signer in signers:
            raise EvidenceInvalid(Reason.SEAL_DUPLICATE, f"{signer} sealed block {header.number} twice")
        signers.add(signer)
    if len(signers) < quorum(len(members)):  # (5)
        raise EvidenceInvalid(
            Reason.SEAL_QUORUM,
            f"block {header.number} has {len(signers)} seals of {quorum(len(members))} that are needed",
        )
    return frozenset(signers)


def _check_fixed_fields(header: Header) -> None:
    fixed = {
        "difficulty": header.difficulty == _DIFFICULTY,
        "mixHash": header.mix_hash == MIX_HASH,
        "ommers": header.ommers_hash == OMMERS_HASH,
        "nonce": header.nonce == _NONCE,
    }
    wrong = [name for name, holds in fixed.items() if not holds]
    if header.kind is not EngineKind.QBFT or wrong:
        names = ", ".join(wrong) or "kind"
        raise EvidenceInvalid(Reason.QBFT_FIXED_FIELD, f"block {header.number} is no QBFT block: {names}")


def _recover(digest: bytes, seal: bytes) -> Address:
    """Who made `seal` over `digest`. Any well-formed seal is somebody's."""
    if seal[64] > 1:
        raise EvidenceInvalid(Reason.SEAL_MALFORMED, "the recovery id of a seal is 0 or 1")
    try:
        key = coincurve.PublicKey.from_signature_and_message(seal, digest, hasher=None)
    except ValueError as error:
        raise EvidenceInvalid(Reason.SEAL_MALFORMED, "a seal is no secp256k1 signature") from error
    return Address(keccak256(key.format(compressed=False)[1:])[12:])


def _explain_stranger(
    header: Header, seal: bytes, signer: Address, members: frozenset[Address]
) -> EvidenceInvalid:
    """A seal over another round recovers to a random address: say so where that is what happened."""
    for round_ in range(_ROUNDS_TRIED):
        try:
            other = _recover(seal_digest(header, round_), seal)
        except EvidenceInvalid:
            continue
        if other in members:
            return EvidenceInvalid(
                Reason.SEAL_OTHER_ROUND, f"{other} sealed round {round_} of block {header.number}"
            )
    return EvidenceInvalid(
        Reason.SEAL_NOT_VALIDATOR, f"{signer}, which sealed block {header.number}, is no validator"
    )


def double_signers(one: Header, other: Header, validators: Sequence[Address]) -> frozenset[Address]:
    """Who sealed two different blocks of one height: proof of equivocation, to be shown to the consortium.

    Both headers MUST be sealed by a quorum of `validators`; so at least 2·ceil(2N/3) − N of them are named.
    Empty only if the two are the same block (same block hash; the rounds may differ).

    Raises:
        EvidenceInvalid: HEADER_FIELDS if the heights differ, and what `verify_seals` raises.
    """
    if one.number != other.number:
        raise EvidenceInvalid(Reason.HEADER_FIELDS, "two heights are no equivocation")
    both = verify_seals(one, validators) & verify_seals(other, validators)
    return frozenset() if one.hash == other.hash else both
