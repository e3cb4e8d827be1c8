"""SQL of the snapshot difference, as pure functions from model and cut to text.

The rules and their proof are in the project's snapshot-difference notes (docs/adr/0002). In short: the changed rows of
a tick are those whose tuple ``xmin`` is not older than the previous cut's xmin, minus the transactions that the
previous cut had already shown; deletes show in the number and the hash sum of keys, whole and per key range.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tidemark.base.quoting import pg, pg_literal
from tidemark.model.definition import SourceTable
from tidemark.model.types import PgType
from tidemark.source.cut import Cut

XID_MODULUS = 2**32
XID_HORIZON = 2**31 - 1
MIN_GROUP_BITS = 10
MAX_GROUPS = 256
# Values are hashed and landed as text: that must not depend on what a role, a database or a driver happens to set.
SESSION_FORMATS = (
    "SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = 'postgres'; SET LOCAL timezone = 'UTC'; "
    "SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 3"
)


@dataclass(frozen=True, kw_only=True)
class PlannedRead:
    """One read to do: rows or keys of a table, how many the scan promised, and how wide the widest is (bytes)."""

    table: SourceTable
    expected_rows: int
    keys_only: bool = False
    conditions: tuple[str, ...] = ()
    widest: int = 0

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        return self.table.key if self.keys_only else tuple(column.name for column in self.table.columns)

    @property
    def name(self) -> str:
        """What the read is called in the landing area."""
        return f"{self.table.name}-keys" if self.keys_only else self.table.name


def relation(table: SourceTable) -> str:
    """The table as SQL names it."""
    return pg(table.schema, table.relation)


def xids_comparable(previous: Cut, current: Cut) -> bool:
    """Whether xmins of the two cuts can be compared modulo 2^32."""
    return 0 <= current.xmax - previous.xmin < XID_HORIZON and current.xmax >= previous.xmax


def changed_since(previous: Cut, current: Cut) -> str:
    """Condition true for every row that a transaction not shown by ``previous`` has written.

    ``xidsend`` gives the raw xid as four big-endian bytes, so the comparison is parallel-safe; the window wraps around
    where its lower bound is numerically above its upper one.
    """
    low, high = previous.xmin % XID_MODULUS, current.xmax % XID_MODULUS
    if previous.xmin == current.xmax:
        return "false"
    glue = "AND" if low <= high else "OR"
    window = f"(xidsend(xmin) >= '\\x{low:08x}'::bytea {glue} xidsend(xmin) < '\\x{high:08x}'::bytea)"
    if not previous.visible_xids:
        return window
    already = ", ".join(f"'\\x{xid % XID_MODULUS:08x}'::bytea" for xid in previous.visible_xids)
    return f"({window} AND xidsend(xmin) NOT IN ({already}))"


def written_in(current: Cut) -> str:
    """Condition true for rows, shown by this cut, of transactions that the next cut's window will include again."""
    low, high = current.xmin % XID_MODULUS, current.xmax % XID_MODULUS
    glue = "AND" if low <= high else "OR"
    return f"(xidsend(xmin) >= '\\x{low:08x}'::bytea {glue} xidsend(xmin) < '\\x{high:08x}'::bytea)"


def in_snapshot(snapshot_text: str) -> str:
    """Condition that is true inside the exported snapshot and an error, never false, outside it.

    It must not stand in a statement that is planned outside: before PostgreSQL 17 the planner itself evaluates it.
    """
    return (
        f"CASE WHEN pg_current_snapshot()::text = {pg_literal(snapshot_text)} THEN 0 ELSE "
        "('reader is outside the exported snapshot: ' || pg_current_snapshot()::text)::int END = 0"
    )


def key_hash(table: SourceTable) -> str:
    """64-bit hash of a row's key."""
    if table.integer_key:
        return f"hashint8extended({pg(table.integer_key)}::bigint, 0)"
    columns = ", ".join(f"{pg(column)}::text" for column in table.key)
    return f"hashtextextended(ROW({columns})::text, 0)"


def content_hash(table: SourceTable) -> str:
    """64-bit hash of a whole row, for strategies that have no xmin."""
    columns = ", ".join(f"{pg(column.name)}::text" for column in table.columns)
    return f"hashtextextended(ROW({columns})::text, 0)"


