"""The evidence bundle: everything needed to verify one registered document offline, as one CBOR file.

Deterministic CBOR with integer keys, closed: an unknown key, another order or another length is refused, and
decoding guarantees that encoding gives the same bytes. Nothing in a bundle is believed; there is no field
that `silkledger.evidence.verify` does not check. CDDL: docs/formats/evidence.md.

Version 2 is written exactly when there is something in the bundle that version 1 has no place for, so that
the same evidence never has two encodings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Final

from silkledger import cbor
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.reasons import Reason
from silkledger.registry.histories import HistoryRecord
from silkledger.values import Address, BlockHash

VERSIONS: Final = (1, 2)
"""Format versions that are read. The first field; another one is refused, not guessed at."""
MAX_BUNDLE_BYTES: Final = 32 * 1024 * 1024
"""Largest bundle read. One block header is about 600 bytes, one trie proof 1 to 4 KB."""
_MAX_U64: Final = 2**64 - 1


class Contract(IntEnum):
    """The contracts whose state a bundle may prove, by their number in the bundle."""

    LOG_ANCHOR = 1
    IDENTITY_REGISTRY = 2
    TRUST_REGISTRY = 3
    DOCUMENT_STATUS = 4

    @property
    def directory_name(self) -> str:
        """The contract's name in the NetworkDirectory."""
        return _DIRECTORY_NAMES[self]


_DIRECTORY_NAMES: Final = {
    Contract.LOG_ANCHOR: "LogAnchor",
    Contract.IDENTITY_REGISTRY: "IdentityRegistry",
    Contract.TRUST_REGISTRY: "TrustRegistry",
    Contract.DOCUMENT_STATUS: "DocumentStatus",
}


@dataclass(frozen=True, slots=True)
class LogSection:
    """That the statement is in the log."""

    checkpoint: bytes
    """C2SP signed note."""
    receipt: bytes
    """RFC 9942 receipt of inclusion, at the checkpoint's size."""
    consistency: tuple[bytes, ...] | None
    """RFC 9162 proof between the checkpoint's and the anchor's size; None exactly when these are equal."""
    cosigners: tuple[str, ...] = ()
    """Verifier keys of the witnesses whose lines follow the log's in the checkpoint, in the order of the
    lines, which ascends. They make every line verifiable; which witnesses count is for the trust roots."""


@dataclass(frozen=True, slots=True)
class DocumentSection:
    """That a document is one of the manifest which is the statement."""

    leaf: bytes
    """The document's leaf (docs/formats/manifest.md)."""
    index: int
    path: tuple[bytes, ...]
    """RFC 9162 inclusion path under the manifest's root."""


@dataclass(frozen=True, slots=True)
class AnchorSection:
    """Where the first anchor that covers the statement's leaf was recorded: the registration block."""

    block_number: int
    transaction_index: int
    log_index: int
    """Position within the transaction's receipt (not within the block)."""
    receipt_proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class NetworkSection:
    """Which ledger this is about. MUST equal the verifier's trust roots."""

    chain_id: int
    genesis_hash: BlockHash
    directory: Address


@dataclass(frozen=True, slots=True)
class History:
    """All records under one key of a contract, and the proof of their head at the as-of block."""

    key: bytes
    records: tuple[HistoryRecord, ...]
    slot_proof: tuple[bytes, ...]
    """Empty when the contract's storage is empty."""


