"""Database credentials: from a secret or a URL to the drivers, and nowhere else.

Owns the one description of a connection; psycopg, ADBC and JDBC all take theirs from it, and
:mod:`tidemark.base.database_url` makes the same one from a user's URL. Promises: what it says holds for all three
drivers alike, and what one of them could not honour is refused by name; a password never stands in an argument, a log,
a repr or an error message; outside localhost TLS is verify-full unless the secret itself says otherwise, and verified
against a file that exists.
"""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote, urlencode

import certifi
import psycopg
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from tidemark.base.aws import AwsRefusal, AwsSilence, client, code_of
from tidemark.base.connection_errors import unreachable
from tidemark.base.errors import TidemarkError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SYSTEM", "UNSUPPORTED", "Credentials", "from_secret", "is_local", "unreachable"]

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
SYSTEM = "system"
CONNECT_TIMEOUT_SECONDS = 15
# Whatever the database's own encoding: our SQL, with its names and texts, is UTF-8.
ENCODING = "utf8"
_VERIFYING: Final = ("verify-ca", "verify-full")
_NEEDED: Final = ("host", "dbname", "username", "password")
UNSUPPORTED: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("sslcert", "sslkey", "sslpassword", "sslcertmode"),
        "not every driver can present a client certificate: let the server take a password from this role over TLS "
        "(pg_hba.conf: hostssl ... scram-sha-256)",
    ),
    "options": "set it for the role on the server: ALTER ROLE ... SET name = value",
    "hostaddr": "put the address, or better the name on the server's certificate, into host",
    **dict.fromkeys(("target_session_attrs", "load_balance_hosts"), "name the one server to talk to as host"),
    **dict.fromkeys(
        ("gssencmode", "krbsrvname", "gsslib", "gssdelegation"), "use TLS and a password instead of Kerberos"
    ),
    "require_auth": "leave it out; channel_binding=require is honoured, and pg_hba.conf decides the rest",
    "sslnegotiation": "leave it out; TLS protects as well without the shortcut",
    **dict.fromkeys(
        (
            *("sslcompression", "sslcrl", "sslcrldir", "sslsni", "sslkeylogfile"),
            *("ssl_min_protocol_version", "ssl_max_protocol_version", "min_protocol_version", "max_protocol_version"),
            *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"),
            *("requirepeer", "replication", "fallback_application_name", "scram_client_key", "scram_server_key"),
            *("oauth_issuer", "oauth_client_id", "oauth_client_secret", "oauth_scope"),
        ),
        "leave it out",
    ),
}
"""libpq's options that not all drivers have, and what to do instead."""


