"""Checkpoints: C2SP tlog-checkpoint in a C2SP signed note, with tlog-cosignature (v1) lines by witnesses.

Guarantees: a checkpoint that `verify_note` returns was signed by the key given. Does not say that the tree
behind it extends an earlier one (that is a consistency proof) or that it was anchored.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from silkledger.keys import KeyShapeError, SignatureInvalid, SigningKey, Suite, VerifyingKey
from silkledger.log.tree import MAX_SIZE
from silkledger.values import MerkleRoot

MAX_NOTE: Final = 65_536
"""Longest note read, in bytes."""
MAX_SIGNATURES: Final = 64
"""Most signature lines read; the specification asks for at least 16."""

_NAME: Final = re.compile(r"[^\s+\x00-\x1f\x7f]{1,255}")
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


class NoteError(ValueError):
    """A note, checkpoint or verifier key is refused. `reason` is a stable code.

    NOTE_MALFORMED, NOTE_TOO_LARGE, CHECKPOINT_MALFORMED, VKEY_MALFORMED, NOTE_NOT_SIGNED (no line by this
    key), NOTE_SIGNATURE_INVALID (a line by this key that does not verify), ORIGIN_MISMATCH, KEY_SUITE.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class NoteKeyType(IntEnum):
    """Signature type byte of a signed-note key."""

    ED25519 = 0x01
    COSIGNATURE_V1 = 0x04


@dataclass(frozen=True, slots=True)
class LogVerifierKey:
    """Name and Ed25519 key of a log or a witness: `<name>+<key id>+<base64(type ‖ key)>`.

    Raises:
        NoteError: VKEY_MALFORMED, when made of a name with spaces or `+`, or of no 32-byte key.
    """

    name: str
    public: bytes
    key_type: NoteKeyType = NoteKeyType.ED25519

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise NoteError("VKEY_MALFORMED", "the name must be non-empty, without spaces and plus signs")
        if len(self.public) != 32:
            raise NoteError("VKEY_MALFORMED", f"an Ed25519 key has 32 bytes, got {len(self.public)}")

    @classmethod
    def of(cls, name: str, key: VerifyingKey, key_type: NoteKeyType = NoteKeyType.ED25519) -> LogVerifierKey:
        """Raises NoteError (KEY_SUITE) for a key that is not Ed25519."""
        if key.suite is not Suite.EDDSA:
            raise NoteError("KEY_SUITE", f"notes are signed with Ed25519, not {key.suite.name}")
        return cls(name, key.public, key_type)

    @classmethod
    def parse(cls, text: str) -> LogVerifierKey:
        """Raises NoteError (VKEY_MALFORMED), also when the key id is not the hash of name and key."""
        name, _, rest = text.partition("+")
        identifier, _, encoded = rest.partition("+")
        data = _base64(encoded)
        if data is None or len(data) != 33 or data[0] not in (1, 4):
            raise NoteError(
                "VKEY_MALFORMED", "must be <name>+<8 hex digits>+<base64 of type and Ed25519 key>"
            )
        key = cls(name, data[1:], NoteKeyType(data[0]))
        if identifier != key.key_id.hex():
            raise NoteError("VKEY_MALFORMED", "the key id is not the one of this name and key")
        return key

    @classmethod
    def of_recorded(cls, name: str, data: bytes) -> LogVerifierKey | None:
        """The key of the log `name` from what LogAnchor records, type byte and public key; None for another
        kind than Ed25519.
        """
        if len(data) != 33 or data[0] != NoteKeyType.ED25519:
            return None
        return cls(name, data[1:])

    @property
    def recorded(self) -> bytes:
        """Type byte and public key, as LogAnchor records them."""
        return bytes((self.key_type,)) + self.public

    @property
    def key_id(self) -> bytes:
        """SHA-256(name ‖ newline ‖ type ‖ key), first four bytes. An identifier, not a commitment."""
        material = self.name.encode() + b"\n" + self.recorded
        return hashlib.sha256(material).digest()[:4]

    @property
    def verifying_key(self) -> VerifyingKey:
        return VerifyingKey(Suite.EDDSA, self.public)

    def __str__(self) -> str:
        encoded = base64.b64encode(self.recorded).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"


