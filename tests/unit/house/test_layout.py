"""The house rules that no linter knows."""

from __future__ import annotations

import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
SKELETON = {
    "__init__.py",
    "__main__.py",
    "settings.py",
    "domain.py",
    "errors.py",
    "use_cases.py",
    "storage.py",
    "grpc_api.py",
    "worker.py",
    "migrations",
}
SERVICES = ("ledger", "identity", "settlement")


def _tracked(*patterns: str) -> list[pathlib.Path]:
    out = subprocess.run(
        ["git", "ls-files", "-z", *patterns], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return [ROOT / name for name in out.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_the_skeleton(service: str) -> None:
    folder = ROOT / "services" / service
    assert {path.name for path in folder.iterdir()} >= SKELETON


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_adds_to_the_skeleton_are_packages(service: str) -> None:
    """Beside the skeleton stand only sub-packages, so a file is found at the same place in all three."""
    folder = ROOT / "services" / service
    extra = [p for p in folder.iterdir() if p.name not in SKELETON and p.name != "__pycache__"]
    assert [p.name for p in extra if not (p / "__init__.py").is_file()] == []


def test_only_the_composition_root_reads_the_environment() -> None:
    readers = [
        path.relative_to(ROOT).as_posix()
        for path in _tracked("services/*.py")
        if path.name != "__main__.py" and re.search(r"os\.environ|os\.getenv", path.read_text())
    ]
    assert readers == []


def test_locks_carry_hashes_and_no_address() -> None:
    for path in (*ROOT.glob("requirements*.lock"), ROOT / "package-lock.json"):
        text = path.read_text()
        assert "://" not in re.sub(r'"url": "https://[^"]*"', "", text), path.name
    for path in ROOT.glob("requirements*.lock"):
        packages = re.findall(r"^[a-z0-9][a-z0-9._-]*==", path.read_text(), re.MULTILINE)
        assert packages
        assert path.read_text().count("--hash=sha256:") >= len(packages)


def test_there_is_no_drawer_for_everything() -> None:
    forbidden = {"utils", "util", "common", "helpers", "helper", "misc"}
    found = [p.relative_to(ROOT).as_posix() for p in _tracked("*.py") if {*p.parts, p.stem} & forbidden]
    assert found == []


def test_no_private_key_is_committed() -> None:
    """Published test vectors stand in code as hexadecimal, never as a key file's text."""
    block = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40,}")
    found = [
        path.relative_to(ROOT).as_posix()
        for path in _tracked()
        if path.stat().st_size < 1_000_000 and block.search(path.read_bytes())
    ]
    assert found == []
