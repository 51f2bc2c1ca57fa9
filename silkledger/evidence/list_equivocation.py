"""Two status lists of one sequence: who signed both, and whether the issuer's key it was.

The lists prove that one key signed both. That the key was the issuer's is proven from the IdentityRegistry:
the identity's whole history under the state root of a block that the verifier trusts.
"""

from __future__ import annotations

from dataclasses import dataclass

from silkledger.evidence.bundle import Bundle, Contract, ContractState, History, NetworkSection
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import decode_header
from silkledger.evidence.header_trust import trust_headers
from silkledger.evidence.network import check_network, read_network
from silkledger.evidence.proven_histories import verify_states
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.keys import KeyShapeError, VerifyingKey
from silkledger.registry.histories import HistoryRecord, RecordInvalid, identity_key
from silkledger.registry.identity import IdentityState, identity_state
from silkledger.status_list import StatusList, StatusListError, parse_status_list
from silkledger.values import BlockRef, Did


@dataclass(frozen=True, slots=True)
class IdentitySection:
    """The issuer's identity at the end of the last block of `headers`. A claim until verified."""

    network: NetworkSection
    headers: tuple[bytes, ...]
    """Raw headers, ascending, by the rules of an evidence bundle."""
    account_proof: tuple[bytes, ...]
    """Of the IdentityRegistry, under the last header's state root."""
    records: tuple[HistoryRecord, ...]
    slot_proof: tuple[bytes, ...]

    def value(self) -> dict[int, object]:
        """As it stands in the file."""
        network = self.network
        return {
            1: {1: network.chain_id, 2: bytes(network.genesis_hash), 3: bytes(network.directory)},
            2: list(self.headers),
            3: list(self.account_proof),
            4: [[record.block_number, record.record] for record in self.records],
            5: list(self.slot_proof),
        }


def read_identity(value: object) -> IdentitySection:
    """The section as it stands in a file. Raises: EvidenceInvalid PROOF_MALFORMED."""
    if not isinstance(value, dict) or value.keys() != {1, 2, 3, 4, 5}:
        raise _malformed("an identity must be a map with the keys 1 to 5")
    records = value[4]
    if not isinstance(records, list) or not all(isinstance(r, list) and len(r) == 2 for r in records):
        raise _malformed("a record must be [block number, bytes]")
    headers = _byte_strings(value[2])
    if not headers:
        raise _malformed("an identity has at least one header")
    return IdentitySection(
        network=read_network(value[1]),
        headers=headers,
        account_proof=_byte_strings(value[3]),
        records=tuple(_record(block, record) for block, record in records),
        slot_proof=_byte_strings(value[5]),
    )


def _record(block: object, record: object) -> HistoryRecord:
    if type(block) is not int or not 0 <= block < 2**64 or not isinstance(record, bytes):
        raise _malformed("a record must be [block number, bytes]")
    return HistoryRecord(block, record)


def _byte_strings(value: object) -> tuple[bytes, ...]:
    if not isinstance(value, list):
        raise _malformed("an array of byte strings is missing")
    found = tuple(item for item in value if isinstance(item, bytes))
    if len(found) != len(value):
        raise _malformed("an array holds something else than byte strings")
    return found


def _malformed(detail: str) -> EvidenceInvalid:
    return EvidenceInvalid(Reason.PROOF_MALFORMED, detail)


def identity_from(bundle: Bundle, issuer: Did) -> IdentitySection | None:
    """What `bundle` proves of the identity of `issuer`; None if nothing. Not a verification."""
    wanted = identity_key(issuer.address)
    for state in bundle.states:
        for history in state.histories:
            if state.contract is Contract.IDENTITY_REGISTRY and history.key == wanted:
                return IdentitySection(
                    bundle.network, bundle.headers, state.account_proof, history.records, history.slot_proof
                )
    return None


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
    section: IdentitySection, signed: StatusList, key: VerifyingKey, roots: TrustRoots
) -> None:
    """Verify that `key` was the issuer's, under the name that the list gives it, at the last header's block.

    Raises:
        EvidenceInvalid: ISSUER_KEY_NOT_IN_FORCE, and what `proven_identity` raises.
    """
    if proven_key(section, signed, roots) != key:
        raise EvidenceInvalid(Reason.ISSUER_KEY_NOT_IN_FORCE, f"{signed.method} is another key")


def proven_key(section: IdentitySection, signed: StatusList, roots: TrustRoots) -> VerifyingKey:
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
    section: IdentitySection, issuer: Did, roots: TrustRoots
) -> tuple[IdentityState, BlockRef]:
    """The identity of `issuer` at the last header's block.

    Steps: (1) it is about the trusted network, and so is the issuer; (2) the headers are on the ledger; (3)
    the history stands under the last one's state root; (4) the identity is not deactivated there.

    Raises:
        EvidenceInvalid: NETWORK_MISMATCH, ISSUER_OTHER_CHAIN, ISSUER_DEACTIVATED, HISTORY_RECORD, and what
            headers and state proofs raise.
    """
    check_network(section.network, roots)  # (1)
    if issuer.chain_id != roots.chain_id:
        raise EvidenceInvalid(Reason.ISSUER_OTHER_CHAIN, f"{issuer} is not of chain {roots.chain_id}")
    headers = [decode_header(raw, roots.engine) for raw in section.headers]
    trust_headers(headers, roots)  # (2)
    newest = headers[-1]
    history = History(identity_key(issuer.address), section.records, section.slot_proof)
    state = ContractState(Contract.IDENTITY_REGISTRY, section.account_proof, (history,))
    addresses = {Contract.IDENTITY_REGISTRY: roots.address_of(Contract.IDENTITY_REGISTRY)}
    verify_states([state], newest, addresses)  # (3)
    try:
        identity = identity_state(issuer, section.records, newest.timestamp, newest.number)
    except RecordInvalid as error:
        raise EvidenceInvalid(Reason.HISTORY_RECORD, str(error)) from error
    if identity.deactivated:  # (4)
        raise EvidenceInvalid(Reason.ISSUER_DEACTIVATED, f"{issuer} was deactivated by block {newest.number}")
    return identity, newest.ref