@dataclass(frozen=True, slots=True)
class ContractState:
    """One contract at the as-of block."""

    contract: Contract
    account_proof: tuple[bytes, ...]
    histories: tuple[History, ...]
    """In ascending order of their keys."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """One evidence bundle. A parsed bundle has the right form; that is all."""

    statement: bytes
    """A signed statement, or the manifest that the document is in."""
    log: LogSection
    anchor: AnchorSection
    headers: tuple[bytes, ...]
    """Raw headers, ascending: the registration block and its parent among them, the as-of block last."""
    network: NetworkSection
    states: tuple[ContractState, ...]
    """In ascending order of the contracts' numbers."""
    document: DocumentSection | None = None
    """Present exactly when the statement is a manifest."""
    promise: bytes | None = None
    """The log's promise to log the statement, where whoever made the bundle had it."""

    @property
    def version(self) -> int:
        """The lowest version that has a place for everything in this bundle."""
        plain = self.document is None and self.promise is None and not self.log.cosigners
        return 1 if plain else 2

    def encode(self) -> bytes:
        """The one encoding of this bundle."""
        anchor = self.anchor
        fields: dict[int, object] = {
            1: self.version,
            2: self.statement,
            3: _log_value(self.log),
            4: {
                1: anchor.block_number,
                2: anchor.transaction_index,
                3: anchor.log_index,
                4: list(anchor.receipt_proof),
            },
            5: list(self.headers),
            6: {
                1: self.network.chain_id,
                2: bytes(self.network.genesis_hash),
                3: bytes(self.network.directory),
            },
            7: [_state_value(state) for state in self.states],
        }
        if self.document is not None:
            fields[8] = {1: self.document.leaf, 2: self.document.index, 3: list(self.document.path)}
        if self.promise is not None:
            fields[9] = self.promise
        return cbor.encode(fields)


def _log_value(log: LogSection) -> dict[int, object]:
    value: dict[int, object] = {1: log.checkpoint, 2: log.receipt}
    if log.consistency is not None:
        value[3] = list(log.consistency)
    if log.cosigners:
        value[4] = list(log.cosigners)
    return value


def _state_value(state: ContractState) -> dict[int, object]:
    histories = [
        {1: h.key, 2: [[r.block_number, r.record] for r in h.records], 3: list(h.slot_proof)}
        for h in state.histories
    ]
    return {1: int(state.contract), 2: list(state.account_proof), 3: histories}


def decode_bundle(data: bytes) -> Bundle:
    """The bundle whose encoding is `data`.

    Guarantees that `decode_bundle(data).encode() == data`. This is not a verification of anything in it.

    Raises:
        EvidenceInvalid: BUNDLE_TOO_LARGE, BUNDLE_MALFORMED, BUNDLE_VERSION.
    """
    if len(data) > MAX_BUNDLE_BYTES:
        raise EvidenceInvalid(Reason.BUNDLE_TOO_LARGE, f"{len(data)} bytes exceed {MAX_BUNDLE_BYTES}")
    try:
        value = cbor.decode(data)
    except cbor.CborError as error:
        raise EvidenceInvalid(Reason.BUNDLE_MALFORMED, str(error)) from error
    if isinstance(value, dict) and (type(value.get(1)) is not int or value[1] not in VERSIONS):
        raise EvidenceInvalid(Reason.BUNDLE_VERSION, "the bundle is of none of the versions 1 and 2")
    fields = _map(value, "bundle", {1, 2, 3, 4, 5, 6, 7}, optional={8, 9})
    bundle = Bundle(
        statement=_bytes(fields[2], "statement"),
        log=_log(fields[3]),
        anchor=_anchor(fields[4]),
        headers=_byte_strings(fields[5], "headers", at_least=2),
        network=_network(fields[6]),
        states=_states(fields[7]),
        document=_document(fields[8]) if 8 in fields else None,
        promise=_bytes(fields[9], "promise") if 9 in fields else None,
    )
    if bundle.version != fields[1]:
        raise _malformed(f"what is in it belongs into version {bundle.version}")
    if bundle.encode() != data:
        raise EvidenceInvalid(Reason.BUNDLE_MALFORMED, "the bundle does not re-encode to the same bytes")
    return bundle


def _log(value: object) -> LogSection:
    fields = _map(value, "log", {1, 2}, optional={3, 4})
    return LogSection(
        checkpoint=_bytes(fields[1], "checkpoint"),
        receipt=_bytes(fields[2], "receipt"),
        consistency=_byte_strings(fields[3], "consistency", size=32) if 3 in fields else None,
        cosigners=_cosigners(fields[4]) if 4 in fields else (),
    )


