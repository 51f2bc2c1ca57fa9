"""May these be registered? Every bad statement of a call is named; nothing is written here.

Signatures and form are checked by `SignatureChecker`; here is what the chain and the log say: the issuer's
keys and accreditations as of a final block, and what a statement claims to supersede.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.ledger import storage
from services.ledger.admission.checker import SignatureChecker
from services.ledger.admission.issuers import Issuers, Standing
from services.ledger.domain import (
    MAX_BATCH_BYTES,
    CheckedRun,
    Violation,
    claimed_issuer,
    supersession_violations,
)
from services.ledger.errors import ManifestRefused, StatementsRefused
from silkledger.projections.statements import parse_entry
from silkledger.runtime.auth import Caller
from silkledger.runtime.db import Database
from silkledger.runtime.errors import FieldViolation
from silkledger.values import BlockRef, Did, DocumentType


@dataclass(frozen=True, slots=True)
class Admitted:
    """A call that may be accepted, and the issuer that all of it speaks for."""

    issuer: Did
    checked: CheckedRun


@dataclass(frozen=True, slots=True)
class Admission:
    """Admits against the state of the chain at a final block."""

    database: Database
    issuers: Issuers
    checker: SignatureChecker

    async def statements(self, caller: Caller, raws: Sequence[bytes], at: BlockRef) -> Admitted:
        """What passed, which is all. Raises: StatementsRefused, naming every bad statement."""
        if sum(map(len, raws)) > MAX_BATCH_BYTES:
            raise StatementsRefused(
                [FieldViolation("statements", "BATCH_TOO_LARGE", f"more than {MAX_BATCH_BYTES} bytes in all")]
            )
        standing = await self._standing(caller, raws, at)
        checked = await self.checker.check(raws, standing.keys)
        violations = await self._violations(checked, raws, standing, at)
        if violations:
            raise StatementsRefused([_in_call(item) for item in violations])
        return Admitted(standing.keys.did, checked)

    async def manifest(self, caller: Caller, raw: bytes, leaves: bytes, at: BlockRef) -> Admitted:
        """The manifest as the one item of a call. Raises: ManifestRefused."""
        standing = await self._standing(caller, [raw], at)
        checked = await self.checker.check_manifest(raw, leaves, standing.keys)
        violations = await self._violations(checked, [raw], standing, at)
        if violations:
            raise ManifestRefused([_in_manifest(item) for item in violations])
        return Admitted(standing.keys.did, checked)

    async def _standing(self, caller: Caller, raws: Sequence[bytes], at: BlockRef) -> Standing:
        """Of the caller; or, where the call speaks for an issuer that named the caller as its relay on chain
        and the delegation is in force at the block, of that issuer. A call speaks for one of them.
        """
        claimed = claimed_issuer(raws)
        if claimed is not None and claimed != caller.did and claimed.chain_id == caller.did.chain_id:
            relayed = await self.issuers.standing(claimed, at)
            if caller.did.address in relayed.keys.relays:
                return relayed
        return await self.issuers.standing(caller.did, at)

    async def _violations(
        self, checked: CheckedRun, raws: Sequence[bytes], standing: Standing, at: BlockRef
    ) -> list[Violation]:
        """All that is wrong, by place in the call."""
        found = list(checked.violations)
        found += await self._not_accredited(checked, standing, at)
        found += await self._bad_supersessions(checked, raws, standing.keys.did.text)
        return sorted(found, key=lambda item: item.index)

    async def _not_accredited(self, checked: CheckedRun, standing: Standing, at: BlockRef) -> list[Violation]:
        issuer = standing.keys.did.address
        answers = {
            kind: await self.issuers.accredited(issuer, DocumentType(kind), at) for kind in set(checked.types)
        }
        if all(answers.values()):
            return []
        known = standing.recorded or await self.issuers.ever_accredited(issuer, at)
        found = []
        for index, kind in zip(checked.good, checked.types, strict=True):
            if answers[kind]:
                continue
            if known:
                text = f"not accredited for document type {kind} at block {at.number}"
                found.append(Violation(index, "document_type", "ISSUER_NOT_ACCREDITED", text))
            else:
                text = f"nothing is on chain about this issuer at block {at.number}"
                found.append(Violation(index, "issuer", "ISSUER_UNKNOWN", text))
        return found

    async def _bad_supersessions(
        self, checked: CheckedRun, raws: Sequence[bytes], issuer: str
    ) -> list[Violation]:
        if not checked.superseding:
            return []
        earlier = {item.supersedes for item in checked.superseding}
        async with self.database.read() as connection:
            known = await storage.entries_by_id(connection, list(earlier))
        places = {key: (row.issuer, row.subject) for key, row in known.items()}
        for index, statement_id in zip(checked.good, checked.id_list(), strict=True):
            if statement_id in earlier:
                places.setdefault(statement_id, (issuer, parse_entry(raws[index]).subject))
        return supersession_violations(checked.superseding, issuer, places)


def _in_call(item: Violation) -> FieldViolation:
    return FieldViolation(f"statements[{item.index}].{item.field}", item.reason, item.detail)


def _in_manifest(item: Violation) -> FieldViolation:
    field = item.field if item.field.startswith("leaves") else f"manifest.{item.field}"
    return FieldViolation(field, item.reason, item.detail)
