"""Where `audit replay` reads a log's entries beside a ledger database: a mirror, or the log as an auditor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from silkledger.cli.context import Session
from silkledger.cli.log_keys import known_log_keys

if TYPE_CHECKING:
    from silkledger.audit.entries import EntriesSource
    from silkledger.log.checkpoint import LogKeys


class MirrorEntries:
    """The entries of a mirror, as far as its checkpoint, which the log signed, says that it goes."""

    def __init__(self, directory: Path, keys: LogKeys) -> None:
        self._directory = directory
        self._keys = keys

    @property
    def name(self) -> str:
        return "mirror"

    async def entries(self, upto: int) -> AsyncIterator[tuple[int, bytes]]:
        """Raises: EntriesUnavailable."""
        from silkledger.audit.entries import EntriesUnavailable
        from silkledger.mirror.directory import MirrorDirectory
        from silkledger.mirror.errors import MirrorError
        from silkledger.mirror.follow import held
        from silkledger.mirror.verify import read_entries

        directory = MirrorDirectory(self._directory)
        try:
            size = held(directory, self._keys).size
            for index, raw in enumerate(read_entries(directory, 0, min(upto, size))):
                yield index, raw
        except (MirrorError, OSError) as error:
            raise EntriesUnavailable(str(error)) from error


class ServiceEntries:
    """The entries as the ledger service gives them to this organisation: all of them to an auditor."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def name(self) -> str:
        return "log"

    async def entries(self, upto: int) -> AsyncIterator[tuple[int, bytes]]:
        """Raises: EntriesUnavailable."""
        from silkledger.audit.entries import EntriesUnavailable
        from silkledger.client.errors import RpcFailed

        try:
            async with self._session.ledger() as ledger:
                async for index, raw in ledger.entries():
                    if index >= upto:
                        return
                    yield index, raw
        except RpcFailed as error:
            raise EntriesUnavailable(str(error)) from error


async def source_of(session: Session, mirror: Path | None, node: str = "") -> EntriesSource | None:
    """The mirror if one is named, else the log if somebody asks under a name. The log's keys are the one in
    network.json and, where the node answers, those that count there.
    """
    if mirror is not None:
        return MirrorEntries(mirror, await known_log_keys(session, node))
    return ServiceEntries(session) if session.alias else None
