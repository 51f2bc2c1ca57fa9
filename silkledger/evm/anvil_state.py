"""State dumps of the embedded chain on disk: each under its name only once it is whole, the one before it
kept.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_STATE: Final = "state.gz"
_PREVIOUS: Final = "state.previous.gz"
_HISTORY: Final = "history.gz"


class StateDamaged(RuntimeError):
    """Every dump is damaged. Starting anew would be another ledger, so nothing is started."""


@dataclass(frozen=True, slots=True)
class LoadedState:
    """A dump that was found whole."""

    file: Path
    genesis_time: int
    """Unix seconds."""


def store_state(directory: Path, packed: bytes, *, history: bool) -> None:
    """Put a dump on disk. With `history` it holds earlier states too, and is also kept for those."""
    newest, previous = directory / _STATE, directory / _PREVIOUS
    if history:
        _write_whole(directory / _HISTORY, packed)
    if newest.exists():
        link = previous.with_suffix(".new")
        link.unlink(missing_ok=True)
        os.link(newest, link)
        link.replace(previous)
    _write_whole(newest, packed)


def load_state(directory: Path) -> LoadedState | None:
    """The newest whole dump as the plain file that anvil loads; None when this is a new chain.

    Raises:
        StateDamaged: there are dumps, and none of them is whole.
    """
    candidates = [directory / _STATE, directory / _PREVIOUS]
    present = [path for path in candidates if path.exists()]
    plain = directory / "state.loading.json"
    for path in present:
        try:
            state = json.loads(gzip.decompress(path.read_bytes()))
            genesis_time = _genesis_time(state)
        except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error):
            continue  # cut short or damaged: the one before it is kept for this
        state["historical_states"] = state.get("historical_states") or _history(directory)
        plain.write_text(json.dumps(state))
        return LoadedState(plain, genesis_time)
    if present:
        raise StateDamaged(f"every state dump in {directory} is damaged; restore one or start a new chain")
    return None


def _history(directory: Path) -> Any:
    """The last kept states of earlier blocks; None when there are none to be had. Proofs, not the ledger,
    depend on them.
    """
    try:
        return json.loads(gzip.decompress((directory / _HISTORY).read_bytes()))["historical_states"]
    except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error):
        return None


def _genesis_time(state: Any) -> int:
    """Time of the genesis block in a dump. Raises: KeyError, ValueError when it has none."""
    times = [
        block["header"]["timestamp"] for block in state["blocks"] if int(block["header"]["number"], 16) == 0
    ]
    if len(times) != 1:
        raise ValueError(f"{len(times)} genesis blocks")
    return int(times[0], 16)


def _write_whole(file: Path, content: bytes) -> None:
    """`content` on disk under the file's name; at no instant is there half of it under that name."""
    fresh = file.with_suffix(".new")
    with fresh.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(file)
    _sync_directory(file.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
