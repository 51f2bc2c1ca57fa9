"""The offline check itself, for the command line and for the demonstration. Imports no transport, no node."""

from __future__ import annotations

import hashlib
from pathlib import Path

from silkledger.evidence.trust_roots import TrustRoots, TrustRootsError
from silkledger.evidence.verdict import Verdict
from silkledger.evidence.verify import verify_bundle
from silkledger.values import CountryCode, Digest


class TrustRootsUnreadable(ValueError):
    """Without trust roots there is nothing to verify against."""


def read_trust_roots(path: Path) -> TrustRoots:
    """Raises: `TrustRootsUnreadable`, `FileNotFoundError`."""
    try:
        return TrustRoots.from_json(path.read_bytes())
    except TrustRootsError as error:
        raise TrustRootsUnreadable(str(error)) from error


def digest_of_file(path: Path) -> Digest:
    """SHA-256 of the file's bytes exactly as they are."""
    with path.open("rb") as file:
        return Digest(hashlib.file_digest(file, "sha256").digest())


def verify_files(
    document: Path, evidence: Path, trust_roots: Path, relying: str = "", as_of: int | None = None
) -> Verdict:
    """Raises: `TrustRootsUnreadable`, `FileNotFoundError`. Everything else is in the verdict."""
    roots = read_trust_roots(trust_roots)
    country = CountryCode(relying) if relying else None
    return verify_bundle(
        digest_of_file(document), evidence.read_bytes(), roots, relying_country=country, as_of=as_of
    )
