"""The identity service's decisions, pure: what may be enrolled, what is certified, which calls are relayed.

Imports neither grpc nor sqlalchemy nor web3 nor generated code.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from stdnum import lei as stdnum_lei
from stdnum.cn import uscc as stdnum_uscc
from stdnum.exceptions import ValidationError

from silkledger.registry.enrolment import Enrolment, ProofInvalid
from silkledger.registry.histories import RecordInvalid, decode_record, keccak256
from silkledger.values import Address, CountryCode, Did, DocumentType, ValueShapeError

MAX_CERTIFICATE_DAYS: Final = 397
"""Longest validity of a client certificate."""

MAX_DEADLINE_S: Final = 24 * 3600
"""A signed call may not be valid for longer than this from now: a relay must not hoard authority."""

ROLE_URN: Final = "urn:silkledger:role:"

CsrKey = ec.EllipticCurvePublicKey | Ed25519PublicKey
CaKey = ec.EllipticCurvePrivateKey | Ed25519PrivateKey


class Refused(ValueError):
    """The request is refused because of one field. Reasons: services/identity/errors.py."""

    def __init__(self, reason: str, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.reason = reason
        self.field = field
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Organisation:
    """An enrolled organisation: public facts."""

    did: Did
    name: str
    country: CountryCode
    roles: frozenset[str]
    lei: str
    uscc: str
    bic: str
    endpoint: str
    enrolled_ms: int
    """Unix milliseconds."""


def check_enrolment(claims: Enrolment, proof: bytes) -> tuple[Did, x509.CertificateSigningRequest]:
    """Whether the claims hold together and both keys are possessed.

    In this order: (1) the shape of name and endpoint, (2) the identifiers' check digits, (3) the certificate
    request, (4) the controller's proof. That the claims are true, the registrar has checked.

    Raises: Refused, naming the field.
    """
    _check_name(claims.name)  # (1)
    _check_endpoint(claims.endpoint)
    _check_identifiers(claims)  # (2)
    request = check_csr(claims.csr_pem)  # (3)
    try:
        return claims.verify(proof), request  # (4)
    except ProofInvalid as error:
        field = "controller_key" if error.reason == "CONTROLLER_KEY_INVALID" else "controller_proof"
        raise Refused(error.reason, field, error.detail) from None


def _check_name(name: str) -> None:
    """Names are shown to people: no control or bidirectional override characters, no blank edges."""
    if name != name.strip() or not unicodedata.is_normalized("NFC", name):
        raise Refused("NAME_INVALID", "name", "must be NFC without blanks at either end")
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for c in name):
        raise Refused("NAME_INVALID", "name", "must have printable characters only")


def _check_endpoint(endpoint: str) -> None:
    if not endpoint:
        return
    try:
        parts = urlsplit(f"//{endpoint}")
        good = bool(parts.hostname and parts.port) and parts.netloc == endpoint and "@" not in endpoint
    except ValueError:
        good = False
    if not good or not endpoint.isascii():
        raise Refused("ENDPOINT_INVALID", "endpoint", "must be host:port")


def _check_identifiers(claims: Enrolment) -> None:
    try:
        if claims.lei:
            stdnum_lei.validate(claims.lei)
    except ValidationError:
        raise Refused("LEI_INVALID", "lei", "is not an ISO 17442 LEI (check digits)") from None
    try:
        if claims.uscc:
            stdnum_uscc.validate(claims.uscc)
    except ValidationError:
        raise Refused("USCC_INVALID", "uscc", "is not a GB 32100 code (check character)") from None
    if claims.bic and claims.bic[4:6] != claims.country:
        raise Refused("BIC_INVALID", "bic", f"is of {claims.bic[4:6]}, but the country is {claims.country}")
    if "bank" in claims.roles and not claims.bic:
        raise Refused("BIC_REQUIRED", "bic", "a bank needs a BIC")


def check_csr(pem: str) -> x509.CertificateSigningRequest:
    """A PKCS#10 request whose signature shows possession of a P-256 or Ed25519 key.

    Raises: Refused (CSR_MALFORMED, CSR_KEY_UNSUPPORTED, CSR_SIGNATURE_INVALID).
    """
    try:
        request = x509.load_pem_x509_csr(pem.encode("utf-8"))
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise Refused("CSR_MALFORMED", "csr_pem", "is not a PKCS#10 request in PEM") from None
    p256 = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    if not p256 and not isinstance(key, Ed25519PublicKey):
        raise Refused("CSR_KEY_UNSUPPORTED", "csr_pem", "the key must be P-256 or Ed25519")
    try:
        valid = request.is_signature_valid
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        valid = False
    if not valid:
        raise Refused("CSR_SIGNATURE_INVALID", "csr_pem", "its signature is not by its own key")
    return request


@dataclass(frozen=True, slots=True, repr=False)
class CertificateAuthority:
    """The network's CA as the service holds it. Its key is in no text form of it."""

    certificate: x509.Certificate
    key: CaKey

    @classmethod
    def load(cls, certificate_pem: bytes, key_pem: bytes) -> CertificateAuthority:
        """Raises: ValueError when the files are no CA, or the key is not the certificate's."""
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        key = serialization.load_pem_private_key(key_pem, None)
        if not isinstance(key, CaKey):
            raise ValueError("the CA key must be an EC or Ed25519 key")  # noqa: TRY004 - a bad file
        if key.public_key() != certificate.public_key():
            raise ValueError("the CA key is not the CA certificate's")
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        if not constraints.ca:
            raise ValueError("the CA certificate is not one of a CA")
        return cls(certificate, key)

    def issue(
        self,
        request: x509.CertificateSigningRequest,
        did: Did,
        roles: frozenset[str],
        *,
        now: datetime,
        days: int,
        local_names: bool,
    ) -> str:
        """The certificate chain, PEM, leaf first.

        `local_names` lets localhost and 127.0.0.1 through, for development.
        """
        public = request.public_key()
        if not isinstance(public, CsrKey):
            raise Refused("CSR_KEY_UNSUPPORTED", "csr_pem", "the key must be P-256 or Ed25519")
        start = now - timedelta(minutes=5)  # clocks differ
        until = min(
            start + timedelta(days=min(days, MAX_CERTIFICATE_DAYS)), self.certificate.not_valid_after_utc
        )
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(str(did))]
        names += [x509.UniformResourceIdentifier(f"{ROLE_URN}{role}") for role in sorted(roles)]
        if local_names:
            names += _local_names(request)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(did))])
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.certificate.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_SIGNATURES_ONLY, critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
        )
        algorithm = None if isinstance(self.key, Ed25519PrivateKey) else hashes.SHA256()
        leaf = builder.sign(self.key, algorithm)
        pem = serialization.Encoding.PEM
        return (leaf.public_bytes(pem) + self.certificate.public_bytes(pem)).decode("ascii")


