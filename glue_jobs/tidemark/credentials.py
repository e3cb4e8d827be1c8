"""Database credentials: from Secrets Manager to the drivers, and nowhere else.

Promises: a password never stands in an argument, a log, a repr or an error message; outside localhost TLS is
verify-full unless the secret itself says otherwise.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, urlencode

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from tidemark.errors import TidemarkError

if TYPE_CHECKING:
    from collections.abc import Mapping

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
SYSTEM = "system"
CONNECT_TIMEOUT_SECONDS = 15
# Whatever the database's own encoding: our SQL, with its names and texts, is UTF-8.
ENCODING = "utf8"


class Credentials(BaseModel):
    """How to reach one database; the JSON of its secret.

    ``sslrootcert`` is a file of trusted certificates, or ``system`` for the machine's own.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    host: str
    port: int = Field(default=5432, ge=1, le=65535)
    dbname: str
    username: str
    password: SecretStr
    sslmode: SslMode | None = None
    sslrootcert: str | None = None

    @property
    def place(self) -> str:
        """Host, port and database, for messages."""
        return f"{self.host}:{self.port}/{self.dbname}"

    @property
    def effective_sslmode(self) -> str:
        """The secret's sslmode, else verify-full; on localhost, prefer."""
        return self.sslmode or ("prefer" if _is_local(self.host) else "verify-full")

    @property
    def ca_file(self) -> str | None:
        """File of trusted authorities, if it is not the system's."""
        return self.sslrootcert if self.sslrootcert != SYSTEM else None

    def _tls(self) -> dict[str, str]:
        tls = {"sslmode": self.effective_sslmode}
        root = self.sslrootcert or (SYSTEM if self.effective_sslmode == "verify-full" else None)
        return tls | ({"sslrootcert": root} if root else {})

    def libpq(self, application: str) -> dict[str, Any]:
        """Keyword arguments of ``psycopg.connect``."""
        return {
            "host": self.host,
            "port": self.port,
            "dbname": self.dbname,
            "user": self.username,
            "password": self.password.get_secret_value(),
            "application_name": application,
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "client_encoding": ENCODING,
            **self._tls(),
        }

    def uri(self, application: str) -> str:
        """URI for ADBC, which takes nothing else. It holds the password: keep it out of every message."""
        options = {"application_name": application, "connect_timeout": str(CONNECT_TIMEOUT_SECONDS)}
        options |= {"client_encoding": ENCODING, **self._tls()}
        user, password = quote(self.username, safe=""), quote(self.password.get_secret_value(), safe="")
        host = f"[{self.host}]" if ":" in self.host else quote(self.host, safe="")
        place = f"{host}:{self.port}/{quote(self.dbname, safe='')}"
        return f"postgresql://{user}:{password}@{place}?{urlencode(options, quote_via=quote)}"

    def jdbc_url(self) -> str:
        """URL for the JDBC driver, without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"jdbc:postgresql://{host}:{self.port}/{quote(self.dbname, safe='')}"

    def jdbc_properties(self, application: str) -> dict[str, str]:
        """Driver properties, user and password among them (Spark redacts the latter)."""
        tls = self._tls()
        if tls.get("sslrootcert") == SYSTEM:
            tls = {"sslmode": tls["sslmode"], "sslfactory": "org.postgresql.ssl.DefaultJavaSSLFactory"}
        return {
            "driver": "org.postgresql.Driver",
            "user": self.username,
            "password": self.password.get_secret_value(),
            "ApplicationName": application,
            "connectTimeout": str(CONNECT_TIMEOUT_SECONDS),
            **tls,
        }


def from_secret(secret_id: str, ca_file: str = SYSTEM, given: Mapping[str, str] | None = None) -> Credentials:
    """Read a secret of Secrets Manager; ``ca_file`` and ``given`` (host, port, dbname) say what it leaves out.

    Raises
    ------
    TidemarkError
        If there is no such secret, or it does not say how to reach a database.
    """
    try:
        text = boto3.client("secretsmanager").get_secret_value(SecretId=secret_id)["SecretString"]
    except (ClientError, BotoCoreError) as error:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
        raise TidemarkError(
            f"secret {secret_id!r} cannot be read ({code})",
            expected="a secret that the job's role may read",
            do="check its name and the role's secretsmanager:GetSecretValue",
        ) from None
    try:
        found = Credentials.model_validate({**(given or {}), **TypeAdapter(dict[str, Any]).validate_json(text)})
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise TidemarkError(
            f"secret {secret_id!r}: {'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}",
            expected="JSON with host, port, dbname, username, password and, if needed, sslmode, sslrootcert",
            do="mend the secret",
        ) from None
    return found if found.sslrootcert or ca_file == SYSTEM else found.model_copy(update={"sslrootcert": ca_file})


def _is_local(host: str) -> bool:
    if host == "localhost" or host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_REASONS: tuple[tuple[str, str, str], ...] = (
    ("password authentication failed", "user or password is wrong", "check username and password in the secret"),
    ("no password supplied", "the server asks for a password", "give one"),
    ("does not exist", "the database or role does not exist", "check dbname and username in the secret"),
    ("could not translate host name", "the host name is unknown", "check host, and DNS from where the job runs"),
    ("failed to resolve host", "the host name is unknown", "check host, and DNS from where the job runs"),
    ("connection refused", "nothing listens there", "check host and port, and that the server runs"),
    ("timeout", "no answer", "check host, port, routes and security groups"),
    ("timed out", "no answer", "check host, port, routes and security groups"),
    (
        "does not match host name",
        "the server's certificate is for another name",
        "put the name that it is for into host in the secret",
    ),
    ("certificate", "the server's certificate is not trusted", "set sslrootcert in the secret to the right authority"),
    ("does not support ssl", "the server has no TLS", "turn TLS on there, or set sslmode in the secret knowingly"),
    ("too many", "the server has no connection left", "raise its limit or free connections"),
    ("starting up", "the server is starting up", "wait: the next tick repeats"),
    ("shutting down", "the server is shutting down", "wait: the next tick repeats"),
    ("no pg_hba.conf entry", "the server does not let this user in from here", "add a pg_hba.conf rule or use TLS"),
)


def unreachable(kind: str, credentials: Credentials, error: Exception) -> tuple[str, str]:
    """Turn a driver's connection error into what happened and what to do, without its text where that could leak."""
    text = str(error).replace(credentials.password.get_secret_value() or "\0", "***")
    flat = " ".join(text.split())
    for pattern, reason, advice in _REASONS:
        if pattern in flat.lower():
            return f"{kind} {credentials.place} as {credentials.username}: {reason}", advice
    return f"{kind} {credentials.place} as {credentials.username} cannot be reached ({flat[-300:]})", "check the secret"
