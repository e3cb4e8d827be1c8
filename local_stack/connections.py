"""From a user's database URL to complete credentials, with libpq as the judge.

A URL may leave out whatever libpq can find elsewhere (``PGPASSWORD``, ``PGPASSFILE`` or ``~/.pgpass``, a service file),
so that no password need stand in a command line. Nothing of that look-up is rebuilt here: a connection is opened and
asked what it used. Outside this machine the server's certificate is verified unless the user says otherwise.

No message of this module contains a password, not even a part of one that a wrongly written URL put elsewhere.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg import conninfo, pq

DEFAULT_PORT: Final = 5432
_FORM: Final = "postgresql://user@host:5432/database?sslmode=verify-full&sslrootcert=/path/ca.pem"
_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


class DatabaseUrlError(ValueError):
    """A database URL cannot be used; the message says what was found, what was expected and what to do."""


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """All that is needed to open one PostgreSQL database; ``repr`` hides the password.

    Parameters
    ----------
    host, port, dbname, username, password
        Where, what and who. The password is empty when the server asks for none.
    sslmode
        One of libpq's modes.
    sslrootcert
        File of the authorities to trust, if not libpq's default one.
    """

    host: str
    port: int
    dbname: str
    username: str
    password: str = field(repr=False)
    sslmode: str = "prefer"
    sslrootcert: str | None = None

    def secret(self) -> dict[str, str | int]:
        """Return the content of the database's secret (the jobs read it from Secrets Manager)."""
        values: dict[str, str | int] = {
            "host": self.host,
            "port": self.port,
            "dbname": self.dbname,
            "username": self.username,
            "password": self.password,
            "sslmode": self.sslmode,
        }
        return values | ({"sslrootcert": self.sslrootcert} if self.sslrootcert else {})

    def connect(self, **options: Any) -> psycopg.Connection:
        """Open an autocommit connection (``psycopg.connect`` keywords may be added or overridden)."""
        arguments: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "dbname": self.dbname,
            "user": self.username,
            "password": self.password or None,
            "sslmode": self.sslmode,
            "sslrootcert": self.sslrootcert,
            "connect_timeout": 10,
            "client_encoding": "utf8",
            "autocommit": True,
        }
        return psycopg.connect(**(arguments | options))

    def __str__(self) -> str:
        """Return the address as a person would write it, without the password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"postgresql://{self.username}@{host}:{self.port}/{self.dbname}"


def parse(url: str) -> Credentials:
    """Read a URL or keyword DSN without connecting.

    Parameters
    ----------
    url
        ``postgresql://user[:password]@host:port/db?...`` or ``host=... dbname=...``; what is missing comes from libpq's
        environment variables.

    Returns
    -------
    Credentials
        The password is empty unless the URL or ``PGPASSWORD`` holds it; :func:`resolve` asks libpq for the rest.

    Raises
    ------
    DatabaseUrlError
        When the text is not a PostgreSQL URL or lacks a database name or host.
    """
    given = _given(url)
    values = _environment() | given
    dbname = values.get("dbname", "")
    if not dbname:
        raise DatabaseUrlError(f"The database URL names no database: expected {_FORM}; add /DATABASE after the host.")
    host = _host(values)
    sslmode = values.get("sslmode", "")
    if "sslmode" not in given and not _chosen("sslmode"):
        sslmode = "prefer" if is_local(host) else "verify-full"
    if sslmode not in _SSL_MODES:
        raise DatabaseUrlError(f"The database URL's sslmode is unknown; expected one of {', '.join(_SSL_MODES)}.")
    return Credentials(
        host=host,
        port=_port(values.get("port", "")),
        dbname=dbname,
        username=values.get("user", ""),
        password=values.get("password", ""),
        sslmode=sslmode,
        sslrootcert=values.get("sslrootcert") or None,
    )


def resolve(url: str, *, timeout: int = 10) -> Credentials:
    """Connect once and return the complete credentials that libpq used.

    Parameters
    ----------
    url
        See :func:`parse`; ``service=NAME`` works too.
    timeout
        Seconds to wait for the server.

    Returns
    -------
    Credentials
        With the password from wherever libpq found it.

    Raises
    ------
    DatabaseUrlError
        When the URL is wrong or the server cannot be reached with it.
    """
    given = _given(url)
    if "service" in given or _chosen("service"):
        return _resolve_service(given, timeout)
    wanted = parse(url)
    arguments = given | {"host": wanted.host, "port": wanted.port, "dbname": wanted.dbname, "sslmode": wanted.sslmode}
    return _opened(wanted, arguments, timeout)


def is_local(host: str) -> bool:
    """Tell whether `host` is this machine by its name or loopback address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() in {"localhost", "localhost.localdomain"}


