"""From a user's database URL to complete credentials, with libpq as the judge.

A URL may leave out whatever libpq can find elsewhere (``PGPASSWORD``, ``PGPASSFILE`` or ``~/.pgpass``, a service file),
so that no password need stand in a command line. Nothing of that look-up is rebuilt here: libpq is asked what it found,
and a connection is opened in the very form that the jobs will use. Outside this machine the server's certificate is
verified unless the user says otherwise.

Promises: an option that one of the jobs' drivers would drop is refused by name, wherever it comes from; no message
contains a password, not even a part of one that a wrongly written URL put elsewhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
from psycopg import conninfo, pq
from pydantic import ValidationError

from tidemark.base.connection_errors import explained, said_by
from tidemark.base.credentials import SYSTEM, UNSUPPORTED, Credentials, is_local

__all__ = ["Credentials", "DatabaseUrlError", "is_local", "parse", "resolve"]

_FORM: Final = "postgresql://user@host:5432/database?sslmode=verify-full&sslrootcert=/path/ca.pem"
_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# Options of libpq that are ours by another name, serve only its look-up, or never reach a connection of ours.
_OTHERWISE: Final = {"user", "passfile", "service", "client_encoding"}
HONOURED: Final = Credentials.model_fields.keys() - {"username"} | _OTHERWISE
_HOME_ROOT: Final = Path(".postgresql", "root.crt")


class DatabaseUrlError(ValueError):
    """A database URL cannot be used; the message says what was found, what was expected and what to do."""


def parse(url: str) -> Credentials:
    """Read a URL or keyword DSN without connecting.

    Parameters
    ----------
    url
        ``postgresql://user[:password]@host:port/db?...``, ``host=... dbname=...`` or ``service=NAME``; what is missing
        comes from libpq's environment variables.

    Returns
    -------
    Credentials
        The password is empty unless the URL, the service or ``PGPASSWORD`` holds it; :func:`resolve` asks libpq for
        the rest.

    Raises
    ------
    DatabaseUrlError
        When the text is not a PostgreSQL URL, lacks a database name, or has an option that not all drivers honour.
    """
    return _read(url)[0]


def resolve(url: str) -> Credentials:
    """Connect once, as the jobs will, and return the complete credentials.

    Parameters
    ----------
    url
        See :func:`parse`.

    Returns
    -------
    Credentials
        With the password from wherever libpq found it.

    Raises
    ------
    DatabaseUrlError
        When the URL is wrong or the server cannot be reached with it.
    """
    wanted, passfile = _read(url)
    try:
        with wanted.connect(**({"passfile": passfile} if passfile else {})) as connection:
            return wanted.changed(password=connection.info.password)
    except psycopg.Error as error:
        raise DatabaseUrlError(_explain(wanted, error)) from None


def _read(url: str) -> tuple[Credentials, str]:
    """Return what a URL and libpq's look-up say, and the password file if one is named."""
    given = _given(url)
    service = given.get("service") or os.environ.get("PGSERVICE", "")
    found = _looked_up(service)
    values = found | given
    _refuse(values, given, found, service)
    if not values.get("dbname"):
        raise DatabaseUrlError(f"The database URL names no database: expected {_FORM}; add /DATABASE after the host.")
    mode = values.get("sslmode") if "sslmode" in given or _chosen("sslmode", found) else None
    if mode and mode not in _SSL_MODES:
        raise DatabaseUrlError(f"The database URL's sslmode is unknown; expected one of {', '.join(_SSL_MODES)}.")
    options = {name: values.get(name) for name in ("password", "connect_timeout", "application_name")}
    if "channel_binding" in given or _chosen("channel_binding", found):
        options["channel_binding"] = values["channel_binding"]
    fields = {
        "host": _host(values),
        "port": _port(values.get("port", "")),
        "dbname": values["dbname"],
        "username": values.get("user"),
        "sslmode": mode,
        "sslrootcert": _authorities(values, given, mode),
        **options,
    }
    return _checked({"password": ""} | {name: value for name, value in fields.items() if value}), values.get(
        "passfile", ""
    )


def _checked(fields: Mapping[str, object]) -> Credentials:
    try:
        return Credentials.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"])).replace("username", "user")
        message = first["msg"].removeprefix("Value error, ")
        raise DatabaseUrlError(f"The database URL cannot be used: {where + ': ' if where else ''}{message}.") from None


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