def _cosigners(value: object) -> tuple[str, ...]:
    cosigners = tuple(_text(item, "cosigner") for item in _list(value, "cosigners", at_least=1))
    _ascending([cosigner.encode() for cosigner in cosigners], "cosigners")
    return cosigners


def _document(value: object) -> DocumentSection:
    fields = _map(value, "document", {1, 2, 3})
    return DocumentSection(
        leaf=_bytes(fields[1], "leaf"),
        index=_uint(fields[2], "document index"),
        path=_byte_strings(fields[3], "document path", size=32),
    )


def _anchor(value: object) -> AnchorSection:
    fields = _map(value, "anchor", {1, 2, 3, 4})
    return AnchorSection(
        block_number=_uint(fields[1], "anchor block"),
        transaction_index=_uint(fields[2], "transaction index"),
        log_index=_uint(fields[3], "log index"),
        receipt_proof=_byte_strings(fields[4], "receipt proof"),
    )


def _network(value: object) -> NetworkSection:
    fields = _map(value, "network", {1, 2, 3})
    return NetworkSection(
        chain_id=_uint(fields[1], "chain id"),
        genesis_hash=BlockHash(_bytes(fields[2], "genesis hash", 32)),
        directory=Address(_bytes(fields[3], "directory", 20)),
    )


def _states(value: object) -> tuple[ContractState, ...]:
    states = tuple(_state(item) for item in _list(value, "states"))
    _ascending([bytes([state.contract]) for state in states], "states")
    return states


def _state(value: object) -> ContractState:
    fields = _map(value, "state", {1, 2, 3})
    number = _uint(fields[1], "contract")
    if number not in _DIRECTORY_NAMES:
        raise _malformed(f"no contract has the number {number}")
    histories = tuple(_history(item) for item in _list(fields[3], "histories", at_least=1))
    _ascending([history.key for history in histories], "histories")
    return ContractState(Contract(number), _byte_strings(fields[2], "account proof", at_least=1), histories)


def _history(value: object) -> History:
    fields = _map(value, "history", {1, 2, 3})
    return History(
        key=_bytes(fields[1], "history key", 32),
        records=tuple(_record(item) for item in _list(fields[2], "records")),
        slot_proof=_byte_strings(fields[3], "slot proof"),
    )


def _record(value: object) -> HistoryRecord:
    parts = _list(value, "record")
    if len(parts) != 2:
        raise _malformed("a record is [block number, bytes]")
    return HistoryRecord(_uint(parts[0], "record's block"), _bytes(parts[1], "record"))


def _ascending(keys: Sequence[bytes], what: str) -> None:
    if any(a >= b for a, b in pairwise(keys)):
        raise _malformed(f"{what} must be in ascending order, none twice")


def _malformed(detail: str) -> EvidenceInvalid:
    return EvidenceInvalid(Reason.BUNDLE_MALFORMED, detail)


def _map(
    value: object, what: str, keys: set[int], optional: frozenset[int] | set[int] = frozenset()
) -> dict[int, object]:
    if not isinstance(value, dict) or not keys <= value.keys() <= keys | optional:
        raise _malformed(f"{what} must be a map with the keys {sorted(keys)}")
    return value


def _list(value: object, what: str, at_least: int = 0) -> list[object]:
    if not isinstance(value, list) or len(value) < at_least:
        raise _malformed(f"{what} must be an array of at least {at_least} items")
    return value


def _bytes(value: object, what: str, size: int | None = None) -> bytes:
    if not isinstance(value, bytes) or (size is not None and len(value) != size):
        raise _malformed(f"{what} must be a byte string" + (f" of {size} bytes" if size else ""))
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise _malformed(f"{what} must be text")
    return value


def _byte_strings(value: object, what: str, size: int | None = None, at_least: int = 0) -> tuple[bytes, ...]:
    return tuple(_bytes(item, what, size) for item in _list(value, what, at_least))


def _uint(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_U64:
        raise _malformed(f"{what} must be an unsigned 64-bit integer")
    return value
