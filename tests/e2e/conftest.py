"""One embedded stack with everybody enrolled, for tests that look at it from outside or kill its parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from silkledger.cli.context import Session
from silkledger.cli.demo import chapter_payments, chapter_trust
from silkledger.cli.demo.cast import Stage
from silkledger.cli.demo.narrator import Narrator
from silkledger.cli.output import Output
from silkledger.values import StatementId
from tests.support.embedded_stack import RunningStack


@dataclass
class World:
    """The running stack, and what was filed in it so far."""

    stack: RunningStack
    filed: list[StatementId] = field(default_factory=list)

    def session(self, alias: str) -> Session:
        return Session(self.stack.data, alias, Output(True))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    data = tmp_path_factory.mktemp("embedded") / "data"
    stack = RunningStack(data)
    await stack.start()
    try:
        stage = Stage(data, Narrator(Output(True)))
        await chapter_trust.enrol_everybody(stage)
        await chapter_trust.accredit_and_recognise(stage)
        await chapter_payments.banks_serve(stage)
        yield World(stack)
    finally:
        await stack.stop()
