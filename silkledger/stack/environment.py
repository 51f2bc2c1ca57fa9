"""The environment of each service process: the services' settings, taken from the data directory."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from silkledger.keys import Suite, generate, save_key
from silkledger.keys.account import Account
from silkledger.stack.certificates import CertificateFiles, DevelopmentCa, write_private
from silkledger.stack.directory import DataDirectory, NetworkFile, write_atomically

SETTLEMENT_MARKER = "settlement"
"""File in an organisation's folder that makes the stack run a settlement service for it."""


@dataclass(frozen=True, slots=True)
class BankMarker:
    """What the stack must know about an enrolled bank to run its settlement service."""

    did: str
    bic: str
    listen: str
    settlement_institution: str
    """DID whose word settles."""
    accounts: str
    """The bank's accounts at the settlement institution, separated by commas."""

    def write(self, organisation: Path) -> None:
        text = json.dumps({name: getattr(self, name) for name in self.__slots__}, indent=2) + "\n"
        write_atomically(organisation / SETTLEMENT_MARKER, text)

    @classmethod
    def read(cls, organisation: Path) -> BankMarker:
        raw: dict[str, Any] = json.loads((organisation / SETTLEMENT_MARKER).read_text(encoding="utf-8"))
        return cls(**raw)


def ensure_account(path: Path) -> Account:
    """The account of a key file, made at first use."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        Account.generate().save(path)
    return Account.load(path)


def ensure_log_key(path: Path) -> None:
    """The log's Ed25519 key, made at first use."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_key(path, generate(Suite.EDDSA))


class Environments:
    """Makes what a service needs on disk (keys, certificate, seed) and names it in its environment."""

    def __init__(self, data: DataDirectory, ca: DevelopmentCa, network: NetworkFile) -> None:
        self._data = data
        self._ca = ca
        self._network = network

    def ledger(self, listen: str, metrics: str) -> dict[str, str]:
        folder = self._data.service("ledger")
        log_key = folder / "log.pem"
        ensure_log_key(log_key)
        return {
            **self._common("ledger", listen, metrics),
            **self._lane("ledger"),
            "SILKLEDGER_ORIGIN": self._network.origin,
            "SILKLEDGER_LOG_KEY_FILE": str(log_key),
            # While the log changes its key, its further keys lie beside it.
            "SILKLEDGER_FURTHER_LOG_KEY_FILES": ",".join(map(str, sorted(folder.glob("log-*.pem")))),
            # A laptop's trickle of statements is checked faster than processes for it would start.
            "SILKLEDGER_VERIFY_PROCESSES": "0",
            "SILKLEDGER_REPLAY_DIRECTORY": str(folder / "replays"),
        }

    def identity(self, listen: str, metrics: str) -> dict[str, str]:
        return {
            **self._common("identity", listen, metrics),
            **self._lane("identity"),
            "SILKLEDGER_CA_CERT": str(self._ca.files.certificate),
            "SILKLEDGER_CA_KEY": str(self._ca.files.key),
        }

    def settlement(self, alias: str, bank: BankMarker, metrics: str) -> dict[str, str]:
        name = f"settlement-{alias}"
        organisation = self._data.organisation(alias)
        seed = self._data.service(name) / "seed"
        if not seed.exists():
            write_private(seed, secrets.token_bytes(32))
        return {
            **self._common(name, bank.listen, metrics),
            # The bank serves with its own certificate, so that the other bank sees whom it talks to.
            "SILKLEDGER_TLS_CERT": str(organisation / "tls.crt"),
            "SILKLEDGER_TLS_KEY": str(organisation / "tls.key"),
            "SILKLEDGER_BANK_DID": bank.did,
            "SILKLEDGER_BANK_BIC": bank.bic,
            "SILKLEDGER_BANK_KEY_FILE": str(organisation / "controller.pem"),
            "SILKLEDGER_SEED_FILE": str(seed),
            "SILKLEDGER_IDENTITY_ENDPOINT": self._network.endpoints["identity"],
            "SILKLEDGER_ACCOUNTS": bank.accounts,
            "SILKLEDGER_SETTLEMENT_INSTITUTION": bank.settlement_institution,
            "SILKLEDGER_CLIENT_CERT": str(organisation / "tls.crt"),
            "SILKLEDGER_CLIENT_KEY": str(organisation / "tls.key"),
        }

    def _lane(self, name: str) -> dict[str, str]:
        """The account that signs the service's transactions, made at first use."""
        path = self._data.service(name) / "lane.pem"
        ensure_account(path)
        return {"SILKLEDGER_LANE_KEY_FILE": str(path)}

    def _common(self, name: str, listen: str, metrics: str) -> dict[str, str]:
        folder = self._data.service(name)
        folder.mkdir(parents=True, exist_ok=True)
        files = CertificateFiles(folder / "tls.crt", folder / "tls.key")
        self._ca.issue_service(name, files)
        return {
            "SILKLEDGER_MODE": "development",
            "SILKLEDGER_DATABASE_URL": self._data.database_url(name),
            "SILKLEDGER_NODE_URL": self._network.node_url,
            "SILKLEDGER_ENGINE": self._network.engine,
            "SILKLEDGER_CHAIN_ID": str(self._network.chain_id),
            "SILKLEDGER_GENESIS_HASH": self._network.genesis_hash,
            "SILKLEDGER_DIRECTORY": self._network.directory,
            "SILKLEDGER_LISTEN": listen,
            "SILKLEDGER_METRICS_LISTEN": metrics,
            "SILKLEDGER_TLS_CERT": str(files.certificate),
            "SILKLEDGER_TLS_KEY": str(files.key),
            "SILKLEDGER_TLS_CA": str(self._ca.files.certificate),
        }
