"""A database of many small tables, drawn with a seed: kinds of keys, types, partitions and references as samples have.

Its rows are made inside PostgreSQL. Two calls with the same seed make the same tables with the same rows.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

_ROWS: Final = (10, 5_000)
_COLUMNS: Final = (2, 14)
_MOST_REFERENCES: Final = 3
# Of a hundred tables, so many have such a key; the others have one number, as most tables do.
_KEYS: Final = {"uuid": 6, "text": 4, "composite": 15, "partitioned": 5}
# A column's type, and its value in row n. The factors are primes: no two columns go together.
_TYPES: Final = {
    "text": "'word ' || n * {prime} % 977",
    "varchar(40)": "left(md5((n * {prime})::text), 12)",
    "integer": "n * {prime} % 10007",
    "bigint": "n * {prime}",
    "smallint": "n * {prime} % 30011",
    "boolean": "n * {prime} % 3 = 0",
    "numeric(10,2)": "(n * {prime} % 1000003) / 100.0",
    "double precision": "n * {prime} / 7.0",
    "date": "date '2024-01-01' + (n * {prime} % 700)::integer",
    "timestamptz": "timestamptz '2024-01-01 00:00:00+00' + n * {prime} * interval '1 second'",
    "timestamp": "timestamp '2024-01-01 00:00:00' + n * {prime} * interval '1 second'",
    "jsonb": "jsonb_build_object('n', n, 'of', n * {prime} % 89)",
    "uuid": "md5((n * {prime})::text)::uuid",
    "text[]": "ARRAY['a', (n * {prime} % 31)::text]",
}
_PRIMES: Final = (7, 11, 13, 31, 101, 499, 997, 7919)


@dataclass(frozen=True, kw_only=True)
class DrawnTable:
    """One table: its statements; ``plain_key``: others may refer to it by one number."""

    name: str
    rows: int
    plain_key: bool
    statements: tuple[str, ...]


def draw(tables: int, seed: int) -> Sequence[DrawnTable]:
    """Draw so many tables; those with references come after what they refer to."""
    chance = random.Random(seed)  # noqa: S311 # nosec B311 # not for secrets
    drawn: list[DrawnTable] = []
    for number in range(1, tables + 1):
        drawn.append(_table(f"t{number:03}", chance, [table for table in drawn if table.plain_key]))
    return drawn


def create(connection: psycopg.Connection, tables: Sequence[DrawnTable]) -> None:
    """Make them, as they look when they have been vacuumed once."""
    for table in tables:
        for statement in table.statements:
            connection.execute(statement.encode())
    connection.commit()
    connection.autocommit = True
    connection.execute(b"VACUUM (ANALYZE)")


def change(connection: psycopg.Connection, tables: Sequence[DrawnTable], rows: int) -> None:
    """Update the first `rows` rows of each of the tables, in which a row has a number."""
    for table in tables:
        connection.execute(f"UPDATE {table.name} SET note = note || '.' WHERE n <= {rows}".encode())  # noqa: S608


def _table(name: str, chance: random.Random, known: Sequence[DrawnTable]) -> DrawnTable:
    low, high = map(math.log, _ROWS)
    rows = round(math.exp(chance.uniform(low, high)))
    (kind,) = chance.choices([*_KEYS, "number"], [*_KEYS.values(), 100 - sum(_KEYS.values())])
    # By hand, because each statement of a table says the same columns: name, type, and value in row n.
    columns = [("n", "bigint", "n"), ("note", "text", "'note ' || n"), *_key_columns(kind)]
    for at in range(chance.randint(*_COLUMNS)):
        of = chance.choice(list(_TYPES))
        columns.append((f"c{at}", of, _TYPES[of].format(prime=chance.choice(_PRIMES))))
    references = chance.sample(known, min(len(known), chance.randint(0, _MOST_REFERENCES)))
    columns += [(f"{other.name}_n", "bigint", f"n * 31 % {other.rows} + 1") for other in references]
    parts = [f"{column} {of}" for column, of, _ in columns]
    parts.append(f"PRIMARY KEY ({', '.join(_key(kind))})")
    parts += [f"FOREIGN KEY ({other.name}_n) REFERENCES {other.name} (n)" for other in references]
    by = " PARTITION BY RANGE (day)" if kind == "partitioned" else ""
    values = ", ".join(value for _, _, value in columns)
    return DrawnTable(
        name=name,
        rows=rows,
        plain_key=kind == "number",
        statements=(
            f"CREATE TABLE {name} ({', '.join(parts)}){by}",
            *(_partitions(name) if by else ()),
            f"INSERT INTO {name} SELECT {values} FROM generate_series(1::bigint, {rows}) n",  # noqa: S608
        ),
    )


def _key(kind: str) -> Sequence[str]:
    return {"number": ("n",), "composite": ("part", "line"), "partitioned": ("n", "day")}.get(kind, ("code",))


def _key_columns(kind: str) -> Sequence[tuple[str, str, str]]:
    return {
        "number": (),
        "composite": (("part", "integer", "n / 4"), ("line", "smallint", "n % 4")),
        "partitioned": (("day", "date", "date '2024-01-01' + (n % 360)::integer"),),
        "uuid": (("code", "uuid", "md5(n::text)::uuid"),),
        "text": (("code", "text", "'code ' || n"),),
    }[kind]


def _partitions(name: str) -> Sequence[str]:
    days = ("2024-01-01", "2024-05-01", "2024-09-01", "2025-01-01")
    return [
        f"CREATE TABLE {name}_p{at} PARTITION OF {name} FOR VALUES FROM ('{begin}') TO ('{end}')"
        for at, (begin, end) in enumerate(pairwise(days), 1)
    ]
