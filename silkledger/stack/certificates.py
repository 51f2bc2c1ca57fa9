"""The development certificate authority: X.509 for mTLS on one machine. NEVER for production.

Its private key lies unprotected in the data directory. Production gives the identity service an
intermediate certificate of the operator's own PKI instead.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME: Final = timedelta(days=397)
"""Validity of a leaf certificate."""

WARNING: Final = (
    "DEVELOPMENT ONLY: this stack's certificate authority, governance key and log key lie unprotected in "
    "its data directory, and its chain has no seals. Never use it for production."
)

ROLE_PREFIX: Final = "urn:silkledger:role:"


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where a certificate chain and its private key lie, both PEM."""

    certificate: Path
    key: Path


def write_private(path: Path, data: bytes) -> None:
    """Writes a secret, readable by its owner only, and never in part: a new file replaces the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def private_key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS#8 without a passphrase."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class DevelopmentCa:
    """A P-256 root in `directory`: `ca.crt` and `ca.key`. Made at first use, then kept."""

    def __init__(self, directory: Path) -> None:
        self.files = CertificateFiles(directory / "ca.crt", directory / "ca.key")
        if not self.files.certificate.exists():
            self._create()
        self._certificate = x509.load_pem_x509_certificate(self.files.certificate.read_bytes())
        key = serialization.load_pem_private_key(self.files.key.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{self.files.key} is not an EC key")  # noqa: TRY004 - a bad file, not a bad call
        self._key = key

    def issue_service(self, name: str, files: CertificateFiles) -> None:
        """A server certificate for localhost and 127.0.0.1, written with its key."""
        names: list[x509.GeneralName] = [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.IPv4Address("127.0.0.1")),
            x509.UniformResourceIdentifier(f"urn:silkledger:service:{name}"),
        ]
        self._issue(name, names, files, ExtendedKeyUsageOID.SERVER_AUTH)

    def issue_client(self, name: str, did: str, roles: Sequence[str], files: CertificateFiles) -> None:
        """A client certificate whose URI SANs are the DID and the roles. For the operator itself:
        organisations get theirs from the identity service."""
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(did)]
        names += [x509.UniformResourceIdentifier(ROLE_PREFIX + role) for role in roles]
        self._issue(name, names, files, ExtendedKeyUsageOID.CLIENT_AUTH)

    def _create(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Silkledger DEVELOPMENT CA")])
        now = datetime.now(UTC)
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        write_private(self.files.key, private_key_pem(key))
        self.files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _issue(
        self,
        name: str,
        names: list[x509.GeneralName],
        files: CertificateFiles,
        usage: x509.ObjectIdentifier,
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        issuer_id = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])]))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + LIFETIME)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        write_private(files.key, private_key_pem(key))
        files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
