"""One measured figure beside its baseline, taken in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Measurement:
    """`ratio` is value ÷ baseline_value. `holds` is None where no goal is set: then it is only reported."""

    name: str
    value: float
    unit: str
    baseline: str
    baseline_value: float
    ratio: float
    goal: str
    holds: bool | None


def beside(
    name: str,
    value: float,
    unit: str,
    baseline: str,
    baseline_value: float,
    *,
    ratio: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Measurement:
    """A figure beside its baseline. The goal, if any, is for the ratio; `ratio` is given where it is not the
    quotient of the two figures quoted, but for instance the median of several.
    """
    quotient = value / baseline_value if ratio is None else ratio
    goal, holds = "", None
    if at_least is not None:
        goal, holds = f"≥ {at_least:g}", quotient >= at_least
    elif at_most is not None:
        goal, holds = f"≤ {at_most:g}", quotient <= at_most
    return Measurement(name, value, unit, baseline, baseline_value, quotient, goal, holds)


def beside_in_rounds(
    name: str,
    unit: str,
    baseline: str,
    pairs: list[tuple[float, float]],
    *,
    at_least: float | None = None,
) -> Measurement:
    """Medians of (value, baseline value) taken in turn, and the median of the rounds' own ratios."""
    return beside(
        name,
        median(value for value, _ in pairs),
        unit,
        baseline,
        median(base for _, base in pairs),
        ratio=median(value / base for value, base in pairs),
        at_least=at_least,
    )


def compare(
    name: str,
    unit: str,
    *,
    work: Callable[[], int],
    baseline: str,
    baseline_work: Callable[[], int],
    at_least: float | None = None,
    rounds: int = 5,
) -> Measurement:
    """Times the two in turn, `rounds` times; each returns how many units it did. Quotes medians."""
    pairs = [(_rate(work), _rate(baseline_work)) for _ in range(rounds)]
    return beside_in_rounds(name, unit, baseline, pairs, at_least=at_least)


def _rate(work: Callable[[], int]) -> float:
    start = time.perf_counter()
    units = work()
    return units / (time.perf_counter() - start)
