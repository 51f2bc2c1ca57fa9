"""Signed calls: what an author signs so that anybody may relay it and nobody may change it (EIP-712).

The digest is that of `SignedCalls.digestOf`; domain and struct type are part of the contract's interface.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from eth_abi.abi import encode

from silkledger.evidence.keccak import keccak256
from silkledger.evm.contracts import CONTRACTS, Network, encode_call
from silkledger.keys.account import Account, recover
from silkledger.keys.suites import SignatureInvalid
from silkledger.values import Address

CONTRACT: Final = "SignedCalls"

CALL_TYPE: Final = (
    "SignedCall(address actor,address target,bytes32 requestId,uint64 deadline,uint64 gas,bytes data)"
)
DOMAIN_TYPE: Final = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
DOMAIN_NAME: Final = "Silkledger SignedCalls"
DOMAIN_VERSION: Final = "1"

RELAY_RESERVE_GAS: Final = 250_000
"""What a relay adds to the inner gas for itself: base cost, three storage words, the outcome event,
ecrecover.
"""
_CALLDATA_GAS: Final = 16
"""EIP-2028: gas per non-zero byte of calldata; every byte is counted as one."""


class Outcome(IntEnum):
    """What `SignedCalls.outcomeOf` and the `Duplicate` event say."""

    EXECUTED = 1
    REFUSED = 2


class NotConsumed(IntEnum):
    """Why an id was not used up (event `NotConsumed`)."""

    BAD_SIGNATURE = 1
    EXPIRED = 2
    FORBIDDEN_TARGET = 3
    UNDERFUNDED = 4
    REENTRY = 5


class CallInvalid(ValueError):
    """A signed call that the contract would not execute. `why` is what it would say."""

    def __init__(self, why: NotConsumed, detail: str) -> None:
        super().__init__(detail)
        self.why = why


@dataclass(frozen=True, slots=True)
class SignedCall:
    """An author's act with its signature. Field meanings as in ISignedCalls.sol."""

    actor: Address
    target: Address
    request_id: bytes
    """32 bytes chosen by the author."""
    deadline: int
    """Unix seconds: not executed in a block with a later time."""
    gas: int
    """Gas for the inner call, exactly."""
    data: bytes
    signature: bytes = b""

    def calldata(self) -> bytes:
        """`SignedCalls.execute(call, signature)`."""
        fields = (self.actor, self.target, self.request_id, self.deadline, self.gas, self.data)
        return encode_call(CONTRACT, "execute", (fields, self.signature))

    @property
    def relay_gas(self) -> int:
        """Gas limit of the transaction that relays this call, with the 64th that EIP-150 keeps back."""
        return self.gas * 64 // 63 + RELAY_RESERVE_GAS + _CALLDATA_GAS * (len(self.data) + 512)


def call_digest(network: Network, call: SignedCall) -> bytes:
    """EIP-712 digest of `call` for this network's SignedCalls contract."""
    domain = keccak256(
        encode(
            ["bytes32", "bytes32", "bytes32", "uint256", "address"],
            [
                keccak256(DOMAIN_TYPE.encode()),
                keccak256(DOMAIN_NAME.encode()),
                keccak256(DOMAIN_VERSION.encode()),
                network.chain_id,
                network.address(CONTRACT),
            ],
        )
    )
    struct = keccak256(
        encode(
            ["bytes32", "address", "address", "bytes32", "uint64", "uint64", "bytes32"],
            [
                keccak256(CALL_TYPE.encode()),
                call.actor,
                call.target,
                call.request_id,
                call.deadline,
                call.gas,
                keccak256(call.data),
            ],
        )
    )
    return keccak256(b"\x19\x01" + domain + struct)


def sign_call(
    account: Account,
    network: Network,
    *,
    contract: str,
    data: bytes,
    request_id: bytes,
    deadline: int,
    gas: int = 500_000,
) -> SignedCall:
    """Sign a call of one of the network's contracts as `account`. `request_id` MUST be used for nothing
    else.
    """
    call = SignedCall(account.address, network.address(contract), request_id, deadline, gas, data)
    signature = account.sign_digest(call_digest(network, call))
    return SignedCall(call.actor, call.target, request_id, deadline, gas, data, signature)


def verify_call(network: Network, call: SignedCall, *, now: int | None = None) -> None:
    """Whether the contract would run this call, as far as can be told without the chain.

    Checks: (1) the target is listed and not SignedCalls itself, (2) the deadline is not past at `now`, (3) a
    65-byte signature is the actor's. Signatures of another length (ERC-1271, P-256) are left to the contract.
    Whether the id is free, only the chain knows.

    Raises:
        CallInvalid: with what the contract would answer.
    """
    targets = [network.addresses[name] for name in CONTRACTS if name != CONTRACT]
    if call.target not in targets:  # (1)
        raise CallInvalid(
            NotConsumed.FORBIDDEN_TARGET, f"{call.target} is not one of the network's contracts"
        )
    if now is not None and now > call.deadline:  # (2)
        raise CallInvalid(NotConsumed.EXPIRED, "the deadline of the call has passed")
    if len(call.signature) == 65:  # (3)
        try:
            signer = recover(call_digest(network, call), call.signature)
        except SignatureInvalid as error:
            raise CallInvalid(NotConsumed.BAD_SIGNATURE, str(error)) from None
        if signer != call.actor:
            raise CallInvalid(NotConsumed.BAD_SIGNATURE, f"signed by {signer}, not by {call.actor}")
