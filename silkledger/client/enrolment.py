"""Enrolment: keys are made here; a certificate request and public keys go out, a certificate comes back."""

from __future__ import annotations

import ipaddress
import os
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from silkledger.client.identity import IdentityClient
from silkledger.client.organisation import Organisation, Profile
from silkledger.identity.v1 import identity_pb2 as pb
from silkledger.keys.account import Account
from silkledger.registry.enrolment import Enrolment
from silkledger.values import CountryCode, Did

ROLES: Final = {
    "agency": pb.ROLE_AGENCY,
    "bank": pb.ROLE_BANK,
    "auditor": pb.ROLE_AUDITOR,
    "authority": pb.ROLE_AUTHORITY,
    "settlement-institution": pb.ROLE_SETTLEMENT_INSTITUTION,
}
"""Role names of certificates and of the command line."""


def prepare(folder: Path, profile: Profile, chain_id: int) -> Organisation:
    """Makes what is missing in the folder: controller key, TLS key, profile. An interrupted enrolment
    goes on with the same keys, so that it enrols one organisation and not two."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    controller = folder / "controller.pem"
    if not controller.exists():
        Account.generate().save(controller)
    account = Account.load(controller)
    if not (folder / "tls.key").exists():
        _write_tls_key(folder / "tls.key")
    organisation = Organisation(folder, replace(profile, did=str(Did.of(chain_id, account.address))))
    organisation.save()
    return organisation


async def enrol(identity: IdentityClient, organisation: Organisation) -> pb.Organisation:
    """Sends the request, keeps the certificate. Raises: `RpcFailed`."""
    request = enrolment_request(organisation)
    response = await identity.enrol(request)
    certificate = organisation.folder / "tls.crt"
    certificate.write_text(response.certificate_chain_pem, encoding="ascii")
    return response.organisation


def enrolment_request(organisation: Organisation) -> pb.EnrolOrganisationRequest:
    """With proof of possession of both keys (docs/formats/enrolment.md)."""
    profile = organisation.profile
    account = organisation.account()
    claims = Enrolment(
        request_id=str(uuid.uuid4()),
        chain_id=organisation.did.chain_id,
        name=profile.name,
        country=CountryCode(profile.country),
        roles=frozenset(profile.roles),
        lei=profile.lei,
        uscc=profile.uscc,
        bic=profile.bic,
        endpoint=profile.settlement_endpoint,
        csr_pem=_signing_request(organisation).decode("ascii"),
        controller_key=account.public_key,
    )
    return pb.EnrolOrganisationRequest(
        request_id=claims.request_id,
        name=claims.name,
        country=claims.country,
        roles=[ROLES[role] for role in sorted(claims.roles)],
        lei=claims.lei,
        uscc=claims.uscc,
        bic=claims.bic,
        endpoint=claims.endpoint,
        csr_pem=claims.csr_pem,
        controller_key=claims.controller_key,
        controller_proof=claims.sign(account.key),
    )


def _write_tls_key(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)


def _signing_request(organisation: Organisation) -> bytes:
    pem = (organisation.folder / "tls.key").read_bytes()
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("tls.key is not an EC key")  # noqa: TRY004 - a bad file, not a bad call
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, organisation.profile.name[:64])])
    # A bank's settlement service serves with this certificate too; the identity service passes these two
    # names on in development mode only.
    local = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    request = builder.add_extension(local, critical=False).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)
