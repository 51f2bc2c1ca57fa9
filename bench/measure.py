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
    ratio = median(a / b for a, b in pairs)
    return Measurement(
        name=name,
        value=median(a for a, _ in pairs),
        unit=unit,
        baseline=baseline,
        baseline_value=median(b for _, b in pairs),
        ratio=ratio,
        goal="" if at_least is None else f"≥ {at_least}",
        holds=None if at_least is None else ratio >= at_least,
    )


def _rate(work: Callable[[], int]) -> float:
    start = time.perf_counter()
    units = work()
    return units / (time.perf_counter() - start)
