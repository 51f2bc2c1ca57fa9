"""Why a message is refused. Reasons are stable: programs act on them."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Reason codes of docs/formats/iso20022.md."""

    TOO_LARGE = "XML_TOO_LARGE"
    FORBIDDEN = "XML_FORBIDDEN"
    NOT_WELL_FORMED = "XML_NOT_WELL_FORMED"
    UNSUPPORTED = "MESSAGE_UNSUPPORTED"
    SCHEMA = "SCHEMA_INVALID"
    SCHEMA_MISSING = "SCHEMA_NOT_INSTALLED"
    UETR = "UETR_INVALID"
    CURRENCY = "CURRENCY_INVALID"
    PRECISION = "AMOUNT_PRECISION"
    AMOUNT = "AMOUNT_INVALID"
    OFFSET = "TIME_WITHOUT_OFFSET"
    TIME = "TIME_INVALID"
    DATE = "DATE_INVALID"
    LEI = "LEI_INVALID"
    MISSING = "FIELD_MISSING"
    COUNT = "TRANSACTION_COUNT_MISMATCH"
    CONTROL_SUM = "CONTROL_SUM_MISMATCH"
    DUPLICATE = "DUPLICATE_LEG"


class MessageRefused(ValueError):
    """The message is refused whole. `field` is the element's path, e.g. `/Document/…/PmtId/UETR`."""

    def __init__(self, reason: Reason, field: str, detail: str) -> None:
        super().__init__(f"{reason}: {field}: {detail}")
        self.reason = reason
        self.field = field
        self.detail = detail
