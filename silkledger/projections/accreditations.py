"""Accreditations as they were given, for listing: facts per block, undone with their block and never edited.

The authority on what is in force stays the TrustRegistry's provable histories, read by
`silkledger.registry.trust`; this table only finds them by issuer and country. Its rows are a pure function of
the TrustRegistry's `HistoryAppended` events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.evm.contracts import ContractEvent
from silkledger.projections.rows import Row, RowsProjector
from silkledger.registry.histories import HistoryRecord, RecordInvalid
from silkledger.registry.trust_records import Grant, decode_grant
from silkledger.values import Address, BlockRef, CountryCode, DocumentType

CONTRACT = "TrustRegistry"

metadata = MetaData()

accreditation = Table(
    "accreditation",
    metadata,
    Column("block_number", BigInteger, primary_key=True, autoincrement=False),
    Column("log_index", Integer, primary_key=True, autoincrement=False),
    Column("accreditation_id", LargeBinary(32), nullable=False),
    # Account of the issuer's identity.
    Column("issuer", LargeBinary(20), nullable=False),
    Column("country", String(2), nullable=False),
    Column("document_type", String(8), nullable=False),
    # 1 low, 2 substantial, 3 high.
    Column("level", Integer, nullable=False),
    Column("from_block", BigInteger, nullable=False),
    # 0: open-ended.
    Column("until_block", BigInteger, nullable=False),
    # 32 zero bytes: given by the country's root authority.
    Column("parent", LargeBinary(32), nullable=False),
    Column("may_subaccredit", Boolean, nullable=False),
    Column("given_by", LargeBinary(20), nullable=False),
)
Index("accreditation_by_issuer", accreditation.c.issuer, accreditation.c.block_number)
Index("accreditation_by_country", accreditation.c.country, accreditation.c.block_number)


@dataclass(frozen=True, slots=True)
class ListedGrant:
    """An accreditation and its place in the chain."""

    grant: Grant
    log_index: int


class AccreditationsProjector(RowsProjector):
    """Writes the accreditations of a block. A pure function of its events."""

    @property
    def tables(self) -> tuple[Table, ...]:
        return (accreditation,)

    def rows(self, block: BlockRef, events: Sequence[ContractEvent]) -> Mapping[Table, list[Row]]:
        return {accreditation: [row for event in events if (row := accreditation_row(event)) is not None]}


def accreditation_row(event: ContractEvent) -> Row | None:
    """The row of an event; None when it is no accreditation.

    A record that names no country or document type is listed nowhere: no question can be asked about it.
    """
    if event.contract != CONTRACT or event.name != "HistoryAppended":
        return None
    try:
        grant = decode_grant(HistoryRecord(event.block_number, bytes(event.args["record"])))
    except RecordInvalid:
        return None
    return {
        "block_number": event.block_number,
        "log_index": event.log_index,
        "accreditation_id": grant.id,
        "issuer": bytes(grant.issuer),
        "country": str(grant.country),
        "document_type": str(grant.document_type),
        "level": grant.level,
        "from_block": grant.from_block,
        "until_block": grant.until_block,
        "parent": grant.parent,
        "may_subaccredit": grant.may_subaccredit,
        "given_by": bytes(grant.by),
    }


async def list_grants(
    connection: AsyncConnection,
    *,
    issuer: Address | None,
    country: CountryCode | None,
    until_block: int,
    after: tuple[int, int],
    limit: int,
) -> list[ListedGrant]:
    """What was recorded up to `until_block`, in order of recording, after the place (block, log index)."""
    place = tuple_(accreditation.c.block_number, accreditation.c.log_index)
    query = (
        select(accreditation)
        .where(accreditation.c.block_number <= until_block, place > tuple_(*after))
        .order_by(accreditation.c.block_number, accreditation.c.log_index)
        .limit(limit)
    )
    if issuer is not None:
        query = query.where(accreditation.c.issuer == bytes(issuer))
    if country is not None:
        query = query.where(accreditation.c.country == str(country))
    return [
        ListedGrant(
            Grant(
                id=bytes(row.accreditation_id),
                issuer=Address(bytes(row.issuer)),
                country=CountryCode(row.country),
                document_type=DocumentType(row.document_type),
                level=row.level,
                from_block=row.from_block,
                until_block=row.until_block,
                parent=bytes(row.parent),
                may_subaccredit=row.may_subaccredit,
                by=Address(bytes(row.given_by)),
                recorded_at=row.block_number,
            ),
            row.log_index,
        )
        for row in (await connection.execute(query)).all()
    ]
