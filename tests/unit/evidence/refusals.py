"""`with refused(Reason.X):` — the block must be refused with exactly that reason code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.reasons import Reason


@contextmanager
def refused(reason: Reason) -> Iterator[None]:
    with pytest.raises(EvidenceInvalid) as caught:
        yield
    assert caught.value.reason is reason, str(caught.value)
