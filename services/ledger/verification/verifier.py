"""VerifyDocument: collects the statements about a digest, their registration and the histories, and
decides.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import storage
from services.ledger.domain import Stage
from services.ledger.errors import FieldRefused
from services.ledger.storage import Place, Search
from services.ledger.use_cases import Ledger, StatementView
from services.ledger.verification.verdicts import (
    Blocks,
    best,
    not_final_yet,
    not_registered,
    unknown,
    verdict_on,
)
from silkledger.envelope import SignedObject
from silkledger.evidence.assemble import Histories, missing_histories
from silkledger.evidence.header import Header
from silkledger.evidence.proven_histories import ProvenHistories
from silkledger.evidence.verdict import Assurance, Verdict
from silkledger.evm.engines import EngineProfile, ProofKind
from silkledger.projections.chain import stored_block
from silkledger.projections.histories import StoredHistories
from silkledger.projections.statements import parse_entry
from silkledger.runtime.auth import Caller
from silkledger.values import BlockRef, CountryCode

MAX_STATEMENTS = 100
"""Most statements about one digest that one answer judges, the earliest first."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A statement with the verdict on it."""

    view: StatementView
    verdict: Verdict


class Verifier:
    """Answers as of a final block, from one state of the database."""

    def __init__(self, ledger: Ledger, profile: EngineProfile) -> None:
        self._ledger = ledger
        self._profile = profile

    @property
    def assurance(self) -> Assurance:
        """What this service's own reading of the chain is worth. It does not check commit seals itself."""
        unsealed = self._profile.proof_kind is ProofKind.UNSEALED_HEADERS
        return Assurance.ENGINE_WITHOUT_SEALS if unsealed else Assurance.LOG_ONLY

    async def verify(
        self, caller: Caller, digest: bytes, as_of: int | None, relying: CountryCode
    ) -> tuple[Verdict, list[Judged]]:
        """The verdict on the document, and on every statement about it or manifest that holds it.

        Raises:
            FieldRefused: BLOCK_NOT_FINAL. ChainNotFollowed.
        """
        final = self._ledger.final_block()
        number = final.number if as_of is None else as_of
        if not 0 < number <= final.number:
            raise FieldRefused(
                "BLOCK_NOT_FINAL",
                "as_of_block",
                f"block {number} is not final; the last final one is {final.number}",
            )
        async with self._ledger.database.read() as connection:
            at = await storage.block_ref(connection, number)
            wanted = Search(document_digest=digest)
            rows = await storage.search_entries(connection, wanted, Place(), MAX_STATEMENTS)
            judged = []
            for row in rows:
                view = await self._ledger.view(connection, caller, row)
                judged.append(Judged(view, await self._judge(connection, view, at, final, relying)))
            missing = 0 if judged else await storage.undocumented_count(connection)
        verdicts = [item.verdict for item in judged]
        if verdicts:
            return best(verdicts), judged
        return (unknown(at, self.assurance, missing) if missing else not_registered(at, self.assurance)), []

    async def _judge(
        self,
        connection: AsyncConnection,
        view: StatementView,
        at: BlockRef,
        final: BlockRef,
        relying: CountryCode,
    ) -> Verdict:
        if view.stage is not Stage.FINAL or view.anchor is None or view.anchor.block.number > final.number:
            return not_final_yet(at, self.assurance)
        number = view.anchor.block.number
        blocks = Blocks(
            parent=await self._header(connection, number - 1),
            registration=await self._header(connection, number),
            as_of=await self._header(connection, at.number),
            known=await self._header(connection, final.number),
        )
        statement = parse_entry(view.entry.raw)
        histories = ProvenHistories(await self._histories(connection, statement, blocks, relying))
        document = view.entry.document
        place = None if document is None else (document.index, view.entry.manifest_size or 0)
        return verdict_on(statement, blocks, histories, relying, self.assurance, place)

    async def _histories(
        self, connection: AsyncConnection, statement: SignedObject, blocks: Blocks, relying: CountryCode
    ) -> Histories:
        """Everything that the rules will ask for, as recorded up to the last final block."""
        stored, known = StoredHistories(connection), blocks.known.number
        have: Histories = {}
        while missing := missing_histories(
            statement, self._ledger.settings.origin, [relying], blocks.parent.number, known, have
        ):
            for contract, key in missing:
                records = await stored.records(contract.directory_name, key, known)
                have.setdefault(contract, {})[key] = tuple(records)
        return have

    async def _header(self, connection: AsyncConnection, number: int) -> Header:
        block = await stored_block(connection, number, self._profile.header_kind)
        if block is None:
            raise FieldRefused(
                "BLOCK_NOT_FINAL", "as_of_block", f"block {number} is not in this service's archive"
            )
        return block.header
