"""Checkpoints, receipts, proofs and entries, each from one state of the database."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import storage
from services.ledger.domain import may_read_entry
from services.ledger.errors import FieldRefused, LogHalted, NotLoggedYet, StatementNotFound
from services.ledger.log_keys.signing import NoKeyCounts, recorded, with_one_line
from services.ledger.sequencing.log_tree import consistency_path, inclusion_path
from services.ledger.storage import CheckpointRow, EntryRow
from services.ledger.use_cases import Ledger
from services.ledger.witnessing.cosignatures import cosignatures
from silkledger.log.checkpoint import LogVerifierKey
from silkledger.log.tree import ProofInvalid
from silkledger.projections.anchors import AnchorRow, first_covering
from silkledger.runtime.auth import Caller
from silkledger.runtime.errors import Forbidden


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt with the checkpoint of the same size and the cosignatures that were collected for it."""

    receipt: bytes
    checkpoint: str
    """With the lines of all keys that the log signed it with."""
    shown: str
    """With the line of the receipt's key alone, and those of the cosigners: as evidence shows it."""
    cosigners: tuple[str, ...]
    """Verifier keys of the witnesses, in the order of their lines in the checkpoint."""
    leaf_index: int
    tree_size: int


class LogReads:
    """Reads of one log. Nothing is signed here while the log is halted."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def checkpoint(self) -> str:
        """The latest signed checkpoint. Raises: ChainNotFollowed before the log was opened for the first
        time.
        """
        async with self._ledger.database.read() as connection:
            found = await storage.checkpoint_at(connection)
            if found is None:
                self._ledger.queue.check(0)
                raise FieldRefused("TREE_SIZE_UNKNOWN", "", "no checkpoint was published yet")
            return found.note + "".join((await cosignatures(connection, found.tree_size)).values())

    async def receipt(self, statement_id: bytes) -> Receipt:
        """The receipt of a logged statement, under the first anchored tree that holds it, else the
        earliest one.

        Raises:
            StatementNotFound, NotLoggedYet, LogHalted.
        """
        async with self._ledger.database.read() as connection:
            rows = await storage.entries_by_id(connection, [statement_id])
            if statement_id not in rows:
                raise StatementNotFound
            return await self.receipt_of(connection, rows[statement_id])

    async def receipt_of(self, connection: AsyncConnection, row: EntryRow) -> Receipt:
        """As `receipt`, for an entry at hand."""
        if self._ledger.queue.halted is not None:
            raise LogHalted(self._ledger.queue.halted)
        if row.leaf_index is None:
            raise NotLoggedYet
        anchor = await first_covering(connection, self._ledger.origin_id, row.leaf_index)
        head = await self._covering(connection, row.leaf_index, anchor)
        counting = None if anchor is None else await self._counting(connection, anchor.block_number)
        path = await inclusion_path(connection, row.leaf_index, head.tree_size)
        try:
            signature, note = self._ledger.log_keys.proof_of(head, counting)
        except NoKeyCounts as error:
            raise LogHalted(str(error)) from None
        lines = await cosignatures(connection, head.tree_size)
        cosigned = "".join(lines.values())
        return Receipt(
            receipt=signature.receipt(head.tree_size, row.leaf_index, path),
            checkpoint=note + cosigned,
            shown=with_one_line(note, signature.key_id, self._ledger.settings.origin) + cosigned,
            cosigners=tuple(lines),
            leaf_index=row.leaf_index,
            tree_size=head.tree_size,
        )

    async def _covering(
        self, connection: AsyncConnection, leaf_index: int, anchor: AnchorRow | None
    ) -> CheckpointRow:
        head = None if anchor is None else await storage.checkpoint_at(connection, anchor.size)
        head = head or await storage.first_checkpoint_covering(connection, leaf_index)
        if head is None:
            raise NotLoggedYet
        return head

    async def _counting(self, connection: AsyncConnection, block: int) -> list[LogVerifierKey]:
        """The log's keys that count for what was anchored in `block`."""
        origin = self._ledger.settings.origin
        history = await recorded(connection, origin)
        keys = () if history is None else history.counting(block)
        found = (LogVerifierKey.of_recorded(origin, key) for key in keys)
        return [key for key in found if key is not None]

    async def inclusion(self, leaf_index: int, tree_size: int) -> list[bytes]:
        """RFC 9162 inclusion path. Raises: FieldRefused TREE_SIZE_UNKNOWN."""
        async with self._ledger.database.read() as connection:
            await self._check_size(connection, tree_size)
            try:
                return await inclusion_path(connection, leaf_index, tree_size)
            except ProofInvalid as error:
                raise FieldRefused("TREE_SIZE_UNKNOWN", "leaf_index", error.detail) from None

    async def consistency(self, first: int, second: int) -> list[bytes]:
        """RFC 9162 consistency path. Raises: FieldRefused TREE_SIZE_UNKNOWN."""
        async with self._ledger.database.read() as connection:
            await self._check_size(connection, second)
            try:
                return await consistency_path(connection, first, second)
            except ProofInvalid as error:
                raise FieldRefused("TREE_SIZE_UNKNOWN", "first_size", error.detail) from None

    async def _check_size(self, connection: AsyncConnection, size: int) -> None:
        head = await storage.checkpoint_at(connection)
        known = 0 if head is None else head.tree_size
        if size > known:
            raise FieldRefused("TREE_SIZE_UNKNOWN", "tree_size", f"the log has {known} leaves, not {size}")

    async def entries(self, caller: Caller, start: int, page_size: int) -> tuple[list[EntryRow], int]:
        """A page of the log, with the tree's size.

        Whole pages are for auditors and the operator; anybody else gets a page only if all of it is theirs.

        Raises:
            Forbidden.
        """
        async with self._ledger.database.read() as connection:
            head = await storage.checkpoint_at(connection)
            rows = await storage.logged_entries(connection, start, page_size or 100)
        for row in rows:
            if not may_read_entry(caller.did, caller.roles, row.issuer, row.audience):
                raise Forbidden("entries are for their issuer, their audience, auditors and the operator")
        return rows, 0 if head is None else head.tree_size
