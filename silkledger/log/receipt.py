"""Receipts: COSE receipts of inclusion (RFC 9942) over the RFC 9162 tree.

A receipt is a COSE_Sign1 by the log: protected {1: -8, 395: 1, 4: key id}, unprotected {396: {-1: [proof]}},
where proof = bstr(cbor([tree size, leaf index, [hashes]])), payload (the root) detached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from silkledger import cbor, cose
from silkledger.keys import SigningKey
from silkledger.log.checkpoint import Checkpoint, LogKeys, LogVerifierKey, named_keys, names_of, signer_of
from silkledger.log.tree import ProofInvalid, leaf_hash, root_from_inclusion
from silkledger.values import MerkleRoot

MAX_RECEIPT: Final = 4096
"""Largest receipt read: 63 hashes of 34 bytes and the headers fit in 2.5 KiB."""

_VDS: Final = 395
_VDP: Final = 396
_RFC9162_SHA256: Final = 1
_INCLUSION: Final = -1
_EDDSA: Final = -8
_KEPT: Final = 4 + 64
"""A kept signature: key id and Ed25519 signature."""


class ReceiptError(ValueError):
    """A receipt is refused. `reason` is a stable code.

    COSE_… (form), RECEIPT_MALFORMED, RECEIPT_KEY_UNKNOWN (another log key), RECEIPT_SIZE_MISMATCH,
    RECEIPT_ROOT_MISMATCH (against the checkpoint), RECEIPT_SIGNATURE_INVALID, or a reason of ProofInvalid.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class InclusionReceipt:
    """A parsed receipt. Its numbers are unsigned claims until `verify_receipt` has returned."""

    raw: bytes
    key_id: bytes
    size: int
    index: int
    path: tuple[bytes, ...]
    protected_raw: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """What a verified receipt shows: the entry is leaf `index` under `root`, which the log signed."""

    size: int
    index: int
    root: MerkleRoot


def make_receipt(
    key: SigningKey, *, origin: str, size: int, index: int, path: Sequence[bytes], root: MerkleRoot
) -> bytes:
    """Sign the root for this leaf. The caller must have computed path and root from its own tree."""
    return sign_root(key, origin=origin, root=root).receipt(size, index, path)


@dataclass(frozen=True, slots=True)
class RootSignature:
    """A log's signature over one root: a receipt's, of any leaf under it, since the path is not signed.

    So a log keeps it with the checkpoint, and needs no key to give receipts under an old one.
    """

    key_id: bytes
    signature: bytes

    def encode(self) -> bytes:
        """As it is kept: key id, signature."""
        return self.key_id + self.signature

    def verify(self, root: MerkleRoot, keys: LogKeys) -> None:
        """That one of the log's `keys` made it over `root`.

        Raises:
            ReceiptError: RECEIPT_KEY_UNKNOWN, RECEIPT_SIGNATURE_INVALID.
        """
        named = named_keys(keys, self.key_id)
        if not named:
            raise ReceiptError("RECEIPT_KEY_UNKNOWN", f"key id {self.key_id.hex()}, not {names_of(keys)}")
        signed = cose.sig_structure(_protected(self.key_id), bytes(root))
        if signer_of(named, signed, self.signature) is None:
            raise ReceiptError("RECEIPT_SIGNATURE_INVALID", "the log did not sign this root")

    def receipt(self, size: int, index: int, path: Sequence[bytes]) -> bytes:
        """The receipt of leaf `index`. The caller must have computed the path from its own tree."""
        proof = cbor.encode([size, index, list(path)])
        return cose.encode_sign1(_protected(self.key_id), None, self.signature, {_VDP: {_INCLUSION: [proof]}})


def sign_root(key: SigningKey, *, origin: str, root: MerkleRoot) -> RootSignature:
    """Sign the root of the log `origin`. The caller must have computed it from its own tree."""
    key_id = LogVerifierKey.of(origin, key.verifying_key).key_id
    return RootSignature(key_id, key.sign(cose.sig_structure(_protected(key_id), bytes(root))))


def read_root_signatures(data: bytes) -> list[RootSignature]:
    """Those that are kept with a head, one after another. Raises: ReceiptError RECEIPT_MALFORMED."""
    if len(data) % _KEPT:
        raise ReceiptError("RECEIPT_MALFORMED", f"kept signatures take {_KEPT} bytes each")
    parts = (data[at : at + _KEPT] for at in range(0, len(data), _KEPT))
    return [RootSignature(part[:4], part[4:]) for part in parts]


def _protected(key_id: bytes) -> bytes:
    return cbor.encode({cose.ALG: _EDDSA, cose.KID: key_id, _VDS: _RFC9162_SHA256})


