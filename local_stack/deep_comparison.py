"""Contents, not counts: every row of source, lake and warehouse by its key, and where two of them differ.

Reads whole tables into memory, so it is for the laptop and for the doubtful hour. Source and lake are compared as the
source is *now*: rows that changed since the last cut show as differences until the next tick.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from psycopg import sql as pgsql
from tidemark.model import Fact
from tidemark.source import catalog
from tidemark.source import sql as source_sql
from tidemark.warehouse.ddl import DIMENSION_EXTRA_NAMES, FACT_EXTRA_NAMES

if TYPE_CHECKING:
    import psycopg
    from tidemark.lake_reader import LakeReader, Run
    from tidemark.model import Dimension, Model
    from tidemark.types import PgType

    from local_stack.stack import Stack

Rows = Mapping[tuple[Any, ...], tuple[Any, ...]]
_NONE: Final = "(NULL)"


@dataclass(frozen=True)
class Difference:
    """One row that two places do not agree about; ``key`` and ``what`` are text for people."""

    table: str
    key: str
    what: str


def compare_contents(stack: Stack) -> Iterator[Difference]:
    """All differences: source with mirrors, then star tables of the lake with the warehouse's."""
    lake, model = stack.lake, stack.model
    run = lake.last_run(stack.landing.published())
    if run is None:
        return
    with stack.source.connect() as source:
        yield from compare_mirrors(source, model, lake)
    with stack.warehouse.connect() as warehouse:
        yield from compare_stars(warehouse, model, lake, run)


def compare_mirrors(source: psycopg.Connection, model: Model, lake: LakeReader) -> Iterator[Difference]:
    """Differences between the source's tables now and the lake's mirrors, in one snapshot of the source."""
    with source.transaction():
        source.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        source.execute(source_sql.TEXT_FORMS.encode())
        found = catalog.describe(source, model)
        for name, table in model.tables.items():
            names, mirrored = lake.mirror_contents(name)
            columns = [column.name for column in table.columns if column.name in names]
            types = found[name].types
            query = source_sql.rows(table, types, ["true"])
            listed = [column.name for column in table.columns]
            there = _by_key(table.key, columns, listed, source.execute(query.encode()), types)
            here = _by_key(table.key, columns, names, _plain_rows(mirrored), types)
            yield from _differences(name, columns, there, here, ("source", "lake"))


def compare_stars(warehouse: psycopg.Connection, model: Model, lake: LakeReader, run: Run) -> Iterator[Difference]:
    """Differences between the lake's star tables at a run and the warehouse's; identity keys are left out."""
    warehouse.execute("SET timezone = 'UTC'")
    for star in model.star_tables:
        names, key = _star_columns(star)
        query = pgsql.SQL("SELECT {} FROM {}").format(
            pgsql.SQL(", ").join(map(pgsql.Identifier, names)), pgsql.Identifier(model.name, star.name)
        )
        rows = lake.delta(star.name, run, 0)
        there = names if rows is None else [name for name in names if name in rows.column_names]
        lake_rows = [] if rows is None else _plain_rows(rows.select(there))
        here = _by_key(key, names, there, lake_rows, {})
        loaded = _by_key(key, names, names, warehouse.execute(query), {})
        yield from _differences(star.name, names, here, loaded, ("lake", "warehouse"))


def _star_columns(star: Dimension | Fact) -> tuple[list[str], tuple[str, ...]]:
    columns = [column.name for column in star.columns]
    if isinstance(star, Fact):
        return [*columns, *FACT_EXTRA_NAMES], (star.key, "version")
    return [*columns, *DIMENSION_EXTRA_NAMES], (star.key,)


def _plain_rows(rows: pa.Table) -> Iterator[tuple[Any, ...]]:
    """Rows in the forms that the source's readers use: days, microseconds, texts."""
    columns = []
    for column in rows.itercolumns():
        if pa.types.is_date(column.type):
            columns.append(column.cast(pa.int32()).to_pylist())
        elif pa.types.is_timestamp(column.type):
            columns.append(column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64()).to_pylist())
        else:
            columns.append(column.to_pylist())
    return zip(*columns, strict=True)


def _by_key(
    key: Iterable[str],
    columns: list[str],
    names: list[str],
    rows: Iterable[tuple[Any, ...]],
    types: Mapping[str, PgType],
) -> Rows:
    """Rows by key, both in the order asked for; a column that is not there is NULL."""
    at = {name: index for index, name in enumerate(names)}
    narrow = {name for name, kind in types.items() if kind.base == "real"}

    def value(row: tuple[Any, ...], name: str) -> Any:
        return _plain(row[at[name]], name in narrow) if name in at else None

    return {tuple(value(row, name) for name in key): tuple(value(row, name) for name in columns) for row in rows}


def _plain(value: Any, narrow: bool) -> Any:
    """One form for a value that two drivers give differently; NaN equals itself."""
    if isinstance(value, float):
        return repr(ctypes.c_float(value).value if narrow else value)
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        since = aware - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    if isinstance(value, time):
        return value.isoformat("microseconds")
    if hasattr(value, "toordinal"):
        return value.toordinal() - 719_163  # days since 1970
    return bytes(value) if isinstance(value, memoryview) else value


def _differences(
    table: str, columns: list[str], left: Rows, right: Rows, places: tuple[str, str]
) -> Iterator[Difference]:
    for key in sorted(left.keys() | right.keys(), key=lambda parts: tuple(map(str, parts))):
        shown = ", ".join(map(str, key))
        if key not in right:
            yield Difference(table, shown, f"only in the {places[0]}")
        elif key not in left:
            yield Difference(table, shown, f"only in the {places[1]}")
        elif left[key] != right[key]:
            pairs = zip(columns, left[key], right[key], strict=True)
            parts = [f"{name}: {places[0]} {_text(a)}, {places[1]} {_text(b)}" for name, a, b in pairs if a != b]
            yield Difference(table, shown, "; ".join(parts))


def _text(value: Any) -> str:
    return _NONE if value is None else str(value)[:60]
