"""Where `audit replay` reads a log's entries beside a ledger database: a mirror, or the log as an auditor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from silkledger.cli.context import Session

if TYPE_CHECKING:
    from silkledger.audit.entries import EntriesSource


class MirrorEntries:
    """The entries of a mirror, as far as its checkpoint, which the log signed, says that it goes."""

    def __init__(self, directory: Path, log_verifier_key: str) -> None:
        self._directory = directory
        self._key = log_verifier_key

    @property
    def name(self) -> str:
        return "mirror"

    async def entries(self, upto: int) -> AsyncIterator[tuple[int, bytes]]:
        """Raises: EntriesUnavailable."""
        from silkledger.audit.entries import EntriesUnavailable
        from silkledger.log.checkpoint import LogVerifierKey
        from silkledger.mirror.directory import MirrorDirectory
        from silkledger.mirror.errors import MirrorError
        from silkledger.mirror.follow import held
        from silkledger.mirror.verify import read_entries

        directory = MirrorDirectory(self._directory)
        try:
            size = held(directory, LogVerifierKey.parse(self._key)).size
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


def source_of(session: Session, mirror: Path | None) -> EntriesSource | None:
    """The mirror if one is named, else the log if somebody asks under a name."""
    if mirror is not None:
        return MirrorEntries(mirror, session.network_file.log_verifier_key)
    return ServiceEntries(session) if session.alias else None