LogKeys: TypeAlias = LogVerifierKey | Sequence[LogVerifierKey]
"""A log's key, or all that count: while it changes its key, it has two (docs/formats/checkpoint.md)."""


def named_keys(keys: LogKeys, key_id: bytes, name: str | None = None) -> list[LogVerifierKey]:
    """Those of `keys` that have this id, and this name where one is given. It is an identifier: two keys may
    share it.
    """
    listed = (keys,) if isinstance(keys, LogVerifierKey) else keys
    return [key for key in listed if key.key_id == key_id and name in (None, key.name)]


def log_name(keys: LogKeys) -> str:
    """The name that all of them have: the log's origin. Raises: NoteError VKEY_MALFORMED where there is not
    one.
    """
    names = {keys.name} if isinstance(keys, LogVerifierKey) else {key.name for key in keys}
    if len(names) != 1:
        raise NoteError("VKEY_MALFORMED", "the keys of a log have one name, its origin")
    return names.pop()


def names_of(keys: LogKeys) -> str:
    """For messages: name and id of each."""
    listed = (keys,) if isinstance(keys, LogVerifierKey) else keys
    return " or ".join(f"{key.name}+{key.key_id.hex()}" for key in listed) or "no key"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head: size and root of the log `origin`. Extension lines are never written and are refused."""

    origin: str
    size: int
    root: MerkleRoot

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.origin):
            raise NoteError(
                "CHECKPOINT_MALFORMED", "the origin must be non-empty, without spaces and plus signs"
            )
        if not 0 <= self.size <= MAX_SIZE:
            raise NoteError("CHECKPOINT_MALFORMED", "the size must be between 0 and 2^63 - 1")

    def body(self) -> str:
        """The note's text: three lines, each ended by a newline."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse_body(cls, body: str) -> Checkpoint:
        """Raises NoteError (CHECKPOINT_MALFORMED)."""
        lines = body.split("\n")
        if len(lines) != 4 or lines[3]:
            raise NoteError("CHECKPOINT_MALFORMED", "must have three lines: origin, size, root")
        origin, size, encoded, _ = lines
        if not _SIZE.fullmatch(size):
            raise NoteError("CHECKPOINT_MALFORMED", "the size must be decimal without leading zeros")
        root = _base64(encoded)
        if root is None or len(root) != 32:
            raise NoteError("CHECKPOINT_MALFORMED", "the root must be base64 of 32 bytes")
        return cls(origin, int(size), MerkleRoot(root))


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line, as read. `value` is what follows the key id."""

    name: str
    key_id: bytes
    value: bytes

    def line(self) -> str:
        return f"— {self.name} {base64.b64encode(self.key_id + self.value).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A parsed note. Its text must not be used before a signature by a known key has been verified."""

    body: str
    signatures: tuple[NoteSignature, ...]

    def text(self) -> str:
        return self.body + "\n" + "".join(signature.line() for signature in self.signatures)


