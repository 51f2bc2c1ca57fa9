"""A verdict, from the service or from an offline check, in one shape. Needs neither grpc nor a service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.markup import escape

from silkledger.cli.exit_codes import ExitCode
from silkledger.cli.output import Output, Styled, block_text

CODES = {
    "PASS": ExitCode.OK,
    "PASS_DEVELOPMENT_ONLY": ExitCode.DEVELOPMENT_ONLY,
    "FAIL": ExitCode.FAILED,
    "NOT_REGISTERED": ExitCode.NOT_REGISTERED,
    "INCOMPLETE": ExitCode.INCOMPLETE,
}
"""Outcome to exit code."""

HEADLINES = {
    "PASS": "[bold green]PASS[/]",
    "PASS_DEVELOPMENT_ONLY": "[bold yellow]PASS, DEVELOPMENT ONLY[/]: this engine has no seals. NOT a "
    "production PASS.",
    "FAIL": "[bold red]FAIL[/]",
    "NOT_REGISTERED": "[bold]NOT REGISTERED[/]: nothing about this document is in the ledger. That is not "
    "forgery.",
    "INCOMPLETE": "[bold yellow]INCOMPLETE[/]: something needed could not be had or checked.",
}

_MARKS = {
    "PASS": Styled("PASS", "green"),
    "FAIL": Styled("FAIL", "bold red"),
    "NOT_CHECKED": Styled("NOT CHECKED", "dim"),
}


@dataclass(frozen=True, slots=True)
class CheckView:
    name: str
    result: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class VerdictView:
    """For showing. `as_of_time` is 0 when there is no block."""

    outcome: str
    assurance: str
    as_of_number: int
    as_of_hash: str
    as_of_time: int
    checks: tuple[CheckView, ...]
    assumptions: tuple[str, ...]
    notices: tuple[str, ...]

    def exit_code(self, *, allow_unsealed: bool) -> ExitCode:
        code = CODES[self.outcome]
        if code is ExitCode.DEVELOPMENT_ONLY and allow_unsealed:
            return ExitCode.OK
        return code

    @property
    def failures(self) -> tuple[CheckView, ...]:
        return tuple(check for check in self.checks if check.result == "FAIL")

    def to_json(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome,
            "assurance": self.assurance,
            "asOf": {"number": self.as_of_number, "hash": self.as_of_hash, "time": self.as_of_time},
            "checks": [
                {"name": c.name, "result": c.result, "reason": c.reason, "detail": c.detail}
                for c in self.checks
            ],
            "assumptions": list(self.assumptions),
            "notices": list(self.notices),
        }

    def show(self, output: Output, title: str = "") -> None:
        say = output.console.print
        say(f"{escape(title) + ': ' if title else ''}{HEADLINES[self.outcome]}")
        if self.as_of_time:
            say(f"as of block {block_text(self.as_of_number, self.as_of_time)}; assurance: {self.assurance}")
        if self.checks:
            rows = [(c.name, _MARKS.get(c.result, c.result), c.reason, c.detail) for c in self.checks]
            output.table("", ("check", "result", "reason", "detail"), rows)
        for notice in self.notices:
            say(f"[yellow]notice:[/] {escape(notice)}")
        for assumption in self.assumptions:
            say(f"[dim]assumed: {escape(assumption)}[/]")


def from_evidence(verdict: Any) -> VerdictView:
    """From `silkledger.evidence.verify.Verdict`."""
    as_of = verdict.as_of
    return VerdictView(
        outcome=_word(verdict.outcome),
        assurance=_word(verdict.assurance),
        as_of_number=as_of.number if as_of else 0,
        as_of_hash=str(as_of.hash) if as_of else "",
        as_of_time=as_of.time if as_of else 0,
        checks=tuple(
            CheckView(c.name, _word(c.result), str(c.reason or ""), c.detail) for c in verdict.checks
        ),
        assumptions=tuple(verdict.assumptions),
        notices=tuple(verdict.notices),
    )


def from_proto(verdict: Any) -> VerdictView:
    """From `silkledger.chain.v1.Verdict`."""
    from silkledger.chain.v1 import chain_pb2 as chain

    return VerdictView(
        outcome=chain.Outcome.Name(verdict.outcome).removeprefix("OUTCOME_"),
        assurance=chain.Assurance.Name(verdict.assurance).removeprefix("ASSURANCE_"),
        as_of_number=verdict.as_of.number,
        as_of_hash="0x" + verdict.as_of.hash.hex(),
        as_of_time=verdict.as_of.time.seconds,
        checks=tuple(
            CheckView(
                c.name, chain.CheckResult.Name(c.result).removeprefix("CHECK_RESULT_"), c.reason, c.detail
            )
            for c in verdict.checks
        ),
        assumptions=tuple(verdict.assumptions),
        notices=tuple(verdict.notices),
    )


def _word(member: Any) -> str:
    """The wire's word of an enum member, however the core spells it."""
    return str(member.name).upper().replace("-", "_")
