"""Settings of the settlement service, from `SILKLEDGER_*` (see silkledger.runtime.settings)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from silkledger.runtime.settings import ChainSettings, ServerSettings


@dataclass(frozen=True, kw_only=True)
class SettlementSettings(ServerSettings, ChainSettings):
    """What a bank's settlement process needs beside server and chain. It has no lane key: every payment is
    sent from its own one-time address.
    """

    # This bank: its DID, its BIC (8 or 11 characters), PEM of its controller key.
    bank_did: str
    bank_bic: str
    bank_key_file: Path
    # 32 random bytes from which the one-time keys are derived. Losing it loses them.
    seed_file: Path
    # host:port of the identity service that knows the other banks.
    identity_endpoint: str
    # This bank's accounts at the settlement institution; statements of others are refused.
    accounts: tuple[str, ...]
    # DID of the settlement institution: the only one whose word settles.
    settlement_institution: str
    # This bank's client certificate and key towards the identity service and other banks.
    client_cert: Path
    client_key: Path
    # Zone of the accounts: dates statements that carry no offset.
    account_zone: str = "Asia/Shanghai"
    # Blocks that a counterparty has to accept a payment in.
    expiry_blocks: int = 604_800
