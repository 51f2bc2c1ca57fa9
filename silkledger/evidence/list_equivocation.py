"""Two status lists of one sequence: who signed both, and whether the issuer's key it was.

The lists prove that one key signed both. That the key was the issuer's is proven from the IdentityRegistry:
the identity's whole history under the state root of a block that the verifier trusts.
"""

from __future__ import annotations

from silkledger.evidence.bundle import Bundle, Contract
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.history_section import HistorySection, section_from, verify_section
from silkledger.evidence.network import check_network
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.keys import KeyShapeError, VerifyingKey
from silkledger.registry.histories import RecordInvalid, identity_key
from silkledger.registry.identity import IdentityState, identity_state
from silkledger.status_list import StatusList, StatusListError, parse_status_list
from silkledger.values import BlockRef, Did


def identity_from(bundle: Bundle, issuer: Did) -> HistorySection | None:
    """What `bundle` proves of the identity of `issuer`; None if nothing. Not a verification."""
    return section_from(bundle, Contract.IDENTITY_REGISTRY, identity_key(issuer.address))


def read_lists(pair: tuple[bytes, bytes]) -> tuple[StatusList, StatusList]:
    """Two lists of one issuer, id and sequence that differ.

    Raises:
        EvidenceInvalid: STATUS_LIST_MALFORMED, NO_CONTRADICTION.
    """
    try:
        one, other = (parse_status_list(raw) for raw in pair)
    except StatusListError as error:
        raise EvidenceInvalid(Reason.STATUS_LIST_MALFORMED, error.detail) from error
    if (one.issuer, one.id, one.sequence) != (other.issuer, other.id, other.sequence):
        raise EvidenceInvalid(
            Reason.NO_CONTRADICTION, f"{one.id} number {one.sequence} and {other.id} number {other.sequence}"
        )
    if one.digest == other.digest:
        raise EvidenceInvalid(Reason.NO_CONTRADICTION, "the two are one list")
    return one, other


def verify_signatures(lists: tuple[StatusList, StatusList], issuer_key: str) -> VerifyingKey:
    """The key that signed both.

    Raises:
        EvidenceInvalid: PROOF_MALFORMED if the text is no key, STATUS_LIST_SIGNATURE, NO_DOUBLE_SIGNER if the
            lists name different keys of the issuer.
    """
    try:
        key = VerifyingKey.from_multikey(issuer_key)
    except KeyShapeError as error:
        raise EvidenceInvalid(Reason.PROOF_MALFORMED, str(error)) from error
    one, other = lists
    if one.fragment != other.fragment:
        raise EvidenceInvalid(Reason.NO_DOUBLE_SIGNER, f"{one.method} signed one, {other.method} the other")
    try:
        one.verify(key)
        other.verify(key)
    except StatusListError as error:
        raise EvidenceInvalid(Reason.STATUS_LIST_SIGNATURE, error.detail) from error
    return key


def verify_identity(
    section: HistorySection, signed: StatusList, key: VerifyingKey, roots: TrustRoots
) -> None:
    """Verify that `key` was the issuer's, under the name that the list gives it, at the last header's block.

    Raises:
        EvidenceInvalid: ISSUER_KEY_NOT_IN_FORCE, and what `proven_identity` raises.
    """
    if proven_key(section, signed, roots) != key:
        raise EvidenceInvalid(Reason.ISSUER_KEY_NOT_IN_FORCE, f"{signed.method} is another key")


def proven_key(section: HistorySection, signed: StatusList, roots: TrustRoots) -> VerifyingKey:
    """The issuer's key that the list names, as it was at the last header's block.

    Raises:
        EvidenceInvalid: ISSUER_KEY_NOT_IN_FORCE, and what `proven_identity` raises.
    """
    identity, block = proven_identity(section, signed.issuer, roots)
    key = identity.methods.get(signed.fragment)
    if key is None:
        raise EvidenceInvalid(
            Reason.ISSUER_KEY_NOT_IN_FORCE, f"{signed.method} is no key in force at block {block.number}"
        )
    return key


def proven_identity(
    section: HistorySection, issuer: Did, roots: TrustRoots
) -> tuple[IdentityState, BlockRef]:
    """The identity of `issuer` at the last header's block.

    Steps: (1) the issuer is of the trusted network, and so is the section; (2) the history stands under its
    last header's state root; (3) the identity is not deactivated there.

    Raises:
        EvidenceInvalid: NETWORK_MISMATCH, ISSUER_OTHER_CHAIN, ISSUER_DEACTIVATED, HISTORY_RECORD, and what
            headers and state proofs raise.
    """
    check_network(section.network, roots)  # (1)
    if issuer.chain_id != roots.chain_id:
        raise EvidenceInvalid(Reason.ISSUER_OTHER_CHAIN, f"{issuer} is not of chain {roots.chain_id}")
    key = identity_key(issuer.address)
    newest = verify_section(section, Contract.IDENTITY_REGISTRY, key, roots)  # (2)
    try:
        identity = identity_state(issuer, section.records, newest.timestamp, newest.number)
    except RecordInvalid as error:
        raise EvidenceInvalid(Reason.HISTORY_RECORD, str(error)) from error
    if identity.deactivated:  # (3)
        raise EvidenceInvalid(Reason.ISSUER_DEACTIVATED, f"{issuer} was deactivated by block {newest.number}")
    return identity, newest.ref
