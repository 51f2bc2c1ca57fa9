"""What `make bench ONLY=name` runs and shows."""

from __future__ import annotations

import pytest

from bench.measure import Measurement, beside
from bench.parts import PARTS, Part, chosen


def _names(parts: list[Part]) -> list[str]:
    return [part.name for part in parts]


def _rows(*names: str) -> list[Measurement]:
    return [beside(name, 1.0, "s", "nothing", 1.0) for name in names]


@pytest.mark.parametrize(
    ("only", "names"),
    [
        ("headers", ["headers"]),
        ("header_verify.7", ["headers"]),
        ("bundle_verify", ["headers"]),
        ("register_statements", ["register_statements.sqlite", "register_statements.postgres"]),
        ("register_statements.postgres", ["register_statements.postgres"]),
        ("register_statements.sqlite.es256", ["register_statements.sqlite"]),
    ],
)
def test_a_part_or_a_row_names_the_part(only: str, names: list[str]) -> None:
    assert _names(chosen(only)) == names


@pytest.mark.parametrize("only", ["header", "header_verif", "register_statements.", "", "register"])
def test_half_a_name_names_nothing(only: str) -> None:
    assert chosen(only) == []


def test_a_run_of_everything_leaves_out_only_what_says_so() -> None:
    assert _names(chosen(None)) == [part.name for part in PARTS if part.by_default]


def test_names_are_unique() -> None:
    names = [part.name for part in PARTS]
    assert len(set(names)) == len(names)


def test_a_part_shows_all_its_rows_and_a_row_shows_itself() -> None:
    part = Part("latency.sqlite", list, ("logged.sqlite", "anchored.sqlite"))
    rows = _rows("logged.sqlite", "anchored.sqlite", "anchored.sqlite.p50")
    assert part.wanted(rows, "latency") == rows
    assert part.wanted(rows, "anchored") == rows[1:]
    assert part.wanted(rows, "anchored.sqlite.p50") == rows[2:]


@pytest.mark.parametrize(
    ("value", "at_least", "at_most", "goal", "holds"),
    [
        (0.5, 0.5, None, "≥ 0.5", True),
        (0.49, 0.5, None, "≥ 0.5", False),
        (1.0, None, 1.0, "≤ 1", True),
        (1.1, None, 1.0, "≤ 1", False),
        (7.0, None, None, "", None),
    ],
)
def test_goals_are_for_the_ratio(
    value: float, at_least: float | None, at_most: float | None, goal: str, holds: bool | None
) -> None:
    row = beside("x", value * 4, "s", "y", 4.0, at_least=at_least, at_most=at_most)
    assert (row.ratio, row.goal, row.holds) == (value, goal, holds)
