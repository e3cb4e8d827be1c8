"""How a session of ours begins: nothing that others planted in the database can be called by it.

Promises: ``search_path`` is pinned before the first statement, by a start-up option where the server takes one (so that
even what a driver asks on its own account is covered), and in any case by the first statement; the role's own time-outs
do not end the session while it holds something for others; nothing is prepared on the server, poolers do not keep it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg

if TYPE_CHECKING:
    from tidemark.base.credentials import Credentials

PIN: Final = "SET search_path = pg_catalog, pg_temp"
PIN_AT_START: Final = "-c search_path=pg_catalog,pg_temp"
# Later versions of PostgreSQL brought some of them.
TIMEOUTS: Final = "'idle_in_transaction_session_timeout', 'transaction_timeout', 'idle_session_timeout'"
NO_TIMEOUTS: Final = f"SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ({TIMEOUTS})"  # noqa: S608
# What PgBouncer, RDS Proxy and their like say to start-up options.
_NO_OPTIONS: Final = re.compile(r"startup parameter|command-line options", re.IGNORECASE)
_PATH: Final = "SELECT pg_catalog.current_setting('search_path')"


def refuses_options(error: Exception) -> bool:
    """Tell whether a driver's error says that the server takes no start-up options: a pooler stands before it."""
    return bool(_NO_OPTIONS.search(str(error)))


@dataclass(frozen=True)
class Session:
    """An open connection in autocommit; ``takes_options`` says whether the server takes start-up options."""

    connection: psycopg.Connection[Any]
    takes_options: bool


def open_session(credentials: Credentials, application: str) -> Session:
    """Connect, pin the search path, and turn the role's time-outs for idle sessions off.

    Raises
    ------
    psycopg.Error
        If the server cannot be reached.
    """
    arguments = {"autocommit": True, "prepare_threshold": None} | credentials.libpq(application)
    try:
        connection = psycopg.connect(**arguments, options=PIN_AT_START)
    except psycopg.OperationalError as error:
        if not refuses_options(error):
            raise
        connection = psycopg.connect(**arguments)
    # A pooler may also swallow the options without a word.
    path = connection.execute(_PATH).fetchone()
    connection.execute(PIN)
    connection.execute(NO_TIMEOUTS.encode())
    return Session(connection, takes_options=path is not None and str(path[0]).replace(" ", "") == "pg_catalog,pg_temp")
