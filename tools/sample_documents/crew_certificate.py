"""A crew member certificate. The person is made up."""

from __future__ import annotations

from tools.sample_documents.pdf import certificate


def make() -> bytes:
    return certificate(
        "Crew member certificate",
        "SMPL-CMC-2026-0009",
        (
            ("1. Holder", "SAMPLE, Ada"),
            ("2. Nationality; date of birth", "XXX (unspecified); 1990-01-01"),
            ("3. Capacity", "Second engineer officer (STCW III/2)"),
            ("4. Ship", "SAMPLE STAR, IMO number withheld (sample)"),
            ("5. Limitations", "None"),
            ("6. Issued at, on", "Laem Chabang, 2026-09-01"),
            ("7. Valid until", "2031-08-31"),
            ("8. Issuing authority", "Sample Maritime Agency, TH"),
        ),
        "The holder may at all times re-enter the territory of the issuing State. (Sample wording.)",
    )