def _looked_up(service: str) -> dict[str, str]:
    """Return libpq's defaults after its environment variables and the service file.

    Raises
    ------
    DatabaseUrlError
        When there is no such service; libpq's look-up passes over that in silence, only connecting tells.
    """
    with _environment("PGSERVICE", service):
        if service:
            # An impossible option after the service: libpq stops there, or before if it does not find the service.
            tried = pq.PGconn.connect_start(b"load_balance_hosts=none-such")
            if b"service" in tried.error_message:
                said = " ".join(tried.error_message.decode(errors="replace").split())
                raise DatabaseUrlError(
                    f"Cannot read the service: it is not in ~/.pg_service.conf or PGSERVICEFILE, or wrong there (libpq "
                    f"said: {said})"
                )
        return {
            option.keyword.decode(): option.val.decode()
            for option in pq.Conninfo.get_defaults()
            if option.val is not None and option.val != b""
        }


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    try:
        os.environ.pop(name, None)
        if value:
            os.environ[name] = value
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


def _variable(option: str) -> str:
    """Name libpq's environment variable for an option; empty if there is none."""
    known = (found.envvar for found in pq.Conninfo.get_defaults() if found.keyword.decode() == option)
    return (next(known, None) or b"").decode()


def _built_in() -> dict[str, str]:
    return {found.keyword.decode(): (found.compiled or b"").decode() for found in pq.Conninfo.get_defaults()}


def _chosen(option: str, found: Mapping[str, str]) -> bool:
    """Tell whether `option` comes from a variable or the service file, not from libpq's built-in default."""
    return bool(os.environ.get(_variable(option))) or found.get(option, "") != _built_in().get(option, "")


def _refuse(values: Mapping[str, str], given: Mapping[str, str], found: Mapping[str, str], service: str) -> None:
    """Name the options that some driver of the jobs would drop."""
    built_in = _built_in()
    said: dict[str, list[str]] = {}
    for name in sorted(values.keys() - HONOURED):
        if values[name] == built_in.get(name, ""):
            continue
        variable = _variable(name)
        origin = "the database URL"
        if name not in given:
            by_variable = variable and os.environ.get(variable) == found[name]
            origin = f"the environment variable {variable}" if by_variable else f"the service {service}"
        said.setdefault(f"({origin}): {UNSUPPORTED.get(name, 'leave it out')}", []).append(name)
    if said:
        told = "; ".join(f"{', '.join(names)} {advice}" for advice, names in said.items())
        raise DatabaseUrlError(
            "Not all drivers of the jobs (psycopg, ADBC, JDBC) can honour what is asked of the connection, so it is "
            f"refused: {told}."
        )


def _authorities(values: Mapping[str, str], given: Mapping[str, str], mode: str | None) -> str | None:
    """Return the file of trusted authorities as an absolute path: the jobs run in another folder.

    Without one, libpq takes ``~/.postgresql/root.crt`` if it is there, and verifies against it; so all drivers do.
    """
    wanted = values.get("sslrootcert")
    if "sslrootcert" not in given and mode in ("disable", "allow", "prefer"):
        return None
    if not wanted:
        at_home = Path.home() / _HOME_ROOT
        verifies = mode or not is_local(values.get("host", "localhost"))
        return str(at_home) if verifies and at_home.is_file() else None
    if wanted == SYSTEM:
        return wanted
    file = Path(wanted).absolute()
    if not file.is_file():
        raise DatabaseUrlError(
            f"There is no file {file}, which sslrootcert names; give that of the authority that signed the server's "
            "certificate (for Amazon RDS its global-bundle.pem), or leave sslrootcert out to trust the public ones."
        )
    return str(file)


def _host(values: Mapping[str, str]) -> str:
    host = values.get("host") or "localhost"
    if "," in host:
        raise DatabaseUrlError("The database URL names several hosts; name the one to read from.")
    if host.startswith("/"):
        raise DatabaseUrlError(
            "The database URL names a Unix socket; the jobs need TCP: give a host name, e.g. localhost."
        )
    if "@" in host:
        raise DatabaseUrlError(
            "The database URL has more than one @: percent-encode it as %40 in the user name or password, "
            "or leave the password to PGPASSWORD or ~/.pgpass."
        )
    return host


def _port(text: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) <= 65535:  # noqa: PLR2004 - the TCP range
        raise DatabaseUrlError(
            "The database URL's port is not a number from 1 to 65535 (a / or : in a password must be percent-encoded)."
        )
    return int(text)


def _explain(wanted: Credentials, error: psycopg.Error) -> str:
    """Say what failed and what to do."""
    text = said_by(error, wanted)
    reason, advice = explained(text, "the URL") or ("", "")
    if reason == "the server asks for a password":
        advice = "put one into PGPASSWORD, ~/.pgpass or the URL"
    return (
        f"Cannot open {wanted}: {reason}; {advice} (server or libpq said: {text})"
        if reason
        else f"Cannot open {wanted}: {text}"
    )
