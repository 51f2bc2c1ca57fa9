"""The one issuer of a run of the bench: its account and a key of every other suite, in files.

Made once, so that what it signs can be registered with one service after the other, each with a new chain and
an empty database. Whoever signs in another process loads the keys from these files.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from silkledger.evm.anvil import DEV_CHAIN_ID
from silkledger.keys import PrivateKey, Suite, generate, load_key, save_key
from silkledger.keys.account import Account
from silkledger.values import Did, DocumentType

BILL: Final = DocumentType("705")
"""What it issues: bills of lading."""

PUBLISHED: Final = (Suite.ES256, Suite.EDDSA, Suite.SM2)
"""Suites of the keys that it publishes on chain, in this order: `#delegate-1` and so on."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """Where its keys are, and whom they speak for."""

    directory: Path
    did: Did

    def key_file(self, suite: Suite) -> Path:
        return self.directory / f"{suite.name.lower()}.pem"

    def key(self, suite: Suite) -> PrivateKey:
        return load_key(self.key_file(suite))

    @property
    def account(self) -> Account:
        return Account(self.key(Suite.ES256K))

    def kid(self, suite: Suite) -> str:
        """The DID URL of the suite's key."""
        if suite is Suite.ES256K:
            return f"{self.did}#controller"
        return f"{self.did}#delegate-{PUBLISHED.index(suite) + 1}"


@cache
def _directory() -> tempfile.TemporaryDirectory[str]:
    """Of the key files; removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="silkledger-bench-keys-")


@cache
def issuer() -> Issuer:
    """This process's issuer."""
    directory, account = Path(_directory().name), Account.generate()
    made = Issuer(directory, Did.of(DEV_CHAIN_ID, account.address))
    account.save(made.key_file(Suite.ES256K))
    for suite in PUBLISHED:
        save_key(made.key_file(suite), generate(suite))
    return made
