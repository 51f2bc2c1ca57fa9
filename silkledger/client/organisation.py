"""An organisation's own folder: its profile, its keys and its certificate. Everything secret stays here.

profile.json     name, DID, country, roles: public
controller.pem   secp256k1 key: the identity on chain, and what signs statements
tls.key tls.crt  its client certificate, issued at enrolment
lists.pem        Ed25519 key that signs its status lists, made when the first one is issued
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from silkledger.client.channel import Credentials
from silkledger.keys.account import Account
from silkledger.values import Did


class NoSuchOrganisation(LookupError):
    """No folder of that alias, or no profile in it."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Public facts, as enrolled."""

    did: str
    name: str
    country: str
    roles: tuple[str, ...]
    lei: str = ""
    uscc: str = ""
    bic: str = ""
    settlement_endpoint: str = ""
    """host:port of its settlement service; banks only."""
    extra: dict[str, str] = field(default_factory=dict)


class Organisation:
    """Reads the folder when asked; holds no secret itself."""

    def __init__(self, folder: Path, profile: Profile) -> None:
        self.folder = folder
        self.profile = profile

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises: `NoSuchOrganisation`."""
        try:
            raw: dict[str, Any] = json.loads((folder / "profile.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            known = ", ".join(sorted(path.parent.name for path in folder.parent.glob("*/profile.json")))
            raise NoSuchOrganisation(
                f"no organisation {folder.name!r} here; known: {known or 'none'}"
            ) from None
        raw["roles"] = tuple(raw["roles"])
        return cls(folder, Profile(**raw))

    def save(self) -> None:
        text = json.dumps(asdict(self.profile), indent=2, ensure_ascii=False) + "\n"
        (self.folder / "profile.json").write_text(text, encoding="utf-8")

    @property
    def alias(self) -> str:
        return self.folder.name

    @property
    def did(self) -> Did:
        return Did(self.profile.did)

    @property
    def controller_file(self) -> Path:
        return self.folder / "controller.pem"

    @property
    def lists_key_file(self) -> Path:
        return self.folder / "lists.pem"

    def account(self) -> Account:
        return Account.load(self.controller_file)

    def credentials(self, ca: Path) -> Credentials:
        return Credentials(ca, self.folder / "tls.crt", self.folder / "tls.key")
