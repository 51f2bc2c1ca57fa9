"""The parts of the bench by name. Each returns its measurements, taken together in one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from bench import (
    catching_up,
    headers,
    latency,
    manifests,
    overload,
    per_document,
    registration,
    replay_scale,
    scale,
    statements,
)
from bench.measure import Measurement

DIALECTS: Final = ("sqlite", "postgres")
"""What a part's name ends with when it measures a service on one database."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part. `rows` are the names of its measurements, or beginnings of them up to a dot; none: as the
    part.
    """

    name: str
    run: Callable[[], list[Measurement]]
    rows: tuple[str, ...] = ()
    by_default: bool = True
    """False: too long for every run, and run only when asked for by name."""

    def asked_by(self, only: str) -> bool:
        """Whether `only` names this part, or a row of it."""
        return _under(self.name, only) or any(
            _under(row, only) or _under(only, row) for row in self.rows or (self.name,)
        )

    def wanted(self, rows: list[Measurement], only: str) -> list[Measurement]:
        """All rows if `only` names the part, else those that it names."""
        return rows if _under(self.name, only) else [row for row in rows if _under(row.name, only)]


def _under(name: str, prefix: str) -> bool:
    """Whether `prefix` is the name, or its beginning up to a dot."""
    return name == prefix or name.startswith(f"{prefix}.")


def _on_each_database(
    name: str, run: Callable[[str], list[Measurement]], *rows: str, by_default: bool = True
) -> Iterator[Part]:
    for dialect in DIALECTS:
        names = tuple(f"{row}.{dialect}" for row in rows)
        yield Part(f"{name}.{dialect}", partial(run, dialect), names, by_default)


PARTS: Final[tuple[Part, ...]] = (
    Part("statement_check", statements.statement_check),
    Part("headers", headers.headers, ("header_verify", "bundle_verify")),
    *_on_each_database("follower_catch_up", catching_up.follower_catch_up),
    *_on_each_database("register_statements", registration.register_statements),
    *_on_each_database("register_manifest", manifests.register_manifest),
    *_on_each_database("latency", latency.latency, "logged_latency", "anchored_latency"),
    *_on_each_database("vs_transaction_per_document", per_document.vs_transaction_per_document),
    *_on_each_database("overload", overload.overload),
    *_on_each_database("scale_leaves", scale.scale_leaves),
    *_on_each_database("scale_documents", scale.scale_documents, by_default=False),
    Part("replay_scale", replay_scale.replay_scale),
    Part("replay_scale_million", partial(replay_scale.replay_scale, replay_scale.FULL), by_default=False),
)


def chosen(only: str | None) -> list[Part]:
    """The parts that `only` names; without it, those of every run."""
    return [part for part in PARTS if (part.by_default if only is None else part.asked_by(only))]