def parse_note(text: str) -> Note:
    """Split a signed note into text and signature lines. This is not a verification.

    Raises:
        NoteError: NOTE_TOO_LARGE or NOTE_MALFORMED.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_NOTE:
        raise NoteError("NOTE_TOO_LARGE", f"longer than {MAX_NOTE} bytes")
    if _CONTROL.search(text):
        raise NoteError("NOTE_MALFORMED", "holds a control character")
    body, separator, tail = text.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise NoteError(
            "NOTE_MALFORMED", "must be text, an empty line, and signature lines ended by newlines"
        )
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteError("NOTE_MALFORMED", f"more than {MAX_SIGNATURES} signature lines")
    return Note(body + "\n", tuple(_signature(line) for line in lines))


def _signature(line: str) -> NoteSignature:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    data = _base64(encoded)
    if dash != "—" or not _NAME.fullmatch(name) or data is None or len(data) < 5:
        raise NoteError(
            "NOTE_MALFORMED", "a signature line must be: em dash, name, base64 of key id and signature"
        )
    return NoteSignature(name, data[:4], data[4:])


def sign_checkpoint(checkpoint: Checkpoint, *keys: SigningKey) -> str:
    """The signed note of `checkpoint`: a line by each of the log's own Ed25519 keys, under its origin's name.

    The caller must make sure that it never signs a head that does not extend what it signed before.
    """
    body = checkpoint.body()
    lines = []
    for key in keys:
        name = LogVerifierKey.of(checkpoint.origin, key.verifying_key)
        lines.append(NoteSignature(name.name, name.key_id, key.sign(body.encode())))
    return Note(body, tuple(lines)).text()


def verify_note(text: str, keys: LogKeys) -> Checkpoint:
    """Verify that the log signed this checkpoint, and return it. Lines by other keys are ignored.

    1. the note parses; 2. a line has the name and id of one of `keys`, and every such line verifies; 3. the
    text is a checkpoint of the origin that this key names.

    Raises:
        NoteError: with the reason.
    """
    # (1)
    note = parse_note(text)
    # (2)
    signer: LogVerifierKey | None = None
    for line in note.signatures:
        named = [
            key for key in named_keys(keys, line.key_id, line.name) if key.key_type is NoteKeyType.ED25519
        ]
        if not named:
            continue
        signer = signer_of(named, note.body.encode(), line.value)
        if signer is None:
            raise NoteError("NOTE_SIGNATURE_INVALID", f"the line by {line.name} does not verify")
    if signer is None:
        raise NoteError("NOTE_NOT_SIGNED", f"no signature line by {names_of(keys)}")
    # (3)
    checkpoint = Checkpoint.parse_body(note.body)
    if checkpoint.origin != signer.name:
        raise NoteError(
            "ORIGIN_MISMATCH", f"the checkpoint is of {checkpoint.origin}, the key of {signer.name}"
        )
    return checkpoint


def signer_of(named: Sequence[LogVerifierKey], message: bytes, signature: bytes) -> LogVerifierKey | None:
    """Which of the keys made the signature; None: none of them."""
    for key in named:
        try:
            key.verifying_key.verify(message, signature)
        except (SignatureInvalid, KeyShapeError):
            continue
        return key
    return None


def cosign(text: str, witness: str, key: SigningKey, timestamp: int) -> str:
    """Append the witness's cosignature/v1 line. The caller must have verified the note and its consistency.

    `timestamp` is in Unix seconds.
    """
    note = parse_note(text)
    name = LogVerifierKey.of(witness, key.verifying_key, NoteKeyType.COSIGNATURE_V1)
    value = timestamp.to_bytes(8, "big") + key.sign(_cosigned(timestamp, note.body))
    return Note(note.body, (*note.signatures, NoteSignature(witness, name.key_id, value))).text()


def verify_cosignature(text: str, witness: LogVerifierKey) -> int:
    """Verify the witness's cosignature/v1 line and return its time in Unix seconds (the latest of several).

    Raises:
        NoteError: NOTE_NOT_SIGNED, NOTE_SIGNATURE_INVALID or NOTE_MALFORMED.
    """
    note = parse_note(text)
    mine = [s for s in note.signatures if (s.name, s.key_id) == (witness.name, witness.key_id)]
    if not mine or witness.key_type is not NoteKeyType.COSIGNATURE_V1:
        raise NoteError("NOTE_NOT_SIGNED", f"no cosignature by {witness.name}+{witness.key_id.hex()}")
    return max(verify_cosignature_line(note.body, signature, witness) for signature in mine)


def verify_cosignature_line(body: str, line: NoteSignature, witness: LogVerifierKey) -> int:
    """Verify one line as the cosignature/v1 of the note's `body` by `witness`; its time in Unix seconds.

    That the line names this key is for the caller to have seen.

    Raises:
        NoteError: NOTE_SIGNATURE_INVALID.
    """
    timestamp = int.from_bytes(line.value[:8], "big")
    if len(line.value) != 72 or timestamp > MAX_SIZE:
        raise NoteError("NOTE_SIGNATURE_INVALID", "a cosignature is an 8-byte time and 64 bytes")
    if signer_of((witness,), _cosigned(timestamp, body), line.value[8:]) is None:
        raise NoteError("NOTE_SIGNATURE_INVALID", f"the line by {witness.name} does not verify")
    return timestamp


def _cosigned(timestamp: int, body: str) -> bytes:
    return f"cosignature/v1\ntime {timestamp}\n{body}".encode()


def _base64(text: str) -> bytes | None:
    """Strict base64: standard alphabet, padded, and the one encoding of its bytes. None if it is not."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return data if base64.b64encode(data).decode() == text else None
