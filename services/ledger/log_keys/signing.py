"""The keys that this process signs with for the log: one, or two while the log changes its key.

All of them sign every checkpoint; the first one signs promises. Which keys count is said on chain: a process
with a key that does not count refuses to start, and a key that is ended while it runs signs no new head. It
still signs what shows a head that was anchored while it counted, where no signature was kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger.storage import CheckpointRow
from silkledger.evm.contracts import Network, view
from silkledger.evm.log_keys import counting_log_keys
from silkledger.evm.port import Node
from silkledger.keys import PrivateKey, load_key
from silkledger.log.checkpoint import (
    Checkpoint,
    LogVerifierKey,
    Note,
    NoteError,
    named_keys,
    parse_note,
    sign_checkpoint,
)
from silkledger.log.receipt import RootSignature, read_root_signatures, sign_root
from silkledger.projections.anchors import CONTRACT
from silkledger.projections.histories import StoredHistories
from silkledger.registry.histories import origin_id
from silkledger.registry.origins import OriginHistory, origin_history
from silkledger.runtime.db import Database
from silkledger.runtime.settings import SettingsError, variable_of
from silkledger.runtime.telemetry import logger
from silkledger.runtime.waiting import first_of
from silkledger.values import Address, MerkleRoot

NOBODY: Final = Address(bytes(20))
"""The controller of an origin that nobody registered."""
LOOK_S: Final = 1.0
"""Pause between looks whether one of the keys was ended."""


class NoKeyCounts(Exception):
    """Every key of this process was ended on chain: it must sign no new head of the log."""

    def __init__(self, keys: Sequence[LogVerifierKey]) -> None:
        super().__init__(f"ended on chain: {', '.join(map(str, keys))}; start with a key that counts")


class LogSigningKeys:
    """The log's private keys, in the order in which they sign. Knows of an end only what it was told."""

    def __init__(self, origin: str, *keys: PrivateKey) -> None:
        """Raises: NoteError KEY_SUITE for a key that is not Ed25519, VKEY_MALFORMED for an origin."""
        self.origin = origin
        self.verifier_keys = tuple(LogVerifierKey.of(origin, key.verifying_key) for key in keys)
        self._keys = dict(zip(self.verifier_keys, keys, strict=True))
        self._ended: frozenset[LogVerifierKey] = frozenset()

    @property
    def usable(self) -> tuple[LogVerifierKey, ...]:
        """Those that were not ended; perhaps none."""
        return tuple(key for key in self.verifier_keys if key not in self._ended)

    @property
    def current(self) -> PrivateKey:
        """The key of promises: the first that was not ended. Raises: NoKeyCounts."""
        return self._keys[self._signing()[0]]

    def _signing(self) -> tuple[LogVerifierKey, ...]:
        found = self.usable
        if not found:
            raise NoKeyCounts(self.verifier_keys)
        return found

    def checkpoint(self, size: int, root: bytes) -> CheckpointRow:
        """The head, signed by every key that was not ended, for its note and for its receipts.

        The caller must make sure that it never signs a head that does not extend what it signed before.

        Raises: NoKeyCounts.
        """
        return self._signed(Checkpoint(self.origin, size, MerkleRoot(root)), self._signing())

    def proof_of(
        self, head: CheckpointRow, counting: Sequence[LogVerifierKey] | None = None
    ) -> tuple[RootSignature, str]:
        """A receipt's signature under a published head, and the head's note with a line by the same key.

        By a key among `counting` if one signed the head, or is at hand; else by any. What was signed with the
        head is taken first: a key that is ended and gone is not needed. A head that has no signatures, as
        that of a restored log, is signed anew.

        Raises: NoKeyCounts: there is neither a signature nor a key that was not ended.
        """
        kept = read_root_signatures(head.signatures)
        for wanted in (counting, None):
            found = [root for root in kept if wanted is None or named_keys(wanted, root.key_id)]
            if found:
                return found[0], head.note
            mine = self.usable if wanted is None else [key for key in self.verifier_keys if key in wanted]
            if mine:
                checkpoint = Checkpoint(self.origin, head.tree_size, MerkleRoot(head.root))
                anew = self._signed(checkpoint, mine[:1])
                return read_root_signatures(anew.signatures)[0], _with_lines(head.note, anew.note)
        raise NoKeyCounts(self.verifier_keys)

    def _signed(self, checkpoint: Checkpoint, by: Sequence[LogVerifierKey]) -> CheckpointRow:
        keys = [self._keys[key] for key in by]
        roots = (sign_root(key, origin=self.origin, root=checkpoint.root) for key in keys)
        return CheckpointRow(
            checkpoint.size,
            bytes(checkpoint.root),
            sign_checkpoint(checkpoint, *keys),
            b"".join(root.encode() for root in roots),
        )

    async def look(self, connection: AsyncConnection) -> None:
        """Learn which keys were ended, by the blocks applied so far."""
        history = await recorded(connection, self.origin)
        if history is None:
            return
        ended = {key.log_key for key in history.keys if key.ended_at is not None}
        before, self._ended = (
            self._ended,
            frozenset(key for key in self.verifier_keys if key.recorded in ended),
        )
        for key in self._ended - before:
            logger().warning("log_key_ended", key=str(key))


