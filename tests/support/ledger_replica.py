"""`python -m tests.support.ledger_replica`: the ledger service, but a failpoint stops it (SIGSTOP).

Where `SILKLEDGER_FAILPOINT` says. A transaction may wait for its client only as long as fits the short leases
of tests.
"""

from __future__ import annotations

import os
import runpy
import signal

from silkledger.runtime import db, failpoints

IDLE_IN_TRANSACTION_MS = 1000
"""As in production, below the leases of the tests."""


class _Stop(failpoints._Armed):
    """Counts down to the stop of this process."""

    def reached(self, place: failpoints.Failpoint) -> None:
        if place is self._place:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    db.IDLE_IN_TRANSACTION_MS = IDLE_IN_TRANSACTION_MS  # type: ignore[misc]
    failpoints._Armed = _Stop  # type: ignore[misc]
    runpy.run_module("services.ledger", run_name="__main__")
