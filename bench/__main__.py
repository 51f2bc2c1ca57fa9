"""`python -m bench [--only NAME]`: runs the measurements, prints a table, writes bench/latest.json."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import time
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from bench.measure import Measurement
from bench.parts import PARTS, chosen

LATEST = pathlib.Path(__file__).parent / "latest.json"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _table(rows: list[Measurement]) -> Table:
    table = Table(title="bench")
    for column in ("name", "value", "unit", "baseline", "baseline value", "ratio", "goal", "holds"):
        table.add_column(column, no_wrap=column == "name")
    for row in rows:
        cells = (row.name, _figure(row.value), row.unit, row.baseline, _figure(row.baseline_value))
        table.add_row(
            *cells, _figure(row.ratio), row.goal or "-", "-" if row.holds is None else str(row.holds)
        )
    return table


def main() -> int:
    """Exit code 1 if a goal that was asked for does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = ", ".join(name for part in PARTS for name in (part.name, *part.rows))
    parser.add_argument(
        "--only", metavar="NAME", help=f"a part or a row, or its beginning up to a dot: {names}"
    )
    only = parser.parse_args().only
    parts = chosen(only)
    if not parts:
        parser.error(f"nothing is named {only!r}; there are: {names}")
    console, rows = Console(width=160), list[Measurement]()
    for part in parts:
        started = time.monotonic()
        made = part.run()
        rows += made if only is None else part.wanted(made, only)
        LATEST.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
        print(f"{part.name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    console.print(_table(rows))
    return 0 if rows and all(row.holds is not False for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
