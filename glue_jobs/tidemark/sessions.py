"""How a session of ours begins: nothing that others planted in the database can be called by it.

Promises: ``search_path`` is pinned before the first statement, by a start-up option where the server takes one (so that
even what a driver asks on its own account is covered), else by the first statement; nothing is prepared on the server,
which poolers do not keep.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg

if TYPE_CHECKING:
    from tidemark.credentials import Credentials

PIN: Final = "SET search_path = pg_catalog, pg_temp"
PIN_AT_START: Final = "-c search_path=pg_catalog,pg_temp"
# What PgBouncer, RDS Proxy and their like say to start-up options.
_NO_OPTIONS: Final = re.compile(r"startup parameter|command-line options", re.IGNORECASE)


def refuses_options(error: Exception) -> bool:
    """Tell whether a driver's error says that the server takes no start-up options: a pooler stands before it."""
    return bool(_NO_OPTIONS.search(str(error)))


@dataclass(frozen=True)
class Session:
    """An open connection in autocommit; ``takes_options`` says whether the server takes start-up options."""

    connection: psycopg.Connection[Any]
    takes_options: bool


def open_session(credentials: Credentials, application: str) -> Session:
    """Connect, and pin the search path.

    Raises
    ------
    psycopg.Error
        If the server cannot be reached.
    """
    arguments = {"autocommit": True, "prepare_threshold": None} | credentials.libpq(application)
    try:
        return Session(psycopg.connect(**arguments, options=PIN_AT_START), takes_options=True)
    except psycopg.OperationalError as error:
        if not refuses_options(error):
            raise
    connection = psycopg.connect(**arguments)
    connection.execute(PIN)
    return Session(connection, takes_options=False)
