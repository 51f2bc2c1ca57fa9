"""A bank's vault: what its messages, its statements and the chain determine of it, computed again.

1. a message's and a statement's key is the SHA-256 of its bytes, and a statement is one, well signed;
2. a payment's id is that of its salt and leg, and its terms are those of the message that holds the leg;
3. its commitment is that of the terms, and on chain it was opened with that commitment;
4. its one-time addresses are those that acted on chain.

Not compared, because nothing but the bank's word determines them: states and their times, counterparties'
names and endpoints, reconciliations. What is on chain and in no vault that was given is UNAVAILABLE.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger import cbor
from silkledger.audit.compare import shown
from silkledger.audit.leaves import check_leaves
from silkledger.audit.report import Difference
from silkledger.projections.settlements import PAYMENT_FACT

TABLES: Final = ("message", "signed", "payment")
"""A database that has them is a bank's."""

OPEN: Final = 1
ACCEPTED: Final = 2
"""States of SettlementLedger's `PaymentStateChanged`: the debtor's and the creditor's first act."""

_LEG: Final = ("uetr", "role", "hop")

Terms = dict[str, Any]
"""Columns of a payment that its message determines."""


class TermsReader(Protocol):
    """Reads ISO 20022 messages for the audit, which does not know that format."""

    async def terms(self, messages: Sequence[bytes]) -> list[list[Terms]]:
        """Of each message the terms of its transactions, by the names of `payment`'s columns."""
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """What the chain says of one payment."""

    commitment: bytes
    debtor: bytes
    creditor: bytes | None
    """One-time address that accepted; None: nobody did."""


@dataclass(slots=True)
class VaultAudit:
    """What was found about one vault."""

    rows: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    unavailable: list[str] = field(default_factory=list)
    held: set[bytes] = field(default_factory=set)
    """Ids of the payments whose details are here."""


def payment_id(salt: bytes, leg: Sequence[object]) -> bytes:
    """docs/formats/settlement.md"""
    return hashlib.sha256(b"silkledger/payment/v1" + salt + cbor.encode(list(leg))).digest()


def commitment(salt: bytes, terms: Terms, message_digest: bytes) -> bytes:
    """docs/formats/settlement.md"""
    names = (
        _LEG,
        ("end_to_end_id", "transaction_id", "clearing_reference"),
        ("instructing_bic", "instructed_bic", "debtor_bic", "creditor_bic"),
        ("amount_minor", "currency", "market"),
    )
    told: list[cbor.CborValue] = ["silkledger/terms/v1", salt]
    told += [[terms[name] for name in group] for group in names]
    told += [terms["settlement_date"], terms["charges_minor"], message_digest]
    return hashlib.sha256(cbor.encode(told)).digest()


async def opened_payments(replayed: AsyncConnection, upto: int) -> dict[bytes, Opened]:
    """Every payment that was opened on chain up to the block."""
    fact = PAYMENT_FACT.c
    query = (
        select(fact.payment_id, fact.state, fact.by, fact.data)
        .where(fact.state.in_((OPEN, ACCEPTED)), fact.block_number <= upto)
        .order_by(fact.block_number, fact.log_index)
    )
    found: dict[bytes, Opened] = {}
    for row in await replayed.execute(query):
        key = bytes(row.payment_id)
        if row.state == OPEN:
            found[key] = Opened(bytes(row.data), bytes(row.by), None)
        elif key in found:
            found[key] = Opened(found[key].commitment, found[key].debtor, bytes(row.by))
    return found


async def audit_vault(
    database: str, live: AsyncConnection, opened: Mapping[bytes, Opened], reader: TermsReader
) -> VaultAudit:
    """Steps (1) to (4) on one bank's database."""
    told = VaultAudit()
    messages = await _messages(database, live, told)
    await _statements(database, live, told)
    told_terms = await reader.terms([content for _, content in messages])
    legs = [
        (digest, terms) for (digest, _), found in zip(messages, told_terms, strict=True) for terms in found
    ]
    rows = await _rows(live, "payment")
    told.rows["payment"] = len(rows)
    for row in rows:
        told.held.add(bytes(row["payment_id"]))
        _Payment(database, row, legs, opened.get(bytes(row["payment_id"])), told).check()
    return told


