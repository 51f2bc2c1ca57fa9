"""A key's whole history in a contract, in a proof file: under the state root of a trusted block."""

from __future__ import annotations

from dataclasses import dataclass

from silkledger.evidence.bundle import Bundle, Contract, ContractState, History, NetworkSection
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import Header, decode_header
from silkledger.evidence.header_trust import trust_headers
from silkledger.evidence.network import check_network, read_network
from silkledger.evidence.proven_histories import verify_states
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.registry.histories import HistoryRecord


@dataclass(frozen=True, slots=True)
class HistorySection:
    """A history at the end of the last block of `headers`. A claim until verified."""

    network: NetworkSection
    headers: tuple[bytes, ...]
    """Raw headers, ascending, by the rules of an evidence bundle."""
    account_proof: tuple[bytes, ...]
    """Of the contract, under the last header's state root."""
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


def read_section(value: object) -> HistorySection:
    """The section as it stands in a file. Raises: EvidenceInvalid PROOF_MALFORMED."""
    if not isinstance(value, dict) or value.keys() != {1, 2, 3, 4, 5}:
        raise _malformed("a history must be a map with the keys 1 to 5")
    records = value[4]
    if not isinstance(records, list) or not all(isinstance(r, list) and len(r) == 2 for r in records):
        raise _malformed("a record must be [block number, bytes]")
    headers = _byte_strings(value[2])
    if not headers:
        raise _malformed("a history has at least one header")
    return HistorySection(
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


def section_from(bundle: Bundle, contract: Contract, key: bytes) -> HistorySection | None:
    """What `bundle` proves of the history of `key`; None if nothing. Not a verification."""
    for state in bundle.states:
        for history in state.histories:
            if state.contract is contract and history.key == key:
                return HistorySection(
                    bundle.network, bundle.headers, state.account_proof, history.records, history.slot_proof
                )
    return None


def verify_section(section: HistorySection, contract: Contract, key: bytes, roots: TrustRoots) -> Header:
    """That the records are the whole history of `key` in `contract` at the block of the header returned.

    Steps: (1) it is about the trusted network; (2) the headers are on the ledger; (3) the history stands
    under the last one's state root.

    Raises:
        EvidenceInvalid: NETWORK_MISMATCH, and what headers and state proofs raise.
    """
    check_network(section.network, roots)  # (1)
    headers = [decode_header(raw, roots.engine) for raw in section.headers]
    trust_headers(headers, roots)  # (2)
    state = ContractState(
        contract, section.account_proof, (History(key, section.records, section.slot_proof),)
    )
    verify_states([state], headers[-1], {contract: roots.address_of(contract)})  # (3)
    return headers[-1]
