"""Which storage slots evidence may ask for, whoever's statement it is about.

Of the registries: what authorises any accredited issuer towards any registered country, recorded or not. Only
accredited issuers are admitted (services.ledger.admission), so these are all whose statements are in the log.
Of DocumentStatus: its whole storage, since then the absence of any word about any statement can be proven, of
as many statements as there are, without asking for one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.evidence.assemble import slot_of
from silkledger.evidence.bundle import Contract
from silkledger.evidence.keccak import keccak256
from silkledger.projections.histories import HISTORY
from silkledger.registry.histories import (
    HistoryRecord,
    RecordInvalid,
    accreditation_key,
    accreditation_status_key,
    country_key,
    identity_key,
    recognition_key,
    record_kind,
)
from silkledger.registry.trust_records import decode_country, decode_grant

Decoded = TypeVar("Decoded")

_COUNTRY: Final = 1
_GRANT: Final = 2
"""Kinds of records of the TrustRegistry (docs/formats/accreditation.md)."""

_LAST_SLOT: Final = 1
"""Storage slot of DocumentStatus' second mapping, from a history's key to a struct of two words."""


async def registry_slots(connection: AsyncConnection, block: int) -> dict[Contract, list[int]]:
    """Slots of TrustRegistry and IdentityRegistry as of `block`, the most needed first.

    Identities; countries, accreditations and their status; then each country's recognition of each country's
    accreditations for a document type.
    """
    columns = HISTORY.c
    query = (
        select(columns.block_number, columns.record)
        .where(columns.contract == Contract.TRUST_REGISTRY.directory_name, columns.block_number <= block)
        .order_by(columns.block_number, columns.log_index)
    )
    records = [HistoryRecord(row.block_number, bytes(row.record)) for row in await connection.execute(query)]
    countries = {item.country for item in _decoded(records, _COUNTRY, decode_country)}
    grants = _decoded(records, _GRANT, decode_grant)
    trust = [country_key(country) for country in sorted(countries)]
    for grant in grants:
        trust.append(accreditation_key(grant.issuer, grant.document_type))
        trust.append(accreditation_status_key(grant.id))
    issued = dict.fromkeys((grant.country, grant.document_type) for grant in grants)
    trust += [
        recognition_key(relying, issuing, document_type)
        for issuing, document_type in issued
        for relying in sorted(countries - {issuing})
    ]
    identities = [identity_key(grant.issuer) for grant in grants]
    return {
        Contract.IDENTITY_REGISTRY: _slots(identities),
        Contract.TRUST_REGISTRY: _slots(trust),
    }


async def status_slots(connection: AsyncConnection, after: int, block: int) -> list[int]:
    """Every slot of DocumentStatus that was written in blocks `after` + 1 to `block`."""
    columns = HISTORY.c
    query = (
        select(columns.key)
        .where(columns.contract == Contract.DOCUMENT_STATUS.directory_name)
        .where(columns.block_number > after, columns.block_number <= block)
    )
    found: list[int] = []
    for key in dict.fromkeys(bytes(row.key) for row in await connection.execute(query)):
        last = int.from_bytes(keccak256(key + _LAST_SLOT.to_bytes(32, "big")), "big")
        found += [slot_of(key), last, (last + 1) % 2**256]
    return found


def _slots(keys: Sequence[bytes]) -> list[int]:
    return [slot_of(key) for key in dict.fromkeys(keys)]


def _decoded(
    records: Iterable[HistoryRecord], kind: int, decode: Callable[[HistoryRecord], Decoded]
) -> list[Decoded]:
    found = []
    for item in records:
        try:
            if record_kind(item.record) == kind:
                found.append(decode(item))
        except RecordInvalid:
            continue  # such a record authorises nobody
    return found
