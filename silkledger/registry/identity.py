"""Identity: what the IdentityRegistry's history of one identity says at a moment, and its DID document.

The method is did:ethr over ERC-1056, with two differences, both narrower: a change of owner clears every key
and service before it, and owner zero deactivates the identity for ever. Format: docs/formats/identity.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from silkledger.keys import KeyShapeError, VerifyingKey
from silkledger.registry.histories import (
    MAX_BLOCK,
    HistoryRecord,
    RecordInvalid,
    decode_record,
    keccak256,
    record_kind,
    visible,
)
from silkledger.values import Address, Did

_OWNER: Final = ("uint8", "address")
_DELEGATE: Final = ("uint8", "bytes32", "address", "uint64")
_ATTRIBUTE: Final = ("uint8", "bytes32", "bytes", "uint64")

_KEY_NAME: Final = re.compile(r"did/pub/Multikey/(veriKey|sigAuth)")
_SERVICE_NAME: Final = re.compile(r"did/svc/(\w{1,24})")

CONTROLLER: Final = "controller"
"""Fragment of the method that the owner's account is."""

ZERO_ADDRESS: Final = Address(bytes(20))

_CONTEXT: Final = (
    "https://www.w3.org/ns/did/v1",
    "https://w3id.org/security/suites/secp256k1recovery-2020/v2",
    "https://w3id.org/security/multikey/v1",
)


@dataclass(frozen=True, slots=True)
class Delegate:
    """An account that the identity named for a purpose."""

    fragment: str
    """`delegate-N`."""
    purpose: str
    """ERC-1056 delegate type, e.g. `veriKey`, `sigAuth`."""
    address: Address
    valid_to: int
    """Unix seconds; valid while the time is earlier."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service endpoint that the identity published."""

    fragment: str
    """`service-N`."""
    type: str
    endpoint: str
    valid_to: int


@dataclass(frozen=True, slots=True)
class IdentityState:
    """An identity at one moment."""

    did: Did
    owner: Address
    """The account that controls it. For an identity never recorded: its own address. Zero: deactivated."""
    deactivated: bool
    methods: Mapping[str, VerifyingKey] = field(default_factory=dict)
    """Public keys by fragment (`delegate-N`). The controller has no public key on chain, only an address."""
    delegates: Mapping[str, Delegate] = field(default_factory=dict)
    """Accounts by fragment."""
    services: Mapping[str, Service] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    """Fragments whose key bytes are of no suite known here. They verify nothing."""
    last_change: int | None = None
    """Block of the last record; None when nothing was ever recorded."""


@dataclass(slots=True)
class _Fold:
    """The counters never go back, so that a fragment never names two keys."""

    owner: Address
    keys: dict[bytes, tuple[str, bytes, int]] = field(default_factory=dict)
    delegates: dict[tuple[str, Address], Delegate] = field(default_factory=dict)
    services: dict[tuple[str, bytes], Service] = field(default_factory=dict)
    key_count: int = 0
    service_count: int = 0

    def change_owner(self, owner: Address) -> None:
        if self.owner == ZERO_ADDRESS:
            raise RecordInvalid("a record after deactivation")
        self.owner = owner
        self.keys.clear()
        self.delegates.clear()
        self.services.clear()

    def set_delegate(self, purpose: str, address: Address, valid_to: int) -> None:
        self.key_count += 1
        fragment = f"delegate-{self.key_count}"
        self.delegates[(purpose, address)] = Delegate(fragment, purpose, address, valid_to)

    def set_attribute(self, name: str, value: bytes, valid_to: int) -> None:
        if name.startswith("did/pub/"):
            self.key_count += 1
            if _KEY_NAME.fullmatch(name):
                self.keys[value] = (f"delegate-{self.key_count}", value, valid_to)
        elif name.startswith("did/svc/"):
            self.service_count += 1
            match = _SERVICE_NAME.fullmatch(name)
            if match:
                endpoint = value.decode("utf-8", errors="replace")
                fragment = f"service-{self.service_count}"
                self.services[(match.group(1), value)] = Service(fragment, match.group(1), endpoint, valid_to)


