"""Who calls: the organisation that the client certificate names.

mTLS has already verified the chain to the network's CA and the possession of the key. Here the certificate's
URI subject alternative names are read: exactly one `did:ethr:…`, and any number of
`urn:silkledger:role:<role>`. This is authentication of the transport: it is not a check that the
organisation is accredited for anything.
"""

from __future__ import annotations

import math
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cryptography import x509

from silkledger.runtime.errors import Forbidden, Unauthenticated
from silkledger.values import Did, ValueShapeError

ROLE_URN: Final = "urn:silkledger:role:"
"""Prefix of the URI SAN that names a role."""

ROLES: Final = frozenset({"agency", "bank", "auditor", "authority", "settlement-institution", "operator"})


@dataclass(frozen=True, slots=True)
class Caller:
    """The calling organisation and the roles that its certificate gives it."""

    did: Did
    roles: frozenset[str]
    expires_at: float = math.inf
    """Unix time at which the certificate ends: TLS checked it at the handshake only."""

    def require_role(self, *roles: str) -> None:
        """Raises: Forbidden, unless the caller has one of the roles."""
        if self.roles.isdisjoint(roles):
            raise Forbidden(f"needs the role {' or '.join(roles)}")


_caller: ContextVar[Caller] = ContextVar("silkledger_caller")


def caller() -> Caller:
    """The caller of the RPC that is being handled.

    Raises:
        Unauthenticated: outside an authenticated RPC.
    """
    try:
        return _caller.get()
    except LookupError:
        raise Unauthenticated("no authenticated caller") from None


def set_caller(identity: Caller) -> None:
    """For the call interceptor (and for in-process callers that authenticate otherwise)."""
    _caller.set(identity)


@lru_cache(maxsize=4096)
def caller_of_certificate(pem: bytes) -> Caller:
    """Read DID and roles of a certificate that TLS has already verified.

    Raises:
        Unauthenticated: no DID, more than one, or a URI SAN that is not understood.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (ValueError, x509.ExtensionNotFound):
        raise Unauthenticated("the client certificate has no readable subject alternative name") from None
    dids = [uri for uri in uris if uri.startswith("did:")]
    roles = frozenset(uri.removeprefix(ROLE_URN) for uri in uris if uri.startswith(ROLE_URN))
    if len(dids) != 1:
        raise Unauthenticated("the client certificate must name exactly one DID as URI SAN")
    if not roles <= ROLES:
        raise Unauthenticated("the client certificate names a role that does not exist")
    try:
        return Caller(Did(dids[0]), roles, certificate.not_valid_after_utc.timestamp())
    except ValueShapeError as error:
        raise Unauthenticated(f"the client certificate's DID is malformed: {error.reason}") from None
