"""The parts of the bench by name. Each returns its measurements, taken together in one run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from bench import headers, registration, statements
from bench.measure import Measurement

PARTS: Final[dict[str, Callable[[], list[Measurement]]]] = {
    "statement_check": statements.statement_check,
    "headers": headers.headers,
    "register_statements.sqlite": partial(registration.register_statements, "sqlite"),
    "register_statements.postgres": partial(registration.register_statements, "postgres"),
}
