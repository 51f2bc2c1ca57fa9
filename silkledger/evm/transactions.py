"""Legacy transactions (EIP-155): made, signed through a port, and read back before anything relies on them.

Every permissioned EVM engine takes these at gas price zero; typed transactions are a later capability.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from silkledger.evidence import rlp
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.keccak import keccak256
from silkledger.evm.signer import Signer, SigningFailed
from silkledger.keys.account import recover
from silkledger.keys.suites import SignatureInvalid
from silkledger.values import Address, TxHash

_FIELDS: Final = 9
_EIP155: Final = 35
"""v = 35 + 2 · chain id + recovery id."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """An unsigned legacy transaction. `to` None creates a contract; gas price in wei."""

    chain_id: int
    nonce: int
    gas_price: int
    gas: int
    to: Address | None
    data: bytes

    def _body(self) -> list[bytes]:
        numbers = [rlp.encode_int(self.nonce), rlp.encode_int(self.gas_price), rlp.encode_int(self.gas)]
        return [*numbers, bytes(self.to or b""), rlp.encode_int(0), self.data]

    def preimage(self) -> bytes:
        """What is hashed and signed (EIP-155)."""
        return rlp.encode([*self._body(), rlp.encode_int(self.chain_id), b"", b""])

    def raw(self, signature: bytes) -> bytes:
        """The bytes to send, from a 65-byte signature r‖s‖v with v 27 or 28."""
        v = rlp.encode_int(signature[64] - 27 + _EIP155 + 2 * self.chain_id)
        r, s = (rlp.encode_int(int.from_bytes(part, "big")) for part in (signature[:32], signature[32:64]))
        return rlp.encode([*self._body(), v, r, s])


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """Signed bytes with what was read back out of them."""

    raw: bytes
    hash: TxHash
    sender: Address
    transaction: Transaction


async def sign_transaction(signer: Signer, transaction: Transaction) -> SignedTransaction:
    """Sign, and read the result back: sender and content MUST be what was asked for.

    Raises:
        SigningFailed: the signer answered with another key's signature, or with none.
        SignerUnavailable: it did not answer.
    """
    signature = await signer.sign(transaction.preimage())
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise SigningFailed("the signer returned something that is not a signature")
    signed = decode_signed(transaction.raw(signature))
    if signed.sender != signer.address or signed.transaction != transaction:
        raise SigningFailed(f"the signer signed as {signed.sender}, not as {signer.address}")
    return signed


def decode_signed(raw: bytes) -> SignedTransaction:
    """Read a signed legacy transaction, with its sender recovered.

    Raises:
        SigningFailed: not a legacy transaction with replay protection, or its signature recovers to nobody.
    """
    try:
        items = [rlp.as_bytes(item, "field") for item in rlp.as_list(rlp.decode(raw), "transaction", _FIELDS)]
        nonce, price, gas, value, v, r, s = (rlp.as_int(items[i], "number") for i in (0, 1, 2, 4, 6, 7, 8))
        if v < _EIP155 or value != 0 or len(items[3]) not in (0, Address.SIZE):
            raise SigningFailed("not a transaction as we make them")
        chain_id, recovery = divmod(v - _EIP155, 2)
        to = Address(items[3]) if items[3] else None
        transaction = Transaction(chain_id, nonce, price, gas, to, items[5])
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([27 + recovery])
        sender = recover(keccak256(transaction.preimage()), signature)
    except (EvidenceInvalid, SignatureInvalid) as error:
        raise SigningFailed(f"not a signed transaction: {error}") from None
    return SignedTransaction(raw, TxHash(keccak256(raw)), sender, transaction)


def created_address(sender: Address, nonce: int) -> Address:
    """Where a contract created by `sender` in its transaction `nonce` will stand (yellow paper, section
    7).
    """
    return Address(keccak256(rlp.encode([bytes(sender), rlp.encode_int(nonce)]))[12:])
