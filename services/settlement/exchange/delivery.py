"""A delivery: the details of one payment from the instructing bank to the instructed one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from services.settlement.domain import SALT_SIZE, Terms, payment_id, terms_of
from services.settlement.iso20022.pacs import parse_credit_transfer
from services.settlement.reconciliation.model import LegKey
from silkledger import cbor
from silkledger.values import Address, Digest, ValueShapeError

VERSION: Final = "silkledger/delivery/v1"


class DeliveryRefused(ValueError):
    """The delivery is not what it says. `reason` is DELIVERY_MALFORMED or COMMITMENT_MISMATCH."""

    def __init__(self, reason: str, field: str, detail: str) -> None:
        super().__init__(f"{reason}: {field}: {detail}")
        self.reason = reason
        self.field = field
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery whose terms, payment id and commitment were recomputed from its message."""

    message: bytes
    terms: Terms
    salt: bytes
    debtor_address: Address
    payment_id: bytes
    commitment: bytes


def encode(delivery: Delivery) -> bytes:
    """Deterministic CBOR of the format."""
    leg = delivery.terms.leg
    return cbor.encode(
        {
            1: VERSION,
            2: delivery.message,
            3: [leg.uetr, leg.role, leg.hop],
            4: delivery.salt,
            5: bytes(delivery.debtor_address),
            6: delivery.payment_id,
            7: delivery.commitment,
        }
    )


def decode(data: bytes) -> Delivery:
    """Read a delivery and recompute all that it claims.

    Raises:
        DeliveryRefused: malformed, or payment id or commitment are not those of its message.
        MessageRefused: the message inside is refused.
    """
    try:
        value = cbor.decode(data)
    except cbor.CborError as error:
        raise DeliveryRefused("DELIVERY_MALFORMED", "delivery", error.reason) from None
    if not isinstance(value, dict) or sorted(map(str, value)) != [str(n) for n in range(1, 8)]:
        raise DeliveryRefused("DELIVERY_MALFORMED", "delivery", "must be a map of the keys 1 to 7")
    message, salt, claimed_id, commitment = value[2], value[4], value[6], value[7]
    if value[1] != VERSION or type(message) is not bytes or type(salt) is not bytes or len(salt) != SALT_SIZE:
        raise DeliveryRefused("DELIVERY_MALFORMED", "delivery", "version, message or salt is malformed")
    try:
        address = Address(value[5] if type(value[5]) is bytes else b"")
        uetr, role, hop = value[3] if isinstance(value[3], list) else []
        leg = LegKey(str(uetr), int(str(role)), int(str(hop)))
    except (ValueShapeError, ValueError):
        raise DeliveryRefused("DELIVERY_MALFORMED", "delivery", "leg or address is malformed") from None
    parsed = parse_credit_transfer(message)
    digest = Digest(hashlib.sha256(message).digest())
    found = [terms for t in parsed.transfers if (terms := terms_of(parsed, t, digest)).leg == leg]
    if not found:
        raise DeliveryRefused("COMMITMENT_MISMATCH", "delivery.leg", "the message does not hold this leg")
    if claimed_id != payment_id(leg, salt):
        raise DeliveryRefused("COMMITMENT_MISMATCH", "delivery.payment_id", "is not that of leg and salt")
    if commitment != found[0].commitment(salt):
        raise DeliveryRefused("COMMITMENT_MISMATCH", "delivery.commitment", "is not that of the terms")
    return Delivery(message, found[0], salt, address, bytes(claimed_id), bytes(commitment))
