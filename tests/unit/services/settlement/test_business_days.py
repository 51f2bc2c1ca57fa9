"""Business days against the State Council's holiday notices, and the bounds of the ages."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from services.settlement.reconciliation import calendar

WORKING_DAYS = {2025: 248, 2026: 248}
"""Weekdays, less the days of rest of the notices of 2024-11-12 and 2025-11-04, plus worked weekend days."""


def on(text: str) -> date:
    return date.fromisoformat(text)


@pytest.mark.parametrize("year", calendar.KNOWN_YEARS)
def test_the_year_has_as_many_working_days_as_the_notice_leaves(year: int) -> None:
    days = [date(year, 1, 1) + timedelta(n) for n in range(365)]
    assert sum(map(calendar.is_business_day, days)) == WORKING_DAYS[year]
    assert all(day.weekday() >= 5 for day in calendar.WORK)
    assert not calendar.WORK & calendar.REST


@pytest.mark.parametrize(
    ("last_rest", "first_work"),
    [
        ("2025-01-01", "2025-01-02"),
        ("2025-02-04", "2025-02-05"),
        ("2025-10-08", "2025-10-09"),
        ("2026-01-03", "2026-01-04"),
        ("2026-02-23", "2026-02-24"),
        ("2026-10-07", "2026-10-08"),
    ],
)
def test_a_holiday_ends_where_the_notice_says(last_rest: str, first_work: str) -> None:
    assert not calendar.is_business_day(on(last_rest))
    assert calendar.is_business_day(on(first_work))


def test_worked_weekends_count_and_other_weekends_do_not() -> None:
    assert calendar.is_business_day(on("2026-02-14"))
    assert calendar.is_business_day(on("2026-10-10"))
    assert not calendar.is_business_day(on("2026-10-11"))
    assert calendar.business_days_between(on("2026-09-30"), on("2026-10-08")) == 1


@pytest.mark.parametrize(
    ("days", "band"),
    [
        (0, "T+0-2"),
        (2, "T+0-2"),
        (3, "T+3-5"),
        (5, "T+3-5"),
        (6, "T+6-30"),
        (30, "T+6-30"),
        (31, "T+31-60"),
        (60, "T+31-60"),
        (61, "T+>60"),
    ],
)
def test_the_bounds_of_the_ages(days: int, band: str) -> None:
    since = today = on("2026-03-02")
    while calendar.business_days_between(since, today) < days:
        today += timedelta(1)
    assert calendar.age_band(since, today) == band


@pytest.mark.parametrize(
    ("since", "today"),
    [("2024-12-31", "2025-01-02"), ("2026-12-31", "2027-01-04"), ("2031-01-02", "2031-01-03")],
)
def test_outside_the_known_years_the_age_is_unknown(since: str, today: str) -> None:
    assert calendar.age_band(on(since), on(today)).startswith("UNKNOWN: the calendar knows 2025 to 2026")
