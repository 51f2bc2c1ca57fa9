"""Where the npm-installed binaries are."""

from __future__ import annotations

import platform
import shutil
import sys
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parents[2]
"""The directory that holds `silkledger/` and, in a checkout, `node_modules/`."""

_ARCHITECTURES: Final = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class ToolMissing(RuntimeError):
    """A binary is not installed; the message says how to install it."""


def anvil_binary(root: Path = _ROOT) -> Path:
    """The anvil binary: of the npm package for this platform under `root`, else on PATH.

    Raises:
        ToolMissing: there is none.
    """
    system = {"linux": "linux", "darwin": "darwin"}.get(sys.platform, sys.platform)
    architecture = _ARCHITECTURES.get(platform.machine().lower(), platform.machine().lower())
    packaged = root / "node_modules" / "@foundry-rs" / f"anvil-{system}-{architecture}" / "bin" / "anvil"
    if packaged.exists():
        return packaged
    found = shutil.which("anvil")
    if found is None:
        raise ToolMissing("anvil is not installed: run `make tools` (npm ci) in the checkout")
    return Path(found)
