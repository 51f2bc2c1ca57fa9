"""What an organisation's controller key signs to be enrolled. Format: docs/formats/enrolment.md.

The proof binds every claim of the request, the TLS key in the certificate request included, to the controller
key and to the network. It proves possession of the key, not that any claim is true: that is the registrar's
to check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from silkledger import cbor
from silkledger.keys import KeyShapeError, SignatureInvalid, SigningKey, Suite, VerifyingKey
from silkledger.keys.account import address_of
from silkledger.values import CountryCode, Did

DOMAIN: Final = b"silkledger/enrolment/v1\0"
"""Domain separator in front of the CBOR, so that the signature can mean nothing else."""

ROLES: Final = ("agency", "bank", "auditor", "authority", "settlement-institution")
"""Roles an organisation can be enrolled for. The registrar's own role, operator, is not among them."""


class ProofInvalid(ValueError):
    """The controller's proof is not good.

    `reason` is CONTROLLER_KEY_INVALID or a reason of SignatureInvalid.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an organisation says of itself when it asks to be enrolled."""

    request_id: str
    """UUID, lower case."""
    chain_id: int
    name: str
    country: CountryCode
    roles: frozenset[str]
    """Of `ROLES`."""
    lei: str
    uscc: str
    bic: str
    endpoint: str
    csr_pem: str
    """PKCS#10 request, PEM, exactly as it will be sent."""
    controller_key: bytes
    """secp256k1, 33 bytes compressed."""

    @property
    def did(self) -> Did:
        """The identity that the controller key controls from the start.

        Raises: ProofInvalid (CONTROLLER_KEY_INVALID).
        """
        try:
            return Did.of(self.chain_id, address_of(self.controller_key))
        except KeyShapeError as error:
            raise ProofInvalid("CONTROLLER_KEY_INVALID", error.detail) from None

    def message(self) -> bytes:
        """The bytes that the controller signs; the signature covers their SHA-256.

        Raises: ProofInvalid (CONTROLLER_KEY_INVALID).
        """
        claims: dict[int, object] = {
            0: str(self.did),
            1: self.request_id.lower(),
            2: self.name,
            3: str(self.country),
            4: sorted(self.roles),
            5: self.lei,
            6: self.uscc,
            7: self.bic,
            8: self.endpoint,
            9: self.csr_pem,
            10: self.controller_key,
        }
        return DOMAIN + cbor.encode(claims)

    def sign(self, controller: SigningKey) -> bytes:
        """The proof: 64 bytes r‖s, low s. Made where the controller key is, never by the service."""
        return controller.sign(self.message())

    def verify(self, proof: bytes) -> Did:
        """The DID, once the proof is good.

        Raises: ProofInvalid.
        """
        message = self.message()
        try:
            VerifyingKey(Suite.ES256K, self.controller_key).verify(message, proof)
        except SignatureInvalid as error:
            raise ProofInvalid(error.reason, error.detail) from None
        except KeyShapeError as error:
            raise ProofInvalid("CONTROLLER_KEY_INVALID", error.detail) from None
        return self.did
