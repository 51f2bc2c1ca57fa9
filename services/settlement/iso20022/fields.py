"""Reading single fields of a validated document into values, each refusal with the element's path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from lxml import etree

from services.settlement.iso20022.refusal import MessageRefused, Reason
from services.settlement.iso20022.xml import local_name, path_of
from silkledger.values import MINOR_UNITS, Money, ValueShapeError

UETR: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
"""Unique end-to-end transaction reference: a lower-case UUID version 4."""


@dataclass(frozen=True, slots=True)
class Agent:
    """A financial institution as a message names it. Any of the identifiers may be missing."""

    bic: str = ""
    """ISO 9362, field BICFI."""
    lei: str = ""
    """ISO 17442, checksum checked."""
    clearing_system: str = ""
    """ClrSysMmbId/ClrSysId/Cd, e.g. CNCIP."""
    clearing_member: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Charge:
    """One ChrgsInf: an amount that an agent took."""

    amount: Money
    agent: Agent


def child(element: etree._Element | None, *names: str) -> etree._Element | None:
    """The first descendant along the given local names, or None."""
    for name in names:
        if element is None:
            return None
        element = next((e for e in element if local_name(e) == name), None)
    return element


def children(element: etree._Element, name: str) -> list[etree._Element]:
    return [e for e in element if local_name(e) == name]


def require(element: etree._Element, *names: str) -> etree._Element:
    """Like `child`, but raises MessageRefused FIELD_MISSING."""
    found = child(element, *names)
    if found is None:
        raise MessageRefused(Reason.MISSING, path_of(element) + "/" + "/".join(names), "is missing")
    return found


def text(element: etree._Element | None, *names: str) -> str:
    """The text along the path, as written; empty when there is none."""
    found = child(element, *names)
    return "" if found is None or found.text is None else found.text


def money(element: etree._Element) -> Money:
    """Amount with its Ccy attribute, integer minor units; excess decimals are refused, never rounded.

    Raises:
        MessageRefused: CURRENCY, PRECISION or AMOUNT.
    """
    currency = element.get("Ccy", "")
    if currency not in MINOR_UNITS:
        detail = "CNH is not an ISO 4217 code: the renminbi is CNY" if currency == "CNH" else "not supported"
        raise MessageRefused(Reason.CURRENCY, path_of(element) + "/@Ccy", f"{currency!r}: {detail}")
    written = element.text or ""
    fraction = written.partition(".")[2]
    if len(fraction) > MINOR_UNITS[currency]:
        detail = f"{len(fraction)} decimals, but {currency} has {MINOR_UNITS[currency]}"
        raise MessageRefused(Reason.PRECISION, path_of(element), detail)
    try:
        return Money.parse(written, currency)
    except ValueShapeError as error:
        raise MessageRefused(Reason.AMOUNT, path_of(element), error.reason) from None


def check_uetrs(root: etree._Element) -> None:
    """Every UETR and OrgnlUETR is lower case and a UUID version 4. Before the schema, for the better reason.

    Raises:
        MessageRefused: UETR.
    """
    for element in root.iter():
        if local_name(element) in ("UETR", "OrgnlUETR") and not UETR.fullmatch(element.text or ""):
            raise MessageRefused(Reason.UETR, path_of(element), "must be a lower-case UUID version 4")


def moment(element: etree._Element, zone: ZoneInfo | None = None) -> datetime:
    """An ISODateTime in UTC. Without an offset it is refused, unless `zone` says whose clock it was.

    Raises:
        MessageRefused: OFFSET or TIME.
    """
    try:
        value = datetime.fromisoformat(element.text or "")
    except ValueError:
        raise MessageRefused(Reason.TIME, path_of(element), "is not a time") from None
    if value.tzinfo is None:
        if zone is None:
            raise MessageRefused(Reason.OFFSET, path_of(element), "must carry an offset, e.g. +08:00")
        value = value.replace(tzinfo=zone)
    return value.astimezone(UTC)


def day(element: etree._Element) -> date:
    """An ISODate without zone.

    Raises:
        MessageRefused: DATE.
    """
    try:
        return date.fromisoformat(element.text or "")
    except ValueError:
        raise MessageRefused(Reason.DATE, path_of(element), "must be YYYY-MM-DD without a zone") from None


def agent(element: etree._Element | None) -> Agent:
    """An agent from BranchAndFinancialInstitutionIdentification; `Agent()` when there is none.

    Raises:
        MessageRefused: LEI when its checksum (ISO 7064 mod 97-10) is off.
    """
    identification = child(element, "FinInstnId")
    if identification is None:
        return Agent()
    lei = child(identification, "LEI")
    if lei is not None and not lei_valid(lei.text or ""):
        raise MessageRefused(Reason.LEI, path_of(lei), "the checksum does not hold")
    member = child(identification, "ClrSysMmbId")
    return Agent(
        bic=text(identification, "BICFI") or text(identification, "BIC"),
        lei=text(lei),
        clearing_system=text(member, "ClrSysId", "Cd"),
        clearing_member=text(member, "MmbId"),
        name=text(identification, "Nm"),
    )


def lei_valid(lei: str) -> bool:
    """ISO 17442 shape and ISO 7064 mod 97-10 checksum."""
    if not re.fullmatch(r"[A-Z0-9]{18}[0-9]{2}", lei):
        return False
    return int("".join(str(int(c, 36)) for c in lei)) % 97 == 1
