"""Connections of the PostgreSQL warehouse, and what a person is told when one fails.

Two drivers: ADBC takes Arrow rows by COPY, so a load writes through it; psycopg does all else. Promises: no error of
either gets out of :func:`told`; what gets out names the warehouse and what to do, and holds neither the password nor
values of rows.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import psycopg
from adbc_driver_manager import Error as AdbcError
from adbc_driver_postgresql import dbapi

from tidemark.base import credentials as creds
from tidemark.base.errors import WarehouseError
from tidemark.base.sessions import PIN_AT_START

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidemark.base.credentials import Credentials
    from tidemark.base.sessions import Session

FROM_SCRATCH: Final = "drop the schema and its rows in etl.load_ledger"
ERRORS: Final = (AdbcError, psycopg.Error)
"""What the two drivers raise."""
_LONGEST_TEXT: Final = 400
_SEVERITY: Final = re.compile(r"[^\W\d_]+:  (?=\S)")
_ADVICE: Final = {
    "42501": "grant {user} CREATE on the database and ownership of the schemas",
    "55P03": "end the other session that holds a lock on the warehouse's tables; the next tick repeats",
    "42P01": f"a table was dropped by hand: {FROM_SCRATCH} to load from scratch",
}


def connect(credentials: Credentials, application: str, session: Session) -> dbapi.Connection:
    """Open an ADBC connection; ``session`` is one of the same server, which says how its search path can be pinned."""
    uri = credentials.uri(application)
    return dbapi.connect(f"{uri}&options={quote(PIN_AT_START)}" if session.takes_options else uri)


def run(connection: dbapi.Connection, statement: str) -> int:
    """Run a statement; return the rows that it wrote."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return max(0, int(cursor.rowcount))


def fetch(connection: dbapi.Connection, query: str) -> list[tuple[Any, ...]]:
    """Return what a query gives."""
    with connection.cursor() as cursor:
        cursor.execute(query)
        return [tuple(row) for row in cursor.fetchall()]


@contextmanager
def told(credentials: Credentials, do: str = "look at what the server names") -> Iterator[None]:
    """Tell what the drivers raise within the block as what happened to this warehouse.

    Parameters
    ----------
    do
        What helps where nothing better is known.

    Raises
    ------
    WarehouseError
        In place of either driver's error.
    """
    try:
        yield
    except AdbcError as error:
        raise _refused(credentials, error.sqlstate or "", str(error), do) from None
    except psycopg.Error as error:
        if error.sqlstate is None and isinstance(error, psycopg.ProgrammingError):
            raise  # a defect of ours, which no server has seen
        if error.sqlstate is None:
            what, advice = creds.unreachable("warehouse", credentials, error)
            raise WarehouseError(what, do=advice) from None
        raise _refused(credentials, error.sqlstate, f"ERROR:  {error.diag.message_primary}", do) from None


def _refused(credentials: Credentials, state: str, words: str, do: str) -> WarehouseError:
    password = credentials.password.get_secret_value() or "\0"
    # Before the server's sentence stands the statement, as long as it may be; behind it, details that may hold a row's
    # values. Two blanks follow the severity in whatever language.
    said = [match.start() for match in _SEVERITY.finditer(words.split("\nDETAIL", maxsplit=1)[0])]
    text = words[said[-1] :].splitlines()[0] if said else words
    text = " ".join(text.replace(password, "***").split())[:_LONGEST_TEXT]
    advice = _ADVICE.get(state, do).format(user=credentials.username)
    return WarehouseError(f"warehouse {credentials.place}: {text}", do=advice)
