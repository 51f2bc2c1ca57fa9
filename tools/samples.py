"""Writes the sample documents of `samples/`. Deterministic: the same bytes on every machine, every time.

    python -m tools.samples            write samples/
    python -m tools.samples --check    exit 1 when samples/ differs from what would be written

Every party, ship and number is made up and says "Sample". The documents have the structure of the real
formats and are not legal instruments. `samples/iso20022/` is not written by this script.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from tools.sample_documents import (
    bill_of_lading,
    certificate_of_origin,
    crew_certificate,
    invoice,
    letter_of_credit,
)

ROOT = Path(__file__).resolve().parent.parent / "samples"

BL = "SMPLU26110001"

DOCUMENTS: tuple[tuple[str, str, str, str, str, Callable[[], bytes]], ...] = (
    (
        "bill-of-lading.json",
        "705",
        "application/json",
        f"urn:silkledger:sample:bl:{BL}",
        "Bill of lading, DCSA Bill of Lading 3.0 transport document",
        bill_of_lading.make,
    ),
    (
        "bill-of-lading-corrected.json",
        "705",
        "application/json",
        f"urn:silkledger:sample:bl:{BL}",
        "The same bill of lading with its gross weight corrected; supersedes the first",
        bill_of_lading.make_corrected,
    ),
    (
        "invoice.xml",
        "380",
        "application/xml",
        "urn:silkledger:sample:invoice:SMPL-INV-2026-0117",
        "Commercial invoice, UBL 2.1",
        invoice.make,
    ),
    (
        "certificate-of-origin.pdf",
        "861",
        "application/pdf",
        "urn:silkledger:sample:origin:SMPL-CO-2026-0042",
        "Certificate of origin",
        certificate_of_origin.make,
    ),
    (
        "letter-of-credit.txt",
        "465",
        "text/plain",
        "urn:silkledger:sample:lc:SMPLLC260042",
        "Documentary credit, SWIFT MT700 text block",
        letter_of_credit.make,
    ),
    (
        "crew-certificate.pdf",
        "AC",
        "application/pdf",
        "urn:silkledger:sample:crew:SMPL-CMC-2026-0009",
        "Crew member certificate",
        crew_certificate.make,
    ),
)
"""File, UN/EDIFACT 1001 code, media type, subject, description, generator."""

NOTES = (
    "Document types are UN/EDIFACT data element 1001 codes.",
    "AC is the crew member certificate's document code in ICAO Doc 9303, which PAXLST carries in data "
    "element 1001 with a code list agency. The UN list itself has only the crew list (250) and the crew's "
    "effects declaration (744), which are other documents.",
    "All parties are made up.",
)


def files() -> dict[str, bytes]:
    """Every file of samples/ (except iso20022/) by its name."""
    made = {name: make() for name, _, _, _, _, make in DOCUMENTS}
    entries = [
        {
            "file": name,
            "documentType": code,
            "contentType": media,
            "subject": subject,
            "title": title,
            "sha256": hashlib.sha256(made[name]).hexdigest(),
        }
        for name, code, media, subject, title, _ in DOCUMENTS
    ]
    manifest = {"notes": NOTES, "documents": entries}
    made["manifest.json"] = (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()
    return made


def main(arguments: list[str]) -> int:
    made = files()
    if arguments == ["--check"]:
        wrong = [
            name
            for name, data in made.items()
            if not (ROOT / name).is_file() or (ROOT / name).read_bytes() != data
        ]
        for name in wrong:
            print(f"samples/{name} is not what tools/samples.py writes", file=sys.stderr)
        return 1 if wrong else 0
    ROOT.mkdir(exist_ok=True)
    for name, data in made.items():
        (ROOT / name).write_bytes(data)
        print(f"samples/{name}  {len(data)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