def _given(url: str) -> dict[str, str]:
    """Return the options that stand in `url`; libpq's own message is dropped, it may quote the password."""
    try:
        values = conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise DatabaseUrlError(
            f"This is not a PostgreSQL URL that libpq understands: expected {_FORM} (a password with special "
            "characters must be percent-encoded, @ is %40; better leave it to PGPASSWORD or ~/.pgpass)."
        ) from None
    given = {key: str(value) for key, value in values.items() if value is not None and value != ""}
    if not given:
        raise DatabaseUrlError(f"The database URL is empty: expected {_FORM}.")
    return given


def _environment() -> dict[str, str]:
    """Return libpq's defaults after its environment variables."""
    return {
        option.keyword.decode(): option.val.decode()
        for option in pq.Conninfo.get_defaults()
        if option.val is not None and option.val != b""
    }


def _chosen(option: str) -> bool:
    """Tell whether `option` comes from libpq's environment variables or service file, not from its built-in default."""
    for known in pq.Conninfo.get_defaults():
        if known.keyword == option.encode() and known.val:
            variable = (known.envvar or b"").decode()
            return bool(os.environ.get(variable)) or known.val != known.compiled
    return False


def _host(values: dict[str, str]) -> str:
    host = values.get("host") or values.get("hostaddr") or "localhost"
    if "," in host:
        raise DatabaseUrlError("The database URL names several hosts; name the one to read from.")
    if "@" in host:
        raise DatabaseUrlError(
            "The database URL has more than one @: percent-encode it as %40 in the user name or password, "
            "or leave the password to PGPASSWORD or ~/.pgpass."
        )
    if host.startswith("/"):
        raise DatabaseUrlError(
            "The database URL names a Unix socket; the jobs need TCP: give a host name, e.g. localhost."
        )
    return host


def _port(text: str) -> int:
    if not text:
        return DEFAULT_PORT
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) <= 65535:  # noqa: PLR2004 - the TCP range
        raise DatabaseUrlError(
            "The database URL's port is not a number from 1 to 65535 (a / or : in a password must be percent-encoded)."
        )
    return int(text)


def _resolve_service(given: dict[str, str], timeout: int) -> Credentials:
    """Let libpq read the service file; verify the server unless an sslmode is given or the host is this one."""
    unknown = Credentials(host="", port=DEFAULT_PORT, dbname="", username="", password="", sslmode="")
    found = _opened(unknown, given, timeout)
    chosen = "sslmode" in given or _chosen("sslmode") or found.sslmode != "prefer"
    if chosen or is_local(found.host):
        return found
    return _opened(found, given | {"sslmode": "verify-full"}, timeout)


def _opened(wanted: Credentials, arguments: dict[str, Any], timeout: int) -> Credentials:
    try:
        with psycopg.connect(**({"connect_timeout": timeout} | arguments)) as connection:
            used = connection.info.get_parameters()
            return Credentials(
                host=wanted.host or _host(used),
                port=connection.info.port,
                dbname=connection.info.dbname,
                username=connection.info.user,
                password=connection.info.password,
                sslmode=wanted.sslmode or used.get("sslmode", "prefer"),
                sslrootcert=used.get("sslrootcert") or wanted.sslrootcert,
            )
    except psycopg.Error as error:
        raise DatabaseUrlError(_explain(wanted, str(error))) from None


def _explain(wanted: Credentials, found: str) -> str:
    """Say what failed and what to do; `found` is libpq's text, scrubbed of the password."""
    text = " ".join((found.replace(wanted.password, "***") if wanted.password else found).split())
    for pattern, advice in _ADVICE:
        if re.search(pattern, text, re.IGNORECASE):
            return f"Cannot open {wanted}: {advice} (server or libpq said: {text})"
    return f"Cannot open {wanted}: {text}"


_ADVICE: Final = (
    (r"no password supplied", "it needs a password; put it into PGPASSWORD, ~/.pgpass or the URL."),
    (r"password authentication failed", "the password or the user name is wrong."),
    (r"translate host name|resolve|name or service not known", "the host name cannot be resolved; check its spelling."),
    (r"connection refused", "nothing listens there; check host and port, and that the server runs."),
    (r"timeout|timed out", "the server does not answer; check host, port, firewall and security group."),
    (r"database .* does not exist", "there is no such database on that server; check the URL's last part."),
    (r"role .* does not exist", "there is no such user on that server."),
    (r"definition of service|service file", "the service is not in ~/.pg_service.conf or PGSERVICEFILE."),
    (
        r"root certificate|certificate verify failed|does not match host name",
        "the server's certificate cannot be verified; give the authority's file with sslrootcert=FILE (for Amazon RDS "
        "its global-bundle.pem), or sslmode=require to encrypt without checking whom you talk to.",
    ),
    (r"does not support SSL", "the server speaks no TLS; only on a network you trust say sslmode=disable."),
)
