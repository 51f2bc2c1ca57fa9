"""Reasons: documented, complete, and each with one code."""

from __future__ import annotations

import re
from pathlib import Path

from services.ledger.errors import FORM_REASONS, REASONS, StatementsRefused
from silkledger.runtime.errors import Code, FieldViolation
from tools.error_reasons import TARGET, text

ROOT = Path(__file__).resolve().parents[4]


def test_the_documented_list_is_that_of_the_code() -> None:
    assert TARGET.read_text(encoding="utf-8") == text()


def test_every_reason_that_a_statement_is_refused_for_is_known() -> None:
    """Whatever `StatementError` can carry must have a code here, or a bad statement would become a fault."""
    sources = [ROOT / "silkledger" / name for name in ("statement.py", "envelope.py", "cose.py")]
    written = "".join(path.read_text() for path in sources)
    raised = set(re.findall(r'(?:StatementError|CoseError)\(\s*"([A-Z0-9_]+)"', written))
    raised |= set(re.findall(r'"((?:COSE|SALT|SUPERSEDES|ISSUER|AUDIENCE|CONTROLLER_KEY)_[A-Z_]+)"', written))
    assert raised
    assert raised - {"SALT_SIZE"} <= set(FORM_REASONS)


def test_every_reason_that_the_service_raises_is_in_the_map() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "services" / "ledger").rglob("*.py"))
    raised = set(re.findall(r'(?:FieldRefused|LedgerError)\(\s*"([A-Z0-9_]+)"', sources))
    raised |= set(re.findall(r'Violation\([^")]*"[a-z_]+",\s*"([A-Z0-9_]+)"', sources))
    assert raised
    assert raised <= set(REASONS)


def test_a_call_whose_statements_fail_alike_has_their_reason() -> None:
    same = [FieldViolation(f"statements[{i}].issuer", "ISSUER_UNKNOWN", "x") for i in range(2)]
    assert (StatementsRefused(same).reason, StatementsRefused(same).code) == (
        "ISSUER_UNKNOWN",
        Code.FAILED_PRECONDITION,
    )
    mixed = [*same, FieldViolation("statements[2].signature", "SIGNATURE_INVALID", "x")]
    assert (StatementsRefused(mixed).reason, len(StatementsRefused(mixed).violations)) == (
        "STATEMENTS_REFUSED",
        3,
    )
