"""What people ask of the PostgreSQL warehouse: counts, rows, versions of a key, rows as of a moment."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import errors as pg_errors
from psycopg.rows import dict_row

from tidemark.base.quoting import pg, pg_literal
from tidemark.model.added_columns import present_rows, warehouse_columns
from tidemark.warehouse.postgres.connection import told
from tidemark.warehouse.postgres.ddl import column_type
from tidemark.warehouse.protocol import NotLoadedError, PlainRow, StoredVersion

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from tidemark.base.credentials import Credentials
    from tidemark.model.definition import Column, Dimension, Fact, Model

# A table, its schema, or a function beside it.
_NOT_THERE: Final = (pg_errors.UndefinedTable, pg_errors.InvalidSchemaName, pg_errors.UndefinedFunction)


class PostgresReader:
    """A :class:`tidemark.warehouse.protocol.WarehouseReader`.

    Parameters
    ----------
    connection
        In autocommit, with its search path pinned.
    credentials
        Those that it was made with, for messages.
    """

    def __init__(self, model: Model, connection: psycopg.Connection[Any], credentials: Credentials) -> None:
        self._model, self._connection, self._credentials = model, connection, credentials

    def loaded_through(self) -> int:
        """Return the newest batch in the ledger."""
        with self._told():
            if not self._one("SELECT to_regclass('etl.load_ledger') IS NOT NULL"):
                return 0
            return int(self._one("SELECT max(batch) FROM etl.load_ledger WHERE model = %s", self._model.name) or 0)

    def present_rows(self, table: Dimension | Fact) -> int:
        """Count them."""
        query = f"SELECT count(*) FROM {pg(self._model.name, table.name)} WHERE {present_rows(table)}"  # noqa: S608
        with self._told(), self._there(table.name):
            return int(self._one(query))

    def rows(self, table: str) -> Iterator[PlainRow]:
        """All rows; what the server has sent is held in memory."""
        return self._rows(table, pg(self._model.name, table))

    def versions(self, fact: Fact, key: Sequence[str]) -> list[StoredVersion]:
        """All versions of one key; PostgreSQL says whether its values are ones."""
        pairs = zip(map(fact.column, fact.key), key, strict=True)
        wanted = {f"{pg(column.name)} = CAST(%s AS {column_type(column.type)})": value for column, value in pairs}
        query = (
            f"SELECT * FROM {pg(self._model.name, fact.name)} "  # noqa: S608 - quoted names, and types of the model
            f"WHERE {' AND '.join(wanted)} ORDER BY version"
        )
        with self._told(), self._there(fact.name):
            try:
                with self._connection.transaction(), self._connection.cursor(row_factory=dict_row) as cursor:
                    cursor.execute("SET LOCAL timezone = 'UTC'")
                    rows = cursor.execute(query.encode(), list(wanted.values())).fetchall()
            except psycopg.DataError:
                raise ValueError(f"{', '.join(key)} is not a key of {fact.name}") from None
        return [_version(row, fact) for row in rows]

    def as_of(self, fact: Fact, moment: datetime, known_batch: int | None = None) -> Iterator[PlainRow]:
        """Ask the fact's function of that name."""
        # Not bound: the columns' forms have a % in them, which is an operator.
        arguments = f"{pg_literal(moment.isoformat())}::timestamptz"
        arguments += "" if known_batch is None else f", {known_batch:d}::bigint"
        return self._rows(fact.name, f"{pg(self._model.name, fact.name + '_as_of')}({arguments})")

    def _rows(self, table: str, relation: str) -> Iterator[PlainRow]:
        listed = ", ".join(map(_plain_form, warehouse_columns(self._model, table)))
        with self._told(), self._there(table):
            return iter(self._connection.execute(f"SELECT {listed} FROM {relation}".encode()))  # noqa: S608 - quoted names

    def _one(self, query: str, *values: Any) -> Any:
        row = self._connection.execute(query.encode(), values or None).fetchone()
        return None if row is None else row[0]

    def _told(self) -> AbstractContextManager[None]:
        return told(self._credentials)

    @contextmanager
    def _there(self, table: str) -> Iterator[None]:
        try:
            yield
        except _NOT_THERE:
            raise NotLoadedError(f"{self._model.name}.{table}") from None


def _plain_form(column: Column) -> str:
    """SQL that gives a column as a plain row has it; 24:00, which Python does not know, as it is."""
    if column.type.base == "time":
        return f"to_char({pg(column.name)}, 'HH24:MI:SS.US') AS {pg(column.name)}"
    return column.type.reader_expression(column.name)


def _version(row: dict[str, Any], fact: Fact) -> StoredVersion:
    return StoredVersion(
        number=row["version"],
        valid_from=row["valid_from"],
        valid_to=row["valid_to"],
        is_deleted=row["is_deleted"],
        recorded_batch=row["recorded_batch"],
        closed_batch=row["closed_batch"],
        values={column.name: row[column.name] for column in fact.columns},
    )
