"""Tells the story, and keeps the list of what was claimed and whether it held."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.markup import escape

from silkledger.cli.output import Output, Styled


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that the demonstration shows."""

    chapter: str
    text: str
    held: bool
    detail: str


class Narrator:
    """Short sentences and tables for people; claims for the last table and the exit code."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.claims: list[Claim] = []
        self._chapter = ""
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    @property
    def all_held(self) -> bool:
        return bool(self.claims) and all(claim.held for claim in self.claims)

    def chapter(self, title: str) -> None:
        self._chapter = title
        self.output.say(f"\n[bold cyan]{title}[/]  [dim]{self.seconds:.0f} s[/]")

    def say(self, text: str) -> None:
        self.output.say(f"  {escape(text)}")

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        if not self.output.as_json:
            self.output.table(title, columns, rows)

    def claim(self, text: str, held: bool, detail: str = "") -> None:
        """Records whether something held, and says so."""
        self.claims.append(Claim(self._chapter, text, held, detail))
        mark = "[green]held[/]" if held else "[bold red]DID NOT HOLD[/]"
        self.output.say(f"  {mark}: {escape(text)}" + (f" [dim]({escape(detail)})[/]" if detail else ""))

    def finish(self) -> None:
        """The last table."""
        document = {
            "allHeld": self.all_held,
            "seconds": round(self.seconds, 1),
            "claims": [
                {"chapter": c.chapter, "claim": c.text, "held": c.held, "detail": c.detail}
                for c in self.claims
            ],
        }

        def show() -> None:
            rows = [
                (c.chapter, c.text, Styled("held", "green") if c.held else Styled("DID NOT HOLD", "bold red"))
                for c in self.claims
            ]
            self.output.say("")
            self.output.table("What was shown", ("", "claim", ""), rows)
            count = sum(claim.held for claim in self.claims)
            self.output.say(f"{count} of {len(self.claims)} claims held, in {self.seconds:.0f} seconds.")
            self.output.say(
                "[yellow]This engine has no commit seals: every verdict here is for development only, "
                "and none of them is a production PASS.[/]"
            )

        self.output.result(document, show)
