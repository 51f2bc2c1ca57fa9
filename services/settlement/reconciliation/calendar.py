"""Business days of the renminbi rails, and the age of a break.

Days of rest follow the yearly holiday notices of the State Council of China: the listed days rest, the listed
weekend days work. Past the last known year the answer is "unknown", never a guess.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final


def _days(*ranges: tuple[int, int, int, int, int]) -> frozenset[date]:
    """Year, month and day of the first, month and day of the last."""
    found: set[date] = set()
    for year, month, day, last_month, last_day in ranges:
        first, last = date(year, month, day), date(year, last_month, last_day)
        found.update(first + timedelta(n) for n in range((last - first).days + 1))
    return frozenset(found)


REST: Final = _days(
    (2025, 1, 1, 1, 1),
    (2025, 1, 28, 2, 4),
    (2025, 4, 4, 4, 6),
    (2025, 5, 1, 5, 5),
    (2025, 5, 31, 6, 2),
    (2025, 10, 1, 10, 8),
    (2026, 1, 1, 1, 3),
    (2026, 2, 15, 2, 23),
    (2026, 4, 4, 4, 6),
    (2026, 5, 1, 5, 5),
    (2026, 6, 19, 6, 21),
    (2026, 9, 25, 9, 27),
    (2026, 10, 1, 10, 7),
)
"""Public holidays."""

WORK: Final = frozenset(
    date.fromisoformat(day)
    for day in (
        *("2025-01-26", "2025-02-08", "2025-04-27", "2025-09-28", "2025-10-11"),
        *("2026-01-04", "2026-02-14", "2026-02-28", "2026-05-09", "2026-09-20", "2026-10-10"),
    )
)
"""Weekend days that are worked instead."""

KNOWN_YEARS: Final = (2025, 2026)


class CalendarEnds(ValueError):
    """The calendar does not know this year."""

    def __init__(self, year: int) -> None:
        super().__init__(f"the calendar knows {KNOWN_YEARS[0]} to {KNOWN_YEARS[-1]}, not {year}")
        self.year = year


def is_business_day(day: date) -> bool:
    """Raises: CalendarEnds."""
    if day.year not in KNOWN_YEARS:
        raise CalendarEnds(day.year)
    return day in WORK or (day.weekday() < 5 and day not in REST)


def business_days_between(first: date, last: date) -> int:
    """Business days after `first` up to and including `last`. Raises: CalendarEnds."""
    for end in (first, last):
        is_business_day(end)
    return sum(is_business_day(first + timedelta(n)) for n in range(1, (last - first).days + 1))


def age_band(since: date, today: date) -> str:
    """`T+0-2`, `T+3-5`, `T+6-30`, `T+31-60`, `T+>60` in business days, or `UNKNOWN: …`: fails closed."""
    try:
        age = business_days_between(since, today)
    except CalendarEnds as error:
        return f"UNKNOWN: {error}"
    for limit, band in ((2, "T+0-2"), (5, "T+3-5"), (30, "T+6-30"), (60, "T+31-60")):
        if age <= limit:
            return band
    return "T+>60"
