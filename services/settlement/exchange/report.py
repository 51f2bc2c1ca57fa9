"""The pacs.002 that this bank writes about one payment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from xml.sax.saxutils import escape

DEFINITION: Final = "pacs.002.001.10"


def status_report(
    *, message_id: str, at_s: int, bic: str, uetr: str, status: str, reason_code: str = ""
) -> bytes:
    """A pacs.002.001.10 with one transaction status. `status` is an ISO code such as ACSP or RJCT."""
    created = datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")
    reason = f"<StsRsnInf><Rsn><Cd>{escape(reason_code)}</Cd></Rsn></StsRsnInf>" if reason_code else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:{DEFINITION}"><FIToFIPmtStsRpt>'
        f"<GrpHdr><MsgId>{escape(message_id[:35])}</MsgId><CreDtTm>{created}</CreDtTm>"
        f"<InstgAgt><FinInstnId><BICFI>{escape(bic)}</BICFI></FinInstnId></InstgAgt></GrpHdr>"
        f"<TxInfAndSts><OrgnlUETR>{escape(uetr)}</OrgnlUETR><TxSts>{escape(status)}</TxSts>{reason}"
        "</TxInfAndSts></FIToFIPmtStsRpt></Document>\n"
    ).encode()
