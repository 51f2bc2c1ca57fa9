"""How results are shown: a table for people on stdout, or one JSON document; progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

FILE_WIDTH: Final = 120
"""Columns, at least, when stdout is a file or a pipe."""


def local_time(unix_seconds: float) -> str:
    """Local time with its offset, to the second."""
    return datetime.fromtimestamp(unix_seconds, UTC).astimezone().isoformat(sep=" ", timespec="seconds")


def block_text(number: int, unix_seconds: int) -> str:
    """A block number never stands alone: `91 (2026-11-22 10:15:00+08:00)`."""
    return f"{number} ({local_time(unix_seconds)})" if unix_seconds else str(number)


@dataclass(frozen=True, slots=True)
class Styled:
    """A cell with a style of its own. Every other cell is shown as it is: brackets are no markup."""

    text: str
    style: str


def _cell(cell: object) -> Text:
    if isinstance(cell, Styled):
        return Text(cell.text, style=cell.style)
    return Text("" if cell is None else str(cell))


class Advance(Protocol):
    """So many steps further; `total` when it is known by now."""

    def __call__(self, steps: int, total: int | None = None) -> None: ...


def _stdout() -> Console:
    """No terminal tells its width: then tables are wide enough for a DID beside other columns."""
    console = Console(file=sys.stdout, highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console.width = max(console.width, FILE_WIDTH)
    return console


class Output:
    """Where one command writes its result. Machine output is exactly one JSON document on stdout."""

    def __init__(self, as_json: bool, console: Console | None = None) -> None:
        self.as_json = as_json
        self.console = console or _stdout()
        self.errors = Console(stderr=True, highlight=False)

    def result(self, data: dict[str, Any], show: Callable[[], None]) -> None:
        """`data` for programs, or `show()` for people."""
        if self.as_json:
            self.console.file.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
        else:
            show()

    def say(self, text: str) -> None:
        """A sentence for people, with rich markup; nothing with --json."""
        if not self.as_json:
            self.console.print(text)

    def table(
        self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], **options: Any
    ) -> None:
        table = Table(title=title or None, title_justify="left", title_style="bold", **options)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(_cell(cell) for cell in row))
        self.console.print(table)

    def facts(self, title: str, pairs: Iterable[tuple[str, object]]) -> None:
        """A two-column table of what was found; empty values are left out."""
        self.table(title, ("", ""), [pair for pair in pairs if pair[1] not in ("", None)], show_header=False)

    def error(self, message: str, data: dict[str, Any]) -> None:
        """Errors go to stderr for people; with --json they are the document."""
        if self.as_json:
            self.console.file.write(json.dumps({"error": data}, indent=2, ensure_ascii=False) + "\n")
        else:
            self.errors.print(f"[bold red]error:[/] {escape(message)}", markup=True)

    @contextmanager
    def progress(self, what: str, total: int | None) -> Iterator[Advance]:
        """A bar on stderr for people; the yielded function advances it, and may tell the total."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.errors, transient=True, disable=self.as_json) as bar:
            task = bar.add_task(what, total=total)

            def advance(steps: int, total: int | None = None) -> None:
                bar.update(task, advance=steps, total=total)

            yield advance