def _with_lines(text: str, other: str) -> str:
    """The note with those signature lines of `other`, a note of the same head, that it has not."""
    note = parse_note(text)
    more = [line for line in parse_note(other).signatures if line not in note.signatures]
    return Note(note.body, (*note.signatures, *more)).text()


def with_one_line(text: str, key_id: bytes, origin: str) -> str:
    """The note with the log's line of this key alone: as evidence shows it."""
    note = parse_note(text)
    lines = (line for line in note.signatures if (line.name, line.key_id) == (origin, key_id))
    return Note(note.body, tuple(lines)[:1]).text()


async def recorded(connection: AsyncConnection, origin: str) -> OriginHistory | None:
    """The origin's history by the blocks applied so far; None: nobody registered it there."""
    return origin_history(await StoredHistories(connection).records(CONTRACT, origin_id(origin)))


def load_log_keys(origin: str, current: Path, further: Sequence[str]) -> LogSigningKeys:
    """The keys of the settings. Raises: SettingsError, KeyFileError."""
    loaded = [load_key(current), *(load_key(Path(path)) for path in further)]
    try:
        keys = LogSigningKeys(origin, *loaded)
    except NoteError as error:
        raise SettingsError({variable_of("log_key_file"): str(error)}) from None
    if len(set(keys.verifier_keys)) < len(keys.verifier_keys):
        raise SettingsError({variable_of("further_log_key_files"): "a key stands there twice"})
    for key in keys.verifier_keys:
        if len(named_keys(keys.verifier_keys, key.key_id)) > 1:
            raise SettingsError(
                {variable_of("further_log_key_files"): "two keys have one key id: make another"}
            )
    return keys


async def check_log_keys(node: Node, network: Network, keys: LogSigningKeys) -> None:
    """That every key counts on chain; of an origin that nobody registered, that there is one key, which this
    service will register.

    Raises:
        SettingsError: names the setting, the key and what is wrong with it. NodeError.
    """
    identifier = origin_id(keys.origin)
    controller, _ = await view(node, network, CONTRACT, "originOf", (identifier,))
    if controller == NOBODY:
        if len(keys.verifier_keys) > 1:
            raise SettingsError(
                {variable_of("further_log_key_files"): f"{keys.origin} is not registered yet: it has one key"}
            )
        return
    counting = await counting_log_keys(node, network, keys.origin)
    for place, key in enumerate(keys.verifier_keys):
        if key not in counting:
            setting = variable_of("further_log_key_files" if place else "log_key_file")
            raise SettingsError({setting: f"{key} does not count on chain: it was not added, or was ended"})


class KeyWatch:
    """Tells `LogSigningKeys` what happens to them on chain, in a process that does not sequence as well."""

    def __init__(self, database: Database, keys: LogSigningKeys) -> None:
        self._database = database
        self._keys = keys

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                async with self._database.read() as connection:
                    await self._keys.look(connection)
            except DBAPIError as error:
                logger().warning("log_keys_unread", why=type(error).__name__)
            await first_of((stop,), LOOK_S)

    async def health(self) -> str | None:
        """None while a key counts, else a sentence."""
        keys = self._keys
        return None if keys.usable else f"every key was ended: {', '.join(map(str, keys.verifier_keys))}"
