"""The source as it is now, for people who compare: counts and whole tables, in the forms in which readers land them.

Promise: whoever waits for a table that is being read has it within a second; the reading is then given up.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from tidemark.base.giving_way import Watch
from tidemark.base.sessions import open_session
from tidemark.source import catalog, queries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tidemark.base.credentials import Credentials
    from tidemark.model.definition import Model, SourceTable
    from tidemark.model.types import PgType


@dataclass(frozen=True)
class SourceContents:
    """All rows of one source table: its columns in the model's order, days and microseconds for dates and times.

    Parameters
    ----------
    table
        As the model has it.
    types
        The columns' types as the source has them.
    rows
        To be read once, before the next table's.
    """

    table: SourceTable
    types: Mapping[str, PgType]
    rows: Iterator[tuple[Any, ...]]


class SourceReader:
    """The tables of one source.

    Parameters
    ----------
    connection
        In autocommit; of a role that may read them.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def count(self, table: SourceTable) -> int:
        """Rows of a table now."""
        query = f"SELECT count(*) FROM {queries.relation(table)}"  # noqa: S608 - a quoted name
        found = self._connection.execute(query.encode()).fetchone()
        return int(found[0]) if found else 0

    def contents(self, model: Model) -> Iterator[SourceContents]:
        """All rows of all tables of a model, in one snapshot."""
        with self._connection.transaction():
            self._connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            self._connection.execute(queries.SESSION_FORMATS.encode())
            found = catalog.describe(self._connection, model)
            for name, table in model.tables.items():
                types = found[name].types
                rows = self._connection.execute(queries.rows(table, types, ["true"]).encode())
                yield SourceContents(table, types, iter(rows))


@contextmanager
def open_source(credentials: Credentials) -> Iterator[SourceReader]:
    """Open a session for reading, and give it up if somebody waits for what it reads.

    Raises
    ------
    GaveWayError
        If somebody waited.
    """
    application = f"tidemark-compare {secrets.token_hex(4)}"
    with open_session(credentials, application).connection as connection, Watch(credentials, [application]) as watch:
        place, do = f"source {credentials.place}", "nothing was changed; run it again"
        with watch.explaining(psycopg.Error, place, "comparison", do):
            yield SourceReader(connection)
