"""Settings: every problem at once, never a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from silkledger.runtime.settings import (
    Mode,
    SettingsError,
    host_and_port,
    read_settings,
    require_development,
)


@dataclass(frozen=True, kw_only=True)
class Sample:
    mode: Mode = Mode.DEVELOPMENT
    secret: str = field(repr=False)
    count: int
    folder: Path | None = None
    names: tuple[str, ...] = ()
    flag: bool = False


def test_all_kinds_are_read() -> None:
    found = read_settings(
        Sample,
        {
            "SILKLEDGER_MODE": "production",
            "SILKLEDGER_SECRET": "hunter2",
            "SILKLEDGER_COUNT": "0x10",
            "SILKLEDGER_FOLDER": "/srv",
            "SILKLEDGER_NAMES": "a, b,",
            "SILKLEDGER_FLAG": "true",
        },
    )
    assert found == Sample(
        mode=Mode.PRODUCTION, secret="hunter2", count=16, folder=Path("/srv"), names=("a", "b"), flag=True
    )
    assert "hunter2" not in repr(found)


def test_every_problem_is_told_and_no_value() -> None:
    env = {"SILKLEDGER_COUNT": "hunter2", "SILKLEDGER_MODE": "hunter2", "SILKLEDGER_FLAG": "hunter2"}
    with pytest.raises(SettingsError) as caught:
        read_settings(Sample, env)
    assert set(caught.value.problems) == {
        "SILKLEDGER_SECRET",
        "SILKLEDGER_COUNT",
        "SILKLEDGER_MODE",
        "SILKLEDGER_FLAG",
    }
    assert "hunter2" not in str(caught.value)


def test_what_is_not_for_production_refuses_it() -> None:
    assert "DEVELOPMENT ONLY" in require_development(Mode.DEVELOPMENT, "a fake part")
    with pytest.raises(SettingsError, match="a fake part must not run in production"):
        require_development(Mode.PRODUCTION, "a fake part")


@pytest.mark.parametrize("text", ["nowhere", ":80", "host:", "host:99999", "host:http"])
def test_an_address_is_host_and_port(text: str) -> None:
    assert host_and_port("127.0.0.1:0") == ("127.0.0.1", 0)
    with pytest.raises(SettingsError):
        host_and_port(text)
