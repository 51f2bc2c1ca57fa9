"""What is installed from a wheel is whole: schemas, migrations and contract artifacts are in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("silkledger", "services", "buf", "contracts/artifacts", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the files in a wheel of this tree, built without a network."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, source / part)
    command = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index", "-q"]
    done = subprocess.run(
        [*command, "-w", str(out), str(source)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("silkledger-*.whl")
    return set(zipfile.ZipFile(built).namelist())


@pytest.mark.parametrize(
    ("folder", "pattern"),
    [
        ("services/settlement/iso20022/schemas", "*.xsd"),
        ("services/ledger/migrations/versions", "*.py"),
        ("services/identity/migrations/versions", "*.py"),
        ("services/settlement/migrations/versions", "*.py"),
        ("contracts/artifacts", "*.json"),
        ("silkledger", "py.typed"),
    ],
)
def test_everything_that_is_read_at_run_time_is_in_the_wheel(
    wheel: set[str], folder: str, pattern: str
) -> None:
    wanted = {str(file.relative_to(ROOT)) for file in (ROOT / folder).glob(pattern)}
    assert wanted
    assert wanted <= wheel


def test_nothing_else_is_in_the_wheel(wheel: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel if ".dist-info/" not in name}
    assert tops == {"silkledger", "services", "buf", "contracts"}
    assert {name for name in wheel if name.startswith("contracts/")} == {
        str(file.relative_to(ROOT)) for file in (ROOT / "contracts" / "artifacts").glob("*.json")
    }
