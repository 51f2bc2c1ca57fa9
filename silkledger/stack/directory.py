"""The data directory of an embedded stack: what lies where, and the two JSON files that others read.

network.json       how to reach this stack: endpoints, chain, contracts
trust-roots.json   what an offline verifier pins
chain/ ca/ operator/ services/<name>/ orgs/<alias>/
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from silkledger.evm.contracts import Network
from silkledger.values import Address, BlockHash


class DirectoryInUse(RuntimeError):
    """Another stack runs on this data directory."""


class NotAStack(RuntimeError):
    """The directory has no network.json (yet): no stack was ever started on it, or it is still starting."""


@dataclass(frozen=True, slots=True)
class NetworkFile:
    """`network.json`. Written whole or not at all, when everything in it is true."""

    chain_id: int
    genesis_hash: str
    directory: str
    contracts: dict[str, str]
    engine: str
    origin: str
    log_verifier_key: str
    node_url: str
    endpoints: dict[str, str]
    """Service name → host:port; `ledger`, `identity`, and `settlement/<alias>` for each bank."""
    governance: str = ""
    """Address of the TrustRegistry's governance account."""
    metrics: dict[str, str] = field(default_factory=dict)

    def to_network(self) -> Network:
        """The chain and contracts, as values. Raises: ValueShapeError."""
        return Network(
            self.chain_id,
            BlockHash.from_hex(self.genesis_hash),
            Address.from_hex(self.directory),
            {name: Address.from_hex(text) for name, text in self.contracts.items()},
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> NetworkFile:
        """Raises: `NotAStack` when a field is missing or unknown."""
        known = {item.name for item in fields(cls)}
        raw: dict[str, Any] = json.loads(text)
        try:
            return cls(**{name: value for name, value in raw.items() if name in known})
        except TypeError as error:
            raise NotAStack(f"network.json is not complete: {error}") from None


def write_atomically(path: Path, text: str) -> None:
    """The old text or the new one, never half of it, also after power loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """Paths only; making one does nothing."""

    root: Path

    @property
    def network_file(self) -> Path:
        return self.root / "network.json"

    @property
    def trust_roots_file(self) -> Path:
        return self.root / "trust-roots.json"

    @property
    def ports_file(self) -> Path:
        return self.root / "ports.json"

    @property
    def chain(self) -> Path:
        return self.root / "chain"

    @property
    def ca(self) -> Path:
        return self.root / "ca"

    @property
    def operator(self) -> Path:
        return self.root / "operator"

    @property
    def orgs(self) -> Path:
        return self.root / "orgs"

    def service(self, name: str) -> Path:
        return self.root / "services" / name

    def organisation(self, alias: str) -> Path:
        return self.orgs / alias

    def database_url(self, name: str) -> str:
        """SQLite file of a service, as SQLAlchemy's async URL."""
        return f"sqlite+aiosqlite:///{self.service(name) / 'db.sqlite3'}"

    def read_network(self) -> NetworkFile:
        """Raises: `NotAStack` when there is none."""
        try:
            text = self.network_file.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise NotAStack(
                f"{self.root} has no network.json; start a stack with: silkledger up --data {self.root}"
            ) from None
        return NetworkFile.from_json(text)

    def write_network(self, network: NetworkFile) -> None:
        write_atomically(self.network_file, network.to_json())

    def read_ports(self) -> dict[str, int]:
        if not self.ports_file.exists():
            return {}
        ports: dict[str, int] = json.loads(self.ports_file.read_text(encoding="utf-8"))
        return ports

    def write_ports(self, ports: Mapping[str, int]) -> None:
        write_atomically(self.ports_file, json.dumps(dict(ports), indent=2, sort_keys=True) + "\n")

    @contextmanager
    def run_lock(self) -> Iterator[None]:
        """Holds the directory for one running stack. The lock dies with its process, so one that was
        killed leaves no stale lock. Raises: `DirectoryInUse`."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "run.lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                owner = file.read().strip() or "unknown"
                raise DirectoryInUse(f"a stack (process {owner}) already runs on {self.root}") from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield
