"""What the command line's exit status means. Scripts may rely on it."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Documented in docs/cli.md."""

    OK = 0
    """Done; a verdict is a production PASS; an audit found no difference."""
    FAILED = 1
    """A verdict is FAIL, an audit found a difference, or a part of the stack died."""
    USAGE = 2
    """The command line, a local file or the data directory is at fault."""
    DEVELOPMENT_ONLY = 3
    """Every check passed, but on an engine without seals. --allow-unsealed turns this into 0."""
    UNAVAILABLE = 4
    """A service or the node could not be reached. Trying again may help."""
    REFUSED = 5
    """A service refused the request; its reason code is shown. Nothing was written."""
    NOT_REGISTERED = 6
    """Nothing about this document is in the ledger. That is not forgery."""
    INCOMPLETE = 7
    """Something needed for the answer could not be had."""
    TIMEOUT = 8
    """Accepted, but the stage waited for was not reached in time."""


MEANINGS: tuple[tuple[ExitCode, str], ...] = (
    (ExitCode.OK, "done; the verdict is a production PASS; the audit found no difference"),
    (ExitCode.FAILED, "the verdict is FAIL, the audit found a difference, or a part of the stack died"),
    (ExitCode.USAGE, "the command line, a local file or the data directory is at fault"),
    (ExitCode.DEVELOPMENT_ONLY, "all checks passed, on an engine without seals (0 with --allow-unsealed)"),
    (ExitCode.UNAVAILABLE, "a service or the node could not be reached; trying again may help"),
    (ExitCode.REFUSED, "a service refused the request; its reason is shown and nothing was written"),
    (ExitCode.NOT_REGISTERED, "nothing about this document is in the ledger (that is not forgery)"),
    (ExitCode.INCOMPLETE, "something needed for the answer could not be had"),
    (ExitCode.TIMEOUT, "accepted, but the stage waited for was not reached in time"),
)
"""For --help and docs/cli.md."""
