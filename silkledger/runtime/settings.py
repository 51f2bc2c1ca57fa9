"""Settings from `SILKLEDGER_*` environment variables. Only a service's `__main__.py` passes the environment
in.

A settings class is a frozen dataclass; the field `database_url` is the variable `SILKLEDGER_DATABASE_URL`.
A field without default is required. Every missing or malformed variable is reported at once. Mark a secret
with `field(repr=False)`; values never appear in the error.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

PREFIX: Final = "SILKLEDGER_"


class SettingsError(ValueError):
    """Settings that are missing or malformed. `problems` maps each variable's name to what is wrong."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        lines = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
        super().__init__(f"bad settings: {lines}")
        self.problems = dict(problems)


class Mode(StrEnum):
    """In production nothing insecure or fake may run: it refuses at start."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """What every service needs. `listen` and `metrics_listen` are `host:port`; port 0 takes a free one."""

    mode: Mode = Mode.DEVELOPMENT
    database_url: str = field(repr=False)
    listen: str = "127.0.0.1:0"
    metrics_listen: str = "127.0.0.1:0"
    # PEM files: this service's certificate chain and key, and the CA that client certificates must chain to.
    tls_cert: Path
    tls_key: Path
    tls_ca: Path
    # A connection on which the peer answers nothing for this long is asked, and after as long again closed.
    keepalive_s: int = 30
    # Bytes of large requests (over 64 KiB) that are worked on at once, and that may wait for their turn; more
    # are refused with RESOURCE_EXHAUSTED. A request takes several times its size while it is worked on.
    intake_bytes: int = 4 * 1024 * 1024
    intake_waiting_bytes: int = 8 * 1024 * 1024
    # Where the port actually bound is written as JSON, for whoever started us; none by default.
    ready_file: Path | None = None
    # DEVELOPMENT ONLY: where this process kills itself, `name` or `name:n` (silkledger.runtime.failpoints).
    failpoint: str = ""


@dataclass(frozen=True, kw_only=True)
class ChainSettings:
    """What identifies the chain and how to reach it. Chain id, genesis and directory are pinned, not
    asked.
    """

    # One node's URL, or several, separated by commas, each as URL or `name=URL`. The first is preferred; all
    # others are held against it, and nothing is applied while two that answer disagree.
    node_url: str = field(repr=False)
    # Of several nodes, how many must have shown a block before it is applied; 0: all that answer.
    node_agreement: int = 0
    engine: str
    chain_id: int
    genesis_hash: str
    directory: str
    # Trust roots (docs/formats/trust-roots.md): the validators' rules, and pinned blocks. Required exactly on
    # engines with commit seals, which are then checked while following.
    trust_roots_file: Path | None = None


@dataclass(frozen=True, kw_only=True)
class LaneSettings:
    """Who signs this service's transactions: a key file, or a signer behind HTTP; exactly one of the two."""

    # The secp256k1 account: PEM, or a keystore (Web3 Secret Storage version 3).
    lane_key_file: Path | None = None
    # Password of the key file, in a file of its own; for a keystore it is required.
    lane_key_password_file: Path | None = None
    # Base URL of a signer with Web3Signer's eth1 interface: https, or http on loopback.
    lane_signer_url: str | None = field(default=None, repr=False)
    # The address whose key that signer holds. Whatever it signs is checked against this.
    lane_signer_address: str | None = None
    # How long an owner of the lane may be silent before another process takes it over, milliseconds; on
    # SQLite the file's owner owns the lane. No longer than the database's limit for idle transactions (8
    # seconds) only in development: a stopped owner's open transaction could outlast its lease.
    lane_lease_ms: int = 20_000


def variable_of(field_name: str) -> str:
    return PREFIX + field_name.upper()


def _convert(kind: object, text: str) -> object:
    """Raises: ValueError with a message that does not repeat the value."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        inner = [item for item in typing.get_args(kind) if item is not type(None)]
        return _convert(inner[0], text)
    if origin is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError("must be true or false")
        return text.lower() == "true"
    if kind is int:
        try:
            return int(text, 0)
        except ValueError:
            raise ValueError("must be an integer") from None
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        if text not in {member.value for member in kind}:
            raise ValueError(f"must be one of {', '.join(member.value for member in kind)}")
        return kind(text)
    if kind is Path:
        return Path(text)
    if kind is str:
        return text
    raise TypeError(f"settings cannot hold {kind!r}")


def read_settings(cls: type[T], env: Mapping[str, str]) -> T:
    """Build the settings class from the environment.

    Raises:
        SettingsError: lists every variable that is missing or malformed, never a value.
    """
    hints = typing.get_type_hints(cls)
    values: dict[str, object] = {}
    problems: dict[str, str] = {}
    for item in fields(cls):  # type: ignore[arg-type]
        name = variable_of(item.name)
        text = env.get(name, "")
        if text == "":
            if item.default is MISSING and item.default_factory is MISSING:
                problems[name] = "is required"
            continue
        try:
            values[item.name] = _convert(hints[item.name], text)
        except ValueError as error:
            problems[name] = str(error)
    if problems:
        raise SettingsError(problems)
    return cls(**values)


def host_and_port(listen: str) -> tuple[str, int]:
    """Split `host:port`. Raises: SettingsError."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise SettingsError({"listen address": "must be host:port"})
    return host, int(port)


def require_development(mode: Mode, what: str) -> str:
    """The warning to log for an insecure or fake part.

    Raises:
        SettingsError: in production mode, where such a part must not run.
    """
    if mode is Mode.PRODUCTION:
        raise SettingsError({variable_of("mode"): f"{what} must not run in production mode"})
    return f"DEVELOPMENT ONLY: {what}. Never trust this for real trade."