_QUERIES: Final = {
    "message": text("SELECT * FROM message ORDER BY digest"),
    "signed": text("SELECT * FROM signed ORDER BY payment_id, statement_digest"),
    "payment": text("SELECT * FROM payment ORDER BY payment_id"),
}


async def _rows(live: AsyncConnection, table: str) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in await live.execute(_QUERIES[table])]


async def _messages(database: str, live: AsyncConnection, told: VaultAudit) -> list[tuple[bytes, bytes]]:
    """(1) (digest, content) of those whose bytes are what their key says."""
    good = []
    for row in await _rows(live, "message"):
        told.rows["message"] = told.rows.get("message", 0) + 1
        digest, content = bytes(row["digest"]), bytes(row["content"])
        if hashlib.sha256(content).digest() == digest:
            good.append((digest, content))
        else:
            found = f"bytes with SHA-256 {shown(hashlib.sha256(content).digest())}"
            key = f"digest={shown(digest)}"
            told.differences.append(
                Difference(database, "message", key, "content", "bytes with that SHA-256", found)
            )
    return good


async def _statements(database: str, live: AsyncConnection, told: VaultAudit) -> None:
    """(1)"""
    for row in await _rows(live, "signed"):
        told.rows["signed"] = told.rows.get("signed", 0) + 1
        digest, raw = bytes(row["statement_digest"]), bytes(row["statement"])
        (says,) = check_leaves([raw])
        wrong = None if hashlib.sha256(raw).digest() == digest else "bytes with another SHA-256"
        if wrong or says.refused:
            key = f"payment_id={shown(row['payment_id'])}, statement_digest={shown(digest)}"
            told.differences.append(
                Difference(
                    database, "signed", key, "statement", "the signed statement", wrong or says.refused or ""
                )
            )


@dataclass(frozen=True, slots=True)
class _Payment:
    """One row of `payment`, and what determines it."""

    database: str
    row: Mapping[str, Any]
    legs: Sequence[tuple[bytes, Terms]]
    opened: Opened | None
    told: VaultAudit

    def check(self) -> None:
        """Steps (2) to (4)."""
        key, salt = bytes(self.row["payment_id"]), bytes(self.row["salt"])
        found = [leg for leg in self.legs if payment_id(salt, [leg[1][name] for name in _LEG]) == key]
        if not found:
            self._without_terms(key)
            return
        expected = self.opened.commitment if self.opened else None
        digest, terms = next((leg for leg in found if commitment(salt, leg[1], leg[0]) == expected), found[0])
        for name, value in {**terms, "message_digest": digest}.items():  # (2)
            self._compare(name, value)
        self._compare("commitment", expected or commitment(salt, terms, digest))  # (3)
        if expected is not None and commitment(salt, terms, digest) != expected:
            self._differs("message_digest", f"a message with commitment {shown(expected)}", shown(digest))
        self._addresses()  # (4)

    def _without_terms(self, key: bytes) -> None:
        """The salt is another one, or the message is not here."""
        leg = [self.row[name] for name in _LEG]
        if any([terms[name] for name in _LEG] == leg for _, terms in self.legs):
            self._differs("salt", "the salt of the payment id", shown(self.row["salt"]))
        else:
            self.told.unavailable.append(
                f"{self.database}: the message of payment {shown(key)} is not in the vault"
            )

    def _addresses(self) -> None:
        if self.opened is None:
            return
        ours, theirs = _value(self.row["own_address"]), _value(self.row["counterparty_address"])
        outgoing = bool(self.row["outgoing"])
        debtor, creditor = (ours, theirs) if outgoing else (theirs, ours)
        if creditor == self.opened.debtor and self.opened.creditor in (None, debtor):
            self._differs("outgoing", shown(not outgoing), shown(outgoing))
            return
        own, other = "own_address", "counterparty_address"
        self._compare(own if outgoing else other, self.opened.debtor)
        if self.opened.creditor is not None:
            self._compare(other if outgoing else own, self.opened.creditor)

    def _compare(self, name: str, value: object) -> None:
        found = _value(self.row[name])
        if found != value:
            self._differs(name, shown(value), shown(found))

    def _differs(self, name: str, replayed: str, found: str) -> None:
        key = f"payment_id={shown(self.row['payment_id'])}"
        self.told.differences.append(Difference(self.database, "payment", key, name, replayed, found))


def _value(value: Any) -> Any:
    return bytes(value) if isinstance(value, bytes | memoryview) else value
