"""The one table that every tool reads: sales orders of twelve columns, made and changed inside PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import yaml

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

TABLE: Final = "sales_order"
KEY: Final = "sales_order_id"
CHANGED_AT: Final = "last_updated"
FACT: Final = f"fact_{TABLE}"
_COLUMNS: Final = {
    KEY: "bigint",
    "created_at": "timestamptz",
    CHANGED_AT: "timestamptz",
    "design_id": "integer",
    "staff_id": "integer",
    "counterparty_id": "integer",
    "units_sold": "integer",
    "unit_price": "numeric(10,2)",
    "currency_id": "integer",
    "agreed_delivery_date": "varchar",
    "agreed_payment_date": "varchar",
    "delivery_location_id": "integer",
}
# One order each half a minute: a million of them are a year. The factors are primes: no two columns go together.
_ROWS: Final = f"""
INSERT INTO {TABLE} SELECT n, day, day, n * 31 %% 997, n * 7 %% 40, n * 13 %% 499, n * 17 %% 100000,
    (n * 7919 %% 39900 + 100) / 100.0, n %% 3 + 1, to_char(day + interval '6 days', 'YYYY-MM-DD'),
    to_char(day + interval '3 days', 'YYYY-MM-DD'), n * 11 %% 30 + 1
FROM (SELECT n, timestamptz '2025-01-01 00:00:00+00' + n * interval '30 seconds' AS day
      FROM generate_series(1::bigint, %s) n) orders
"""  # noqa: S608 # our own names
_CHANGE: Final = f"""
UPDATE {TABLE} SET units_sold = units_sold + 1, {CHANGED_AT} = clock_timestamp()
WHERE {KEY} IN (SELECT 1 + floor((part + random()) * step)::bigint FROM generate_series(0, %s - 1) part,
                (SELECT max({KEY}) / %s::float8 AS step FROM {TABLE}) parts)
"""  # noqa: S608 # our own names


def create(connection: psycopg.Connection, rows: int) -> None:
    """Make the table, as a database looks that has been vacuumed once."""
    columns = ", ".join(f"{name} {kind} NOT NULL" for name, kind in _COLUMNS.items())
    connection.execute(f"CREATE TABLE {TABLE} ({columns}, PRIMARY KEY ({KEY}))".encode())
    connection.execute(_ROWS.encode(), (rows,))
    connection.commit()
    connection.autocommit = True
    connection.execute(f"VACUUM (FREEZE, ANALYZE) {TABLE}".encode())


def count(connection: psycopg.Connection, table: str) -> int:
    """Return the number of rows of a table, all versions."""
    row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()  # noqa: S608 # our own name
    return int(row[0]) if row else 0


def change(connection: psycopg.Connection, count: int) -> int:
    """Update so many rows, one in each of `count` equal parts of the table; return how many it was."""
    return connection.execute(_CHANGE.encode(), (count, count)).rowcount


def write_star(model: Path) -> None:
    """Let a drafted model's star have one fact, with all columns of the table and the day of creation.

    The draft leaves a table that nothing refers to out of the star.
    """
    columns = {"created_date": "date"} | _COLUMNS
    described = {
        name: {"type": kind, "nullable": False, "description": name.replace("_", " ")} for name, kind in columns.items()
    }
    head = {"description": "Sales orders, every version", "surrogate_key": "record_id", "key": KEY, "from": TABLE}
    fact = {**head, "partition_by": "created_date", "columns": described}
    star = {"dimensions": {}, "facts": {FACT: fact}}
    (model / "star.yml").write_text(yaml.safe_dump(star, sort_keys=False), encoding="utf-8")
    names = ", ".join(_COLUMNS)
    query = f"SELECT CAST(created_at AS date) AS created_date, {names}, {CHANGED_AT} AS _updated_at FROM {TABLE}"  # noqa: S608
    (model / f"{FACT}.sql").write_text(query, encoding="utf-8")
