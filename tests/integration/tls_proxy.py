"""TLS in front of the embedded server, which was built without it: real handshakes with whatever certificate a test wants.

It speaks the first bytes of PostgreSQL's protocol (SSLRequest, GSSENCRequest) and passes on the rest. A session that
does not ask for TLS is cut off and counted.
"""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.integration.forwarding import Forwarder, forward

_SSL_REQUEST, _GSSENC_REQUEST = 80877103, 80877104
_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """A certificate authority of a test's own; ``file`` is what clients are told to trust."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    file: Path

    @classmethod
    def make(cls, folder: Path, name: str) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        certificate = _signed(subject, subject, key, key, _DAY, [(constraints, True)])
        file = folder / f"{name}.pem"
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return cls(key, certificate, file)

    def certify(self, folder: Path, host: str, *, lasts: datetime.timedelta = _DAY) -> Path:
        """Make a server's certificate for a host; return the file of it and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        name: x509.GeneralName = x509.DNSName(host)
        with suppress(ValueError):
            name = x509.IPAddress(ipaddress.ip_address(host))
        names = x509.SubjectAlternativeName([name])
        certificate = _signed(subject, self.certificate.subject, key, self.key, lasts, [(names, False)])
        file = folder / f"server-{certificate.serial_number}.pem"
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
        return file


def _signed(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    by: ec.EllipticCurvePrivateKey,
    lasts: datetime.timedelta,
    extensions: list[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key.public_key())
    made = made.serial_number(x509.random_serial_number())
    made = made.not_valid_before(now - 3 * _DAY).not_valid_after(now + lasts)
    for extension, critical in extensions:
        made = made.add_extension(extension, critical)
    return made.sign(by, hashes.SHA256())


class TlsProxy(Forwarder):
    """Listens on a port of its own and speaks TLS there with the certificate in ``file``.

    With ``clients`` it wants a certificate of that authority from whoever connects.
    """

    def __init__(self, file: Path, target_port: int, clients: Authority | None = None) -> None:
        self.encrypted = self.plain = 0
        self._target_port = target_port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(file)
        if clients:
            self._context.load_verify_locations(clients.file)
            self._context.verify_mode = ssl.CERT_REQUIRED
        super().__init__()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError, struct.error):
            request = struct.unpack("!II", client.recv(8, socket.MSG_WAITALL))[1]
            while request == _GSSENC_REQUEST:
                client.sendall(b"N")
                request = struct.unpack("!II", client.recv(8, socket.MSG_WAITALL))[1]
            if request != _SSL_REQUEST:
                self.plain += 1
                return
            client.sendall(b"S")
            secured = self._context.wrap_socket(client, server_side=True)
            self.encrypted += 1
            forward(secured, self._target_port)