def parse_receipt(raw: bytes) -> InclusionReceipt:
    """Parse strictly: exactly the headers above, exactly one inclusion proof. Not a verification.

    Raises:
        ReceiptError: COSE_… or RECEIPT_MALFORMED.
    """
    try:
        sign1 = cose.parse_sign1(raw, limit=MAX_RECEIPT)
        header, proofs = sign1.protected, sign1.unprotected.get(_VDP)
        key_id = header.get(cose.KID)
        wanted = {cose.ALG: _EDDSA, cose.KID: key_id, _VDS: _RFC9162_SHA256}
        # Python takes true for 1; the format does not.
        if header != wanted or type(key_id) is not bytes or type(header[_VDS]) is not int:
            raise ReceiptError("RECEIPT_MALFORMED", "protected must be {1: -8, 4: key id of 4 bytes, 395: 1}")
        if sign1.payload is not None:
            raise ReceiptError("RECEIPT_MALFORMED", "the payload must be detached")
        if set(sign1.unprotected) != {_VDP} or type(proofs) is not dict or set(proofs) != {_INCLUSION}:
            raise ReceiptError("RECEIPT_MALFORMED", "unprotected must be {396: {-1: [proof]}}")
        listed = proofs[_INCLUSION]
        if type(listed) is not list or len(listed) != 1 or type(listed[0]) is not bytes:
            raise ReceiptError("RECEIPT_MALFORMED", "must hold exactly one inclusion proof")
        if len(key_id) != 4:
            raise ReceiptError("RECEIPT_MALFORMED", "the key id has 4 bytes")
        proof = cose.decode_part(listed[0], "inclusion proof")
    except cose.CoseError as error:
        raise ReceiptError(error.reason, f"{error.field}: {error.detail}") from None
    size, index, path = _proof(proof)
    return InclusionReceipt(raw, key_id, size, index, path, sign1.protected_raw, sign1.signature)


def _is_bytes(value: object, size: int) -> bool:
    return type(value) is bytes and len(value) == size


def _proof(value: cbor.CborValue) -> tuple[int, int, tuple[bytes, ...]]:
    if type(value) is not list or len(value) != 3:
        raise ReceiptError("RECEIPT_MALFORMED", "a proof is [tree size, leaf index, path]")
    size, index, path = value
    if type(size) is not int or type(index) is not int or size < 0 or index < 0:
        raise ReceiptError("RECEIPT_MALFORMED", "tree size and leaf index must be unsigned integers")
    if type(path) is not list or not all(_is_bytes(item, 32) for item in path):
        raise ReceiptError("RECEIPT_MALFORMED", "the path must be hashes of 32 bytes")
    return size, index, tuple(path)


def verify_receipt(
    raw: bytes, entry: bytes, keys: LogKeys, checkpoint: Checkpoint | None = None
) -> VerifiedReceipt:
    """Verify that `entry` (the statement's bytes) is in the log of `keys`.

    1. the receipt parses; 2. it names one of these log keys; 3. the path leads from the entry to a root; 4.
    the log signed that root; 5. size and root equal those of `checkpoint`, when one is given.

    Without a checkpoint the size is *not* proven: a root is signed, and most paths verify under a
    neighbouring size as well. Evidence must always give one.

    Raises:
        ReceiptError: with the reason.
    """
    # (1)
    receipt = parse_receipt(raw)
    # (2)
    named = named_keys(keys, receipt.key_id)
    if not named:
        raise ReceiptError(
            "RECEIPT_KEY_UNKNOWN", f"signed under key id {receipt.key_id.hex()}, not by {names_of(keys)}"
        )
    # (3)
    try:
        root = root_from_inclusion(receipt.index, receipt.size, leaf_hash(entry), receipt.path)
    except ProofInvalid as error:
        raise ReceiptError(error.reason, error.detail) from None
    # (4)
    signed = cose.sig_structure(receipt.protected_raw, bytes(root))
    if signer_of(named, signed, receipt.signature) is None:
        raise ReceiptError(
            "RECEIPT_SIGNATURE_INVALID", "the log did not sign the root that this path leads to"
        )
    # (5)
    if checkpoint is not None:
        _compare(receipt.size, root, checkpoint)
    return VerifiedReceipt(receipt.size, receipt.index, root)


def _compare(size: int, root: MerkleRoot, checkpoint: Checkpoint) -> None:
    if size != checkpoint.size:
        raise ReceiptError("RECEIPT_SIZE_MISMATCH", f"proof for size {size}, checkpoint of {checkpoint.size}")
    if root != checkpoint.root:
        raise ReceiptError("RECEIPT_ROOT_MISMATCH", "the path leads to another root than the checkpoint's")
