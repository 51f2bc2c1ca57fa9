"""Write docs/formats/errors.md: every reason that a service may answer with, from the services' own maps."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

from silkledger.runtime.errors import RUNTIME_REASONS, Code

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "formats" / "errors.md"

INTRODUCTION = """# Errors

A call that fails carries a `google.rpc.Status` (in the trailer `grpc-status-details-bin`) with

- `ErrorInfo`: domain `silkledger` and a `reason` of the lists below. Reasons are stable: decide by them,
  never by the text;
- `BadRequest`: one field violation per culprit, with its path in the request (`statements[3].issuer`), a
  reason and a sentence;
- `RetryInfo`, exactly when the same call may succeed later unchanged.

A call that failed has written nothing, but for `STATUS_LIST_EQUIVOCATION`: the proof against the issuer is
kept ([status-list.md](status-list.md)). In a batch every bad item is listed; the call's reason is that of its
items where they all share it, else the batch's own.

A connection without a client certificate of the network's CA never becomes a call: it ends in the TLS
handshake, which gRPC reports as UNAVAILABLE without details.

Reasons of `protovalidate` rules (`BYTES_LEN`, `STRING_UUID`, …) appear in field violations of
`INVALID_REQUEST` only: they are the rule's id in upper case.

Why an issuer is refused at registration: an identity needs no record in the IdentityRegistry (a did:ethr
without records is owned by its own address, and `#controller` is its only key), it needs an accreditation.
`ISSUER_NOT_ACCREDITED`: the chain knows the issuer, by its identity or by an accreditation of any type ever
given, and none in force lets it issue this type. `ISSUER_UNKNOWN`: the chain holds nothing about it at all.

This file is derived: `python -m tools.error_reasons`.
"""


def _table(title: str, reasons: Mapping[str, Code]) -> str:
    rows = "\n".join(f"| `{reason}` | {code.name} |" for reason, code in sorted(reasons.items()))
    return f"\n## {title}\n\n| reason | gRPC code |\n|---|---|\n{rows}\n"


def text() -> str:
    """The whole document."""
    parts = [INTRODUCTION, _table("Any service", RUNTIME_REASONS | {"LANE_FULL": Code.RESOURCE_EXHAUSTED})]
    for service in ("ledger", "identity", "settlement"):
        reasons: Mapping[str, Code] = importlib.import_module(f"services.{service}.errors").REASONS
        parts.append(_table(f"The {service} service", reasons))
    return "".join(parts)


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