_SIGNATURES_ONLY: Final = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def _local_names(request: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    allowed: tuple[x509.GeneralName, ...] = (
        x509.DNSName("localhost"),
        x509.IPAddress(IPv4Address("127.0.0.1")),
    )
    try:
        asked = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [name for name in allowed if name in list(asked)]


@dataclass(frozen=True, slots=True)
class Function:
    """A contract function that may be relayed."""

    name: str
    types: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def selector(self) -> bytes:
        return keccak256(f"{self.name}({','.join(self.types)})".encode("ascii"))[:4]


def _function(name: str, /, **arguments: str) -> Function:
    return Function(name, tuple(arguments.values()), tuple(arguments))


_STATUS_ARGUMENTS: Final = {"id": "bytes32", "effectiveBlock": "uint64", "reason": "uint8"}

RELAYED: Final[Mapping[str, tuple[str, tuple[Function, ...]]]] = {
    "PublishIdentity": (
        "IdentityRegistry",
        (
            _function("changeOwner", identity="address", newOwner="address"),
            _function(
                "addDelegate",
                identity="address",
                delegateType="bytes32",
                delegate="address",
                validity="uint256",
            ),
            _function("revokeDelegate", identity="address", delegateType="bytes32", delegate="address"),
            _function("setAttribute", identity="address", name="bytes32", value="bytes", validity="uint256"),
            _function("revokeAttribute", identity="address", name="bytes32", value="bytes"),
        ),
    ),
    "PublishStatusList": (
        "IdentityRegistry",
        (
            _function(
                "publishStatusList",
                identity="address",
                listId="bytes32",
                sequence="uint64",
                digest="bytes32",
            ),
        ),
    ),
    "Accredit": (
        "TrustRegistry",
        (
            _function(
                "accredit",
                issuer="address",
                country="bytes2",
                docType="bytes8",
                level="uint8",
                fromBlock="uint64",
                untilBlock="uint64",
                parent="bytes32",
                maySubaccredit="bool",
            ),
        ),
    ),
    "ChangeAccreditation": (
        "TrustRegistry",
        tuple(_function(name, **_STATUS_ARGUMENTS) for name in ("suspend", "reinstate", "revoke")),
    ),
    "Recognise": (
        "TrustRegistry",
        (
            _function(
                "recognise",
                relying="bytes2",
                issuing="bytes2",
                docType="bytes8",
                minLevel="uint8",
                fromBlock="uint64",
                untilBlock="uint64",
            ),
            _function(
                "withdrawRecognition",
                relying="bytes2",
                issuing="bytes2",
                docType="bytes8",
                effectiveBlock="uint64",
            ),
        ),
    ),
}
"""RPC → the contract it may call and the functions of it. A test compares them with the contracts' ABI."""


def check_calldata(rpc: str, data: bytes) -> tuple[str, dict[str, object]]:
    """The function called and its arguments, when the RPC may relay it and the calldata is canonical.

    Raises: Refused (CALL_FUNCTION_NOT_ALLOWED, CALL_DATA_MALFORMED, CALL_ARGUMENT_INVALID), naming
    `call.data`.
    """
    function = next((f for f in RELAYED[rpc][1] if f.selector == data[:4]), None)
    if function is None:
        allowed = ", ".join(f.name for f in RELAYED[rpc][1])
        raise Refused("CALL_FUNCTION_NOT_ALLOWED", "call.data", f"{rpc} relays only {allowed}")
    try:
        values = decode_record(function.types, data[4:])
    except RecordInvalid as error:
        raise Refused("CALL_DATA_MALFORMED", "call.data", f"{function.name}: {error.reason}") from None
    arguments = dict(zip(function.names, values, strict=True))
    for name, value in arguments.items():
        problem = _problem(name, value)
        if problem:
            raise Refused("CALL_ARGUMENT_INVALID", "call.data", f"{function.name}: {name} {problem}")
    start, until = arguments.get("fromBlock"), arguments.get("untilBlock")
    if isinstance(start, int) and isinstance(until, int) and until and until <= start:
        raise Refused("CALL_ARGUMENT_INVALID", "call.data", f"{function.name}: the period is empty")
    return function.name, arguments


def _problem(name: str, value: object) -> str | None:
    """What is wrong with an argument that the contract would accept or refuse only on chain."""
    if name in ("level", "minLevel") and value not in (1, 2, 3):
        return "must be 1, 2 or 3"
    try:
        if name in ("country", "relying", "issuing") and isinstance(value, bytes):
            CountryCode(value.decode("ascii"))
        if name == "docType" and isinstance(value, bytes):
            DocumentType(value.rstrip(b"\0").decode("ascii"))
    except (ValueShapeError, UnicodeDecodeError):
        return "is malformed"
    return None


def check_deadline(deadline: int, now: int) -> None:
    """Raises: Refused (CALL_EXPIRED, CALL_DEADLINE_TOO_FAR), naming `call.deadline`."""
    if deadline <= now:
        raise Refused("CALL_EXPIRED", "call.deadline", "has passed")
    if deadline > now + MAX_DEADLINE_S:
        raise Refused("CALL_DEADLINE_TOO_FAR", "call.deadline", f"is more than {MAX_DEADLINE_S} s ahead")


def check_actor(actor: Address, caller: Did, owner: Address) -> None:
    """The actor is the caller's identity, or the account that owns it now.

    Raises: Refused (CALL_ACTOR_NOT_CALLER), naming `call.actor`.
    """
    if actor not in (caller.address, owner):
        raise Refused("CALL_ACTOR_NOT_CALLER", "call.actor", "is not the calling organisation's account")