def scan(table: SourceTable, changed: str, content_from: str | None, types: Mapping[str, PgType]) -> str:
    """One row: all rows, their key hash; changed rows, their key hash; contents' hash (``content_from``: where).

    Columns: count, key_hash, changed, changed_hash, content_hash, last cursor, bytes of the widest changed row
    and of the widest key; the last two as far as the source's own ``types`` do not bound them.
    """
    hashed = key_hash(table)
    content = "NULL"
    if content_from is not None:
        content = f"coalesce(sum({content_hash(table)}::numeric) FILTER (WHERE {content_from}), 0)::text"
    cursor = f"max({pg(table.cursor)})::text" if table.cursor else "NULL"
    wide = " + ".join(filter(None, (types[column.name].measured_width(column.name) for column in table.columns)))
    widest = f"max({wide}) FILTER (WHERE {changed})" if wide else "NULL"
    wide = " + ".join(filter(None, (types[column].measured_width(column) for column in table.key)))
    widest_key = f"max({wide})" if wide else "NULL"
    return (
        f"SELECT count(*), coalesce(sum({hashed}), 0)::text, count(*) FILTER (WHERE {changed}), "  # noqa: S608
        f"coalesce(sum({hashed}) FILTER (WHERE {changed}), 0)::text, {content}, {cursor}, {widest}, {widest_key} "
        f"FROM {relation(table)}"
    )


def grouped_scan(table: SourceTable, shift: int, changed: str) -> str:
    """Per key range: group, rows, key hash, changed rows, their key hash; rows whose key is NULL are in none."""
    key, hashed = pg(str(table.integer_key)), key_hash(table)
    group = f"({key}::bigint >> {shift:d})"
    return (
        f"SELECT {group}, count(*), sum({hashed})::text, count(*) FILTER (WHERE {changed}), "  # noqa: S608
        f"coalesce(sum({hashed}) FILTER (WHERE {changed}), 0)::text FROM {relation(table)} "
        f"WHERE {key} IS NOT NULL GROUP BY 1"
    )


def key_bounds(table: SourceTable) -> str:
    """Lowest and highest key, to choose the ranges' width."""
    key = pg(str(table.integer_key))
    return f"SELECT min({key})::bigint, max({key})::bigint FROM {relation(table)}"  # noqa: S608


def repeated_key(table: SourceTable) -> str:
    """One key, as the lake would see it, that appears in several rows or is NULL: how many rows, and its columns."""
    columns = [f"{pg(column)}::text" for column in table.key]
    missing = " OR ".join(f"{column} IS NULL" for column in columns)
    return (
        f"SELECT count(*), {', '.join(columns)} FROM {relation(table)} GROUP BY {', '.join(columns)} "  # noqa: S608
        f"HAVING count(*) > 1 OR {missing} LIMIT 1"
    )


def shift_for(low: int, high: int) -> int:
    """Width of key ranges as a power of two: at least 1,024 keys each, at most about 256 ranges."""
    return max(MIN_GROUP_BITS, ((high - low) // MAX_GROUPS).bit_length())


def rows(table: SourceTable, types: dict[str, PgType], conditions: list[str]) -> str:
    """SELECT of the table's columns in reader form, of the rows that meet all conditions."""
    columns = ", ".join(types[column.name].reader_expression(column.name) for column in table.columns)
    return f"SELECT {columns} FROM {relation(table)} WHERE {' AND '.join(conditions or ['true'])}"  # noqa: S608


def keys(table: SourceTable, types: dict[str, PgType], conditions: list[str]) -> str:
    """SELECT of the table's key columns in reader form."""
    columns = ", ".join(types[column].reader_expression(column) for column in table.key)
    return f"SELECT {columns} FROM {relation(table)} WHERE {' AND '.join(conditions or ['true'])}"  # noqa: S608


def in_groups(table: SourceTable, shift: int, groups: tuple[int, ...]) -> str:
    """Condition true for keys of the given ranges."""
    listed = ", ".join(str(int(group)) for group in groups)
    return f"({pg(str(table.integer_key))}::bigint >> {shift:d}) IN ({listed})"


def since_cursor(table: SourceTable, last: str) -> str:
    """Condition true from the last seen cursor value, less the overlap, on (inclusive)."""
    column = table.column(str(table.cursor))
    value = pg_literal(last)  # of the column's type; with the search path pinned, only PostgreSQL's own have a name
    if column.type.base in ("timestamp", "timestamptz"):
        value = f"({value}::{column.type} - interval '{table.cursor_overlap_seconds:d} seconds')"
    return f"{pg(column.name)} >= {value}"
