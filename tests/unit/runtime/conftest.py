"""Databases of both kinds; an authority of certificates, and a service to call."""

from __future__ import annotations

import pytest

from tests.support.pki import TestCa
from tests.support.postgres import *  # noqa: F403
from tests.unit.runtime.serving import Probe


@pytest.fixture(scope="module")
def ca() -> TestCa:
    return TestCa()


@pytest.fixture
def probe() -> Probe:
    return Probe()
