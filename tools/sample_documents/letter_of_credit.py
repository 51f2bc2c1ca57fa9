"""A documentary credit as the text block of a SWIFT MT700 (issue of a documentary credit)."""

from __future__ import annotations

FIELDS: tuple[tuple[str, str], ...] = (
    ("27", "1/1"),
    ("40A", "IRREVOCABLE"),
    ("20", "SMPLLC260042"),
    ("31C", "261012"),
    ("40E", "UCP LATEST VERSION"),
    ("31D", "261215BEIJING"),
    ("50", "SAMPLE GARMENT IMPORTER CO., LTD.\n2 SAMPLE STREET\nBANGKOK, TH"),
    ("59", "SAMPLE TEXTILE EXPORTER CO., LTD.\n1 SAMPLE ROAD\nNINGBO, CN"),
    ("32B", "CNY1250000,00"),
    ("41A", "SMPACNB0XXX\nBY PAYMENT"),
    ("42C", "SIGHT"),
    ("42A", "SMPBTHB0XXX"),
    ("43P", "NOT ALLOWED"),
    ("43T", "NOT ALLOWED"),
    ("44E", "NINGBO, CN"),
    ("44F", "LAEM CHABANG, TH"),
    ("44C", "261115"),
    ("45A", "WOVEN COTTON FABRIC, 715 ROLLS\nCFR LAEM CHABANG, INCOTERMS 2020"),
    (
        "46A",
        "+SIGNED COMMERCIAL INVOICE SMPL-INV-2026-0117\n"
        "+ELECTRONIC BILL OF LADING SMPLU26110001 MARKED\n FREIGHT PREPAID\n"
        "+CERTIFICATE OF ORIGIN SMPL-CO-2026-0042",
    ),
    ("47A", "+SAMPLE DOCUMENT, NOT AN UNDERTAKING TO PAY"),
    ("71D", "ALL BANKING CHARGES OUTSIDE THAILAND\nARE FOR ACCOUNT OF BENEFICIARY"),
    ("48", "21/AFTER THE DATE OF SHIPMENT"),
    ("49", "WITHOUT"),
    ("78", "UPON RECEIPT OF COMPLYING DOCUMENTS\nWE SHALL PAY IN CNY THROUGH THE\nSETTLEMENT INSTITUTION"),
)
"""Tag and content, in the order of the SWIFT MT700 format specification."""


def make() -> bytes:
    """ASCII, CRLF line ends as FIN has them, text block 4 only."""
    lines = ["{1:F01SMPBTHB0AXXX0000000000}{2:I700SMPACNB0XXXXN}{4:"]
    lines += [f":{tag}:{content}" for tag, content in FIELDS]
    lines.append("-}")
    return ("\n".join(lines) + "\n").replace("\n", "\r\n").encode("ascii")
