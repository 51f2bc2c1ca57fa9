"""Settings of the identity service, from `SILKLEDGER_*` (see silkledger.runtime.settings)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from silkledger.runtime.settings import ChainSettings, LaneSettings, ServerSettings


@dataclass(frozen=True, kw_only=True)
class IdentitySettings(ServerSettings, ChainSettings, LaneSettings):
    """What an identity process needs beside server and chain."""

    # PEM of the CA that signs client certificates, and of its private key (P-256 or Ed25519).
    ca_cert: Path
    ca_key: Path
    # Validity of a client certificate, days; at most 397.
    certificate_days: int = 397