class Credentials(BaseModel):
    """How to reach one database; the JSON of its secret.

    Parameters
    ----------
    host, port, dbname, username, password
        Where, what and who. One host, by TCP. The password is empty when the server asks for none.
    sslmode
        One of libpq's modes; see :attr:`effective_sslmode` for what holds without.
    sslrootcert
        File of trusted certificates, or ``system`` for the public authorities (those of the package certifi).
    channel_binding
        ``disable``, ``prefer`` or ``require``, as libpq means it.
    connect_timeout
        Seconds to wait for the server.
    application_name
        What the server is to show behind the jobs' own names.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    host: str = Field(min_length=1)
    port: int = Field(default=5432, ge=1, le=65535)
    dbname: str = Field(min_length=1)
    username: str = Field(min_length=1)
    password: SecretStr
    sslmode: SslMode | None = None
    sslrootcert: str | None = None
    channel_binding: Literal["disable", "prefer", "require"] | None = None
    connect_timeout: int = Field(default=CONNECT_TIMEOUT_SECONDS, ge=1, le=3600)
    application_name: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_a_driver_lacks(cls, values: Any) -> Any:
        found = sorted(UNSUPPORTED.keys() & values.keys()) if isinstance(values, dict) else []
        if found:
            raise ValueError(f"{found[0]} cannot be honoured by all drivers; {UNSUPPORTED[found[0]]}")
        return values

    @field_validator("host")
    @classmethod
    def _one_host_by_tcp(cls, host: str) -> str:
        if host.startswith(("/", "@")):
            raise ValueError("a Unix socket will not do, the drivers use TCP: give a host name, e.g. localhost")
        if "," in host:
            raise ValueError("several hosts will not do: name the one server to talk to")
        return host

    @model_validator(mode="after")
    def _authorities_are_for_verifying(self) -> Credentials:
        if self.sslrootcert == SYSTEM and self.sslmode not in (None, "verify-full"):
            raise ValueError("sslrootcert=system needs sslmode=verify-full")
        if self.sslrootcert and self.sslmode in ("disable", "allow", "prefer"):
            raise ValueError(f"sslrootcert has no use with sslmode={self.sslmode}; say verify-full, or leave it out")
        return self

    @property
    def place(self) -> str:
        """Host, port and database, for messages."""
        return f"{self.host}:{self.port}/{self.dbname}"

    def __str__(self) -> str:
        """Return the address as a person would write it, without the password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"postgresql://{self.username}@{host}:{self.port}/{self.dbname}"

    def changed(self, **changes: Any) -> Credentials:
        """Return these credentials with other values in some fields."""
        return Credentials.model_validate(self.secret() | changes)

    def secret(self) -> dict[str, str | int]:
        """Return the content of the database's secret, password included."""
        found = self.model_dump(exclude_defaults=True) | {"port": self.port}
        return found | {"password": self.password.get_secret_value()}

    @property
    def effective_sslmode(self) -> SslMode:
        """The mode that all drivers use.

        The secret's; require with a file of authorities is verify-ca, as libpq has it. Without any: verify-full; on
        localhost, if no authorities are named either, prefer.
        """
        if self.sslmode is None:
            return "prefer" if is_local(self.host) and not self.sslrootcert else "verify-full"
        return "verify-ca" if self.sslmode == "require" and self.sslrootcert else self.sslmode

    @property
    def ca_file(self) -> str | None:
        """File of trusted authorities, if it is not the public ones'."""
        return self.sslrootcert if self.sslrootcert != SYSTEM else None

    def shown_as(self, application: str) -> str:
        """Return the application name that a session of ours has on the server; it begins with the job's own."""
        return f"{application} {self.application_name or ''}".rstrip()

    def _tls(self) -> dict[str, str]:
        """Give the TLS options that libpq and pgjdbc share."""
        mode = self.effective_sslmode
        # Always a real file, and the same for all: "system" would be a folder of the machine that built psycopg's
        # wheel, and Java has authorities of its own.
        root = {"sslrootcert": self.ca_file or certifi.where()} if mode in _VERIFYING else {}
        return {"sslmode": mode, **root}

    def _options(self, application: str) -> dict[str, str | int]:
        """Give libpq's options beyond address and account.

        What could come from the user's own files and variables is turned off where another driver would not have it.
        """
        return {
            "application_name": self.shown_as(application),
            "connect_timeout": self.connect_timeout,
            "client_encoding": ENCODING,
            "channel_binding": self.channel_binding or "prefer",
            "gssencmode": "disable",
            "sslcertmode": "disable",
            **self._tls(),
        }

    def libpq(self, application: str) -> dict[str, Any]:
        """Keyword arguments of ``psycopg.connect``."""
        return {
            "host": self.host,
            "port": self.port,
            "dbname": self.dbname,
            "user": self.username,
            "password": self.password.get_secret_value(),
            **self._options(application),
        }

    def connect(self, **options: Any) -> psycopg.Connection:
        """Open an autocommit connection (``psycopg.connect`` keywords may be added or overridden)."""
        return psycopg.connect(**(self.libpq("tidemark") | {"autocommit": True} | options))

    def uri(self, application: str) -> str:
        """URI for ADBC. It holds the password: keep it out of every message."""
        user, password = quote(self.username, safe=""), quote(self.password.get_secret_value(), safe="")
        host = f"[{self.host}]" if ":" in self.host else quote(self.host, safe="")
        place = f"{host}:{self.port}/{quote(self.dbname, safe='')}"
        return f"postgresql://{user}:{password}@{place}?{urlencode(self._options(application), quote_via=quote)}"

    def jdbc_url(self) -> str:
        """URL for the JDBC driver, without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"jdbc:postgresql://{host}:{self.port}/{quote(self.dbname, safe='')}"

    def jdbc_properties(self, application: str) -> dict[str, str]:
        """Driver properties, user and password among them (Spark redacts the latter)."""
        return {
            "driver": "org.postgresql.Driver",
            "user": self.username,
            "password": self.password.get_secret_value(),
            "ApplicationName": self.shown_as(application),
            "connectTimeout": str(self.connect_timeout),
            "channelBinding": self.channel_binding or "prefer",
            "gssEncMode": "disable",
            # Empty: none, not even those in the home directory.
            "sslcert": "",
            "sslkey": "",
            **self._tls(),
        }


def is_local(host: str) -> bool:
    """Tell whether ``host`` is this machine by its name or loopback address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() in {"localhost", "localhost.localdomain"}


def from_secret(secret_id: str, ca_file: str = SYSTEM, given: Mapping[str, str] | None = None) -> Credentials:
    """Read a secret of Secrets Manager.

    Parameters
    ----------
    secret_id
        Name or ARN. RDS's own secrets will do: they hold a user and a password, and extras that are left alone.
    ca_file
        The trusted authorities if the secret does not say.
    given
        What the secret lacks (``host``, ``port``, ``dbname``, ...); the secret's own values win.

    Raises
    ------
    TidemarkError
        If there is no such secret, or it does not say how to reach a database.
    """
    try:
        text = client("secretsmanager").get_secret_value(SecretId=secret_id)["SecretString"]
    except (AwsRefusal, AwsSilence) as error:
        raise TidemarkError(
            f"secret {secret_id!r} cannot be read ({code_of(error)})",
            expected="a secret that the job's role may read",
            do="check its name and the role's secretsmanager:GetSecretValue",
        ) from None
    found = _complete(secret_id, text, given or {})
    verifies = found.effective_sslmode in _VERIFYING and not found.sslrootcert and ca_file != SYSTEM
    return found.model_copy(update={"sslrootcert": ca_file}) if verifies else found


def _complete(secret_id: str, text: str, given: Mapping[str, str]) -> Credentials:
    """Merge a secret's text with what the settings say."""
    expected = f"JSON with {', '.join(_NEEDED)} and, if needed, port, sslmode, sslrootcert"
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise TidemarkError(f"secret {secret_id!r}: content: no JSON object", expected=expected, do="fix the secret")
    told = {name: value for name, value in content.items() if value not in (None, "") or name == "password"}
    values = {name: value for name, value in given.items() if value} | told
    if missing := [name for name in _NEEDED if values.get(name) is None]:
        settings = [name for name in missing if name in ("host", "dbname")]
        named = ", ".join(f"{kind}_{name}" for kind in ("source", "warehouse") for name in settings)
        raise TidemarkError(
            f"secret {secret_id!r}: {', '.join(missing)}: missing there and in the settings",
            expected=expected,
            do="fix the secret" + (f", or give what it lacks in the stage's settings ({named})" if named else ""),
        )
    try:
        return Credentials.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise TidemarkError(
            f"secret {secret_id!r}: {'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}",
            expected=expected,
            do="fix the secret",
        ) from None
