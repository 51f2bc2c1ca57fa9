"""An author's own acts on chain, signed here (EIP-712) and relayed by a service that cannot change them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.evm.calls import sign_call
from silkledger.evm.contracts import Network, encode_call
from silkledger.keys.account import Account
from silkledger.registry.histories import status_list_id
from silkledger.status_list import StatusList
from silkledger.values import CountryCode, Did, DocumentType, StatementId

VALID_SECONDS: Final = 600
"""Deadline of a signed call, from now."""

GAS: Final = 600_000
"""Gas given to the inner call: above any function of the registries."""

FOREVER: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class CallSigner:
    """Signs calls of one account for one network."""

    account: Account
    network: Network

    def sign(self, contract: str, function: str, arguments: Sequence[object]) -> chain.SignedCall:
        """One call, with a fresh request id and a deadline in ten minutes."""
        call = sign_call(
            self.account,
            self.network,
            contract=contract,
            data=encode_call(contract, function, arguments),
            request_id=secrets.token_bytes(32),
            deadline=int(time.time()) + VALID_SECONDS,
            gas=GAS,
        )
        return chain.SignedCall(
            actor=call.actor,
            target=call.target,
            request_id=call.request_id,
            deadline=call.deadline,
            gas=call.gas,
            data=call.data,
            signature=call.signature,
        )

    def register_country(self, country: CountryCode, authority: Did) -> chain.SignedCall:
        """By governance only."""
        arguments = [country.encode(), authority.address]
        return self.sign("TrustRegistry", "registerCountry", arguments)

    def accredit(
        self,
        issuer: Did,
        country: CountryCode,
        document_type: DocumentType,
        *,
        level: int,
        from_block: int,
        until_block: int = 0,
        parent: bytes = bytes(32),
        may_subaccredit: bool = False,
    ) -> chain.SignedCall:
        """By the country's root authority, or by an accredited issuer that may accredit others."""
        arguments: list[object] = [
            issuer.address,
            country.encode(),
            document_type.to_bytes8(),
            level,
            from_block,
            until_block,
            parent,
            may_subaccredit,
        ]
        return self.sign("TrustRegistry", "accredit", arguments)

    def change_accreditation(
        self, change: str, accreditation_id: bytes, effective_block: int, reason: int
    ) -> chain.SignedCall:
        """`change`: suspend, reinstate or revoke."""
        return self.sign("TrustRegistry", change, [accreditation_id, effective_block, reason])

    def recognise(
        self,
        relying: CountryCode,
        issuing: CountryCode,
        document_type: DocumentType,
        *,
        min_level: int,
        from_block: int,
        until_block: int = 0,
    ) -> chain.SignedCall:
        """By the relying country's authority."""
        arguments: list[object] = [
            relying.encode(),
            issuing.encode(),
            document_type.to_bytes8(),
            min_level,
            from_block,
            until_block,
        ]
        return self.sign("TrustRegistry", "recognise", arguments)

    def revoke_document(self, statement: StatementId, reason: int, effective_block: int) -> chain.SignedCall:
        return self.sign("DocumentStatus", "revoke", [statement, reason, effective_block])

    def supersede_document(
        self, statement: StatementId, by: StatementId, reason: int, effective_block: int
    ) -> chain.SignedCall:
        return self.sign("DocumentStatus", "supersede", [statement, by, reason, effective_block])

    def publish_key(self, multicodec_key: bytes, valid_seconds: int = FOREVER) -> chain.SignedCall:
        """A verification method of this identity (multicodec-prefixed public key)."""
        return self._set_attribute("did/pub/Multikey/veriKey", multicodec_key, valid_seconds)

    def publish_service(
        self, kind: str, endpoint: str, valid_seconds: int = 10 * 365 * 86400
    ) -> chain.SignedCall:
        """A service endpoint of this identity, e.g. its settlement service."""
        return self._set_attribute(f"did/svc/{kind}", endpoint.encode(), valid_seconds)

    def publish_status_list(self, status_list: StatusList) -> chain.SignedCall:
        """Records a signed list's digest under its number, by the identity's owner."""
        arguments = [
            status_list.issuer.address,
            status_list_id(status_list.id),
            status_list.sequence,
            status_list.digest,
        ]
        return self.sign("IdentityRegistry", "publishStatusList", arguments)

    def _set_attribute(self, name: str, value: bytes, valid_seconds: int) -> chain.SignedCall:
        key = name.encode("ascii").ljust(32, b"\0")
        return self.sign(
            "IdentityRegistry", "setAttribute", [self.account.address, key, value, valid_seconds]
        )