def identity_state(
    did: Did, records: Sequence[HistoryRecord], at_time: int, at_block: int = MAX_BLOCK
) -> IdentityState:
    """The identity's state at Unix time `at_time` (the as-of block's), by its records up to `at_block`.

    An identity without records is a valid one: it is owned by its own address and has no other key. A key
    renewed under the same bytes takes a new fragment, and the old fragment is gone, as in did:ethr.

    Raises: RecordInvalid for a record that the IdentityRegistry cannot have written.
    """
    seen = visible(records, at_block)
    fold = _Fold(owner=did.address)
    for item in seen:
        _apply(fold, item.record)
    last = seen[-1].block_number if seen else None
    if fold.owner == ZERO_ADDRESS:
        return IdentityState(did, fold.owner, deactivated=True, last_change=last)
    methods: dict[str, VerifyingKey] = {}
    unreadable: list[str] = []
    for fragment, value, valid_to in fold.keys.values():
        if valid_to <= at_time:
            continue
        try:
            methods[fragment] = VerifyingKey.from_multicodec(value)
        except KeyShapeError:
            unreadable.append(fragment)
    return IdentityState(
        did,
        fold.owner,
        deactivated=False,
        methods=methods,
        delegates={d.fragment: d for d in fold.delegates.values() if d.valid_to > at_time},
        services={s.fragment: s for s in fold.services.values() if s.valid_to > at_time},
        unreadable=tuple(unreadable),
        last_change=last,
    )


def _apply(fold: _Fold, record: bytes) -> None:
    kind = record_kind(record)
    if fold.owner == ZERO_ADDRESS:
        raise RecordInvalid("a record after deactivation")
    if kind == 1:
        _, owner = decode_record(_OWNER, record)
        fold.change_owner(Address.from_hex(cast(str, owner)))
    elif kind == 2:
        _, purpose, address, valid_to = decode_record(_DELEGATE, record)
        fold.set_delegate(
            _text(cast(bytes, purpose)), Address.from_hex(cast(str, address)), cast(int, valid_to)
        )
    elif kind == 3:
        _, name, value, valid_to = decode_record(_ATTRIBUTE, record)
        fold.set_attribute(_text(cast(bytes, name)), cast(bytes, value), cast(int, valid_to))
    else:
        raise RecordInvalid(f"unknown kind of identity record: {kind}")


def _text(name: bytes) -> str:
    """A bytes32 name as did:ethr reads it: up to the padding. What is no ASCII matches no name of ours."""
    return name.rstrip(b"\0").decode("ascii", errors="replace")


def checksum_address(address: Address) -> str:
    """EIP-55 spelling of an address."""
    digits = address.hex()
    digest = keccak256(digits.encode("ascii")).hex()
    return "0x" + "".join(d.upper() if int(h, 16) >= 8 else d for d, h in zip(digits, digest, strict=False))


def did_document(state: IdentityState) -> dict[str, object]:
    """The W3C DID document (JSON-LD, DID Core 1.0) of `state`, in the spelling of did:ethr.

    An identity that nothing was ever recorded about has one too: did:ethr identities exist without
    registration, so a document is no sign that anybody vouches for the identity.
    """
    did = str(state.did)
    document: dict[str, object] = {"@context": list(_CONTEXT), "id": did}
    if state.deactivated:
        return document | {"verificationMethod": [], "authentication": [], "assertionMethod": []}
    methods = [_account_method(state.did, CONTROLLER, state.owner)]
    authentication = [f"{did}#{CONTROLLER}"]
    for delegate in state.delegates.values():
        if delegate.purpose in ("veriKey", "sigAuth"):
            methods.append(_account_method(state.did, delegate.fragment, delegate.address))
        if delegate.purpose == "sigAuth":
            authentication.append(f"{did}#{delegate.fragment}")
    for fragment, key in state.methods.items():
        methods.append(
            {
                "id": f"{did}#{fragment}",
                "type": "Multikey",
                "controller": did,
                "publicKeyMultibase": key.to_multikey(),
            }
        )
    document["verificationMethod"] = methods
    document["authentication"] = authentication
    document["assertionMethod"] = [method["id"] for method in methods]
    if state.services:
        document["service"] = [
            {"id": f"{did}#{s.fragment}", "type": s.type, "serviceEndpoint": s.endpoint}
            for s in state.services.values()
        ]
    return document


def _account_method(did: Did, fragment: str, address: Address) -> dict[str, str]:
    return {
        "id": f"{did}#{fragment}",
        "type": "EcdsaSecp256k1RecoveryMethod2020",
        "controller": str(did),
        "blockchainAccountId": f"eip155:{did.chain_id}:{checksum_address(address)}",
    }
