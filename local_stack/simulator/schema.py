"""The reference source's schema and real snapshots of it.

``totesys.sql`` is its DDL. A snapshot is a folder with one CSV file for each table, as pandas
wrote it: integers of nullable columns as ``1.0``, booleans as ``True``, an empty cell for NULL.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

TABLES: Final = (
    *("address", "counterparty", "currency", "department", "staff", "design", "payment_type"),
    *("sales_order", "purchase_order", "transaction", "payment"),
)


class SnapshotError(ValueError):
    """A snapshot folder does not hold what the schema needs."""


def create_schema(conn: psycopg.Connection) -> None:
    """Make the eleven empty tables.

    Raises
    ------
    psycopg.errors.DuplicateObject
        When the database holds them already.
    """
    with conn.transaction():
        conn.execute(Path(__file__).with_name("totesys.sql").read_bytes())


def load_snapshot(conn: psycopg.Connection, folder: Path) -> dict[str, int]:
    """Fill the empty tables with a real snapshot.

    Parameters
    ----------
    conn
        Connection to a database made by :func:`create_schema`.
    folder
        Folder with ``TABLE.csv`` for every table, read in place.

    Returns
    -------
    dict
        Rows written, by table.

    Raises
    ------
    SnapshotError
        When a file is missing, has other columns than the table, or a value the table refuses.
    """
    counts: dict[str, int] = {}
    with conn.transaction():
        for table in TABLES:
            path = folder / f"{table}.csv"
            if not path.is_file():
                raise SnapshotError(f"The snapshot {folder} has no {path.name}; it needs one CSV file for each table.")
            try:
                counts[table] = _load_table(conn, table, path)
            except psycopg.DataError as error:
                raise SnapshotError(f"{path}: {error.diag.message_primary} ({error.diag.context})") from error
        set_sequences(conn)
    conn.execute("ANALYZE")
    return counts


def set_sequences(conn: psycopg.Connection) -> None:
    """Let every key's sequence continue after the highest id present."""
    for table in TABLES:
        key = f"{table}_id"
        name, column = sql.Identifier("public", table), sql.Identifier(key)
        conn.execute(
            sql.SQL(
                "SELECT setval(pg_get_serial_sequence({}, {}), coalesce(max({}), 1), max({}) IS NOT NULL) FROM {}"
            ).format(sql.Literal(name.as_string(conn)), sql.Literal(key), column, column, name)
        )


def _load_table(conn: psycopg.Connection, table: str, path: Path) -> int:
    found = conn.execute(
        "SELECT column_name, data_type, is_nullable = 'YES' FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = %s",
        [table],
    ).fetchall()
    types = {name: (kind, nullable) for name, kind, nullable in found}
    with path.open(newline="", encoding="utf-8") as handle:
        reader = csv.reader(handle)
        header = next(reader, [])
        if set(header) != set(types):
            odd = ", ".join(sorted(set(header) ^ set(types)))
            raise SnapshotError(f"{path}: the columns differ from those of table {table}: {odd}.")
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
            sql.Identifier("public", table), sql.SQL(", ").join(map(sql.Identifier, header))
        )
        count = 0
        with conn.cursor() as cursor, cursor.copy(statement) as copy:
            for count, row in enumerate(reader, 1):  # noqa: B007 - the count outlives the loop
                copy.write_row([_value(text, *types[name]) for name, text in zip(header, row, strict=True)])
    return count


def _value(text: str, kind: str, nullable: bool) -> str | None:
    """Undo what pandas did; an empty cell is NULL where the column allows it and an empty text where it does not."""
    if text == "" and nullable:
        return None
    return text.removesuffix(".0") if kind == "integer" else text
