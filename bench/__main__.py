"""`python -m bench [--only NAME]`: runs the measurements, prints a table, writes bench/latest.json."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from bench.measure import Measurement
from bench.parts import PARTS

LATEST = pathlib.Path(__file__).parent / "latest.json"


def _table(rows: list[Measurement]) -> Table:
    table = Table(title="bench")
    for column in ("name", "value", "unit", "baseline", "baseline value", "ratio", "goal", "holds"):
        table.add_column(column)
    for row in rows:
        cells = (row.name, f"{row.value:,.0f}", row.unit, row.baseline, f"{row.baseline_value:,.0f}")
        table.add_row(
            *cells, f"{row.ratio:.2f}", row.goal or "-", "-" if row.holds is None else str(row.holds)
        )
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help=f"one part of: {', '.join(PARTS)}")
    only = parser.parse_args().only
    if only is not None and only not in PARTS:
        parser.error(f"unknown part {only!r}; there are: {', '.join(PARTS)}")
    rows = [row for name, part in PARTS.items() if only in (None, name) for row in part()]
    Console(width=140).print(_table(rows))
    LATEST.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return 0 if all(row.holds is not False for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
