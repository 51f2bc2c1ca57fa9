"""A test CA: server certificates for 127.0.0.1, client certificates whose URI SANs name a DID and roles."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass(frozen=True)
class Identity:
    """A certificate, its private key and the CA to trust, all PEM."""

    certificate: bytes
    key: bytes
    ca: bytes

    def write(self, directory: Path) -> tuple[Path, Path, Path]:
        """Write certificate, key and CA; returns their paths in that order."""
        directory.mkdir(parents=True, exist_ok=True)
        paths = directory / "tls.crt", directory / "tls.key", directory / "ca.crt"
        for path, data in zip(paths, (self.certificate, self.key, self.ca), strict=True):
            path.write_bytes(data)
        return paths


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


class TestCa:
    """Makes identities that chain to itself."""

    __test__ = False

    def __init__(self, common_name: str = "Sample test CA") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = (
            self._builder(_name(common_name), _name(common_name), self.key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM)
        self.key_pem = _pem(self.key)

    @staticmethod
    def _builder(
        subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, seconds: int = 2 * 86400
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(seconds=seconds))
        )

    def _issue(
        self, names: list[x509.GeneralName], *usages: x509.ObjectIdentifier, seconds: int = 2 * 86400
    ) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_name("Sample"), self.certificate.subject, key.public_key(), seconds)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        return Identity(certificate.public_bytes(serialization.Encoding.PEM), _pem(key), self.pem)

    def server(self) -> Identity:
        names: list[x509.GeneralName] = [
            x509.DNSName("localhost"),
            x509.IPAddress(IPv4Address("127.0.0.1")),
        ]
        return self._issue(names, ExtendedKeyUsageOID.SERVER_AUTH)

    def client(self, *uris: str, seconds: int = 2 * 86400) -> Identity:
        """A client certificate with exactly these URI SANs, right or wrong, valid for so long."""
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
        return self._issue(names, ExtendedKeyUsageOID.CLIENT_AUTH, seconds=seconds)

    def bank(self, did: object) -> Identity:
        """A certificate with which a bank both serves and calls, as enrolment gives it to a local bank."""
        names: list[x509.GeneralName] = [
            x509.UniformResourceIdentifier(str(did)),
            x509.UniformResourceIdentifier("urn:silkledger:role:bank"),
            x509.DNSName("localhost"),
            x509.IPAddress(IPv4Address("127.0.0.1")),
        ]
        return self._issue(names, ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)

    def organisation(self, did: object, *roles: str, seconds: int = 2 * 86400) -> Identity:
        """A client certificate of an enrolled organisation."""
        return self.client(str(did), *(f"urn:silkledger:role:{role}" for role in roles), seconds=seconds)
