"""Rows for a stranger's tables: enough of every type that a schema uses, and random changes to them.

Foreign keys are switched off while rows are written, so that some point nowhere: a source without constraints.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg
from tidemark.base.quoting import pg, pg_literal

if TYPE_CHECKING:
    from tidemark.base.database_url import Credentials

_TABLES = """
SELECT c.oid::bigint, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
 ORDER BY 2, 3
"""
_COLUMNS = """
SELECT a.attname, format_type(coalesce(nullif(t.typbasetype, 0), t.oid), a.atttypmod), a.attnotnull,
       a.attnum = ANY (SELECT unnest(i.indkey::int2[]) FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique),
       (SELECT array_agg(e.enumlabel::text) FROM pg_enum e WHERE e.enumtypid = t.oid)
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
 WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum
"""
# By the type's name without its arguments; {n} is a number, {d} a day, {u} hexadecimal digits.
_LITERALS = {
    "smallint": "{n}", "integer": "{n}", "bigint": "{n}000000", "numeric": "{n}.25", "real": "{n}.5",
    "double precision": "{n}.125", "money": "{n}", "boolean": "{n} % 2 = 0", "text": "'text {n} é'", "bpchar": "'c{n}'",
    "character varying": "'v{n}'", "character": "'c{n}'", '"char"': "'x'", "name": "'n{n}'",
    "uuid": "'00000000-0000-0000-0000-{u}'", "date": "'{d}'", "timestamp without time zone": "'{d} 10:00:00.123'",
    "timestamp with time zone": "'{d} 10:00:00+02'", "time without time zone": "'10:{m}:00'",
    "time with time zone": "'10:{m}:00+01'", "interval": "'{n} days'", "bytea": "'\\x{u}'", "json": "'{{\"a\": {n}}}'",
    "jsonb": "'{{\"a\": {n}}}'", "inet": "'10.0.0.{b}'", "tsvector": "'word{n}'", "xml": "'<a>{n}</a>'",
    "point": "'({n},1)'", "int4range": "'[1,{n}5)'", "oid": "{n}",
}  # fmt: skip


@dataclass
class Table:
    """One table of the source, and how many rows were ever written to it."""

    name: str
    columns: list[tuple[str, str, bool, bool, list[str] | None]]
    written: int = 0


@dataclass
class RandomRows:
    """Random work on all tables of a database; what a table refuses (checks, unique keys) is not written."""

    database: Credentials
    seed: int
    tables: list[Table] = field(default_factory=list)
    rows: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - not for secrets
        with self.database.connect() as connection:
            for oid, schema, name in connection.execute(_TABLES).fetchall():
                columns = connection.execute(_COLUMNS, [oid]).fetchall()
                self.tables.append(Table(pg(schema, name), columns))

    def insert(self, each: int) -> None:
        """Write about ``each`` rows more to every table."""
        self._run(*(self._insert(table) for table in self.tables for _ in range(each)))

    def change(self) -> None:
        """Update, delete and insert some rows of every table."""
        statements = []
        for table in self.tables:
            some = f"FROM {table.name} ORDER BY random() LIMIT"
            for name, kind, not_null, unique, labels in table.columns:
                if not unique and self._random.random() < 0.4:
                    value = self._value(kind, labels, self._random.randint(1, 99), not_null)
                    where = f"ctid IN (SELECT ctid {some} 2)"
                    statements.append(f"UPDATE {table.name} SET {pg(name)} = {value} WHERE {where}")
            statements.append(f"DELETE FROM {table.name} WHERE ctid IN (SELECT ctid {some} 1)")
            statements += [self._insert(table), self._insert(table)]
        self._run(*statements)

    def _insert(self, table: Table) -> str:
        table.written += 1
        listed, values = [], []
        for name, kind, not_null, unique, labels in table.columns:
            number = table.written if unique else self._random.randint(1, 14)
            listed.append(pg(name))
            values.append(self._value(kind, labels, number, not_null or unique))
        return f"INSERT INTO {table.name} ({', '.join(listed)}) OVERRIDING SYSTEM VALUE VALUES ({', '.join(values)})"

    def _value(self, kind: str, labels: list[str] | None, number: int, needed: bool) -> str:
        if labels:
            return pg_literal(self._random.choice(labels))
        base = re.sub(r"\(.*?\)", "", kind)
        form = "'{{}}'" if kind.endswith("[]") else _LITERALS.get(base, "NULL")
        if not needed and self._random.random() < 0.2:
            return "NULL"
        day = f"2022-{number % 2 + 1:02d}-{number % 28 + 1:02d}"
        return form.format(n=number, d=day, u=f"{number:012x}", m=f"{number % 60:02d}", b=number % 256)

    def _run(self, *statements: str) -> None:
        with self.database.connect() as connection:
            connection.execute("SET session_replication_role = replica")
            for statement in statements:
                try:
                    self.rows += connection.execute(statement.encode()).rowcount
                except psycopg.Error:  # a check, a unique key, a domain: the table does not take that
                    continue
