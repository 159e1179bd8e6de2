"""Certificates for TLS tests, made in the process and valid for loopback: good, expired, for another host, of nobody."""

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Identity:
    """The PEM files of one certificate and its key."""

    certificate: Path
    key: Path


class Certificates:
    """An authority of the tests' own and what it signs, as files in a directory; each is made when first asked for."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("EdgeProfile test authority")
        self.authority = directory / "authority.pem"
        certificate = self._certificate(self._name, self._key.public_key(), life=(-_DAY, _DAY), is_authority=True)
        self.authority.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    @cached_property
    def server(self) -> Identity:
        """For `localhost`, 127.0.0.1 and ::1."""
        return self._issue("server")

    @cached_property
    def client(self) -> Identity:
        return self._issue("client")

    @cached_property
    def expired(self) -> Identity:
        """A server that was valid until yesterday."""
        return self._issue("expired", life=(-3 * _DAY, -_DAY))

    @cached_property
    def wrong_host(self) -> Identity:
        """A server for elsewhere.invalid only."""
        return self._issue("wrong-host", hosts=("elsewhere.invalid",))

    def serving(self, identity: Identity | None = None) -> ssl.SSLContext:
        """For a TLS server that shows that identity, by default the good one."""
        chosen = identity or self.server
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chosen.certificate, chosen.key)
        return context

    def trusting(self) -> ssl.SSLContext:
        """For a TLS client that trusts this authority alone and can show the client's certificate."""
        context = ssl.create_default_context(cafile=str(self.authority))
        context.load_cert_chain(self.client.certificate, self.client.key)
        return context

    def _issue(
        self,
        name: str,
        *,
        hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "::1"),
        life: tuple[dt.timedelta, dt.timedelta] = (-_DAY, _DAY),
    ) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(_name(name), key.public_key(), life=life, hosts=hosts)
        identity = Identity(self.directory / f"{name}.pem", self.directory / f"{name}.key")
        identity.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        identity.key.write_bytes(_private_pem(key))
        return identity

    def _certificate(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        *,
        life: tuple[dt.timedelta, dt.timedelta],
        hosts: tuple[str, ...] = (),
        is_authority: bool = False,
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        ours = self._key.public_key()
        builder = (
            x509.CertificateBuilder(issuer_name=self._name, subject_name=subject, public_key=key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + life[0])
            .not_valid_after(now + life[1])
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(_usage(is_authority=is_authority), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ours), critical=False)
        )
        if not is_authority:
            both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
            builder = builder.add_extension(x509.SubjectAlternativeName([_host(h) for h in hosts]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
