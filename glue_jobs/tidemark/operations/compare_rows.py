"""Contents, not counts: every row of source, lake and warehouse by its key, and where two of them differ.

Reads whole tables into memory, so it is for the laptop and for the doubtful hour. Source and lake are compared as the
source is *now*: rows that changed since the last cut show as differences until the next tick.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from tidemark.model.added_columns import warehouse_columns
from tidemark.model.definition import Fact
from tidemark.model.types import PgType
from tidemark.source.contents import open_source

if TYPE_CHECKING:
    from tidemark.lake.batches import AppliedBatch
    from tidemark.lake.reader import LakeReader
    from tidemark.model.definition import Dimension, Model
    from tidemark.operations.pipeline import Pipeline
    from tidemark.source.contents import SourceReader
    from tidemark.warehouse.protocol import WarehouseReader

Rows = Mapping[tuple[Any, ...], tuple[Any, ...]]
_NONE: Final = "(NULL)"
_AS_IT_IS: Final = PgType("")


@dataclass(frozen=True)
class Difference:
    """One row that two places do not agree about; ``key`` and ``what`` are text for people."""

    table: str
    key: str
    what: str


def compare_contents(pipeline: Pipeline) -> Iterator[Difference]:
    """All differences: source with mirrors, then star tables of the lake with the warehouse's."""
    lake, model = pipeline.lake, pipeline.model
    applied = lake.last_batch(pipeline.landing.published())
    if applied is None:
        return
    with open_source(pipeline.source) as source:
        yield from compare_mirrors(source, model, lake)
    with pipeline.warehouse.reader() as warehouse:
        yield from compare_stars(warehouse, model, lake, applied)


def compare_mirrors(source: SourceReader, model: Model, lake: LakeReader) -> Iterator[Difference]:
    """Differences between the source's tables now and the lake's mirrors, in one snapshot of the source."""
    for found in source.contents(model):
        table = found.table
        names, mirrored = lake.mirror_contents(table.name)
        columns = [column.name for column in table.columns if column.name in names]
        listed = [column.name for column in table.columns]
        there = _by_key(table.key, columns, listed, found.rows, found.types)
        here = _by_key(table.key, columns, names, _plain_rows(mirrored), found.types)
        yield from _differences(table.name, columns, there, here, ("source", "lake"))


def compare_stars(
    warehouse: WarehouseReader, model: Model, lake: LakeReader, applied: AppliedBatch
) -> Iterator[Difference]:
    """Differences between all star tables of the lake at a batch and the warehouse's."""
    for star in model.star_tables:
        yield from compare_star(warehouse, model, lake, applied, star)


def compare_star(
    warehouse: WarehouseReader, model: Model, lake: LakeReader, applied: AppliedBatch, star: Dimension | Fact
) -> Iterator[Difference]:
    """Differences between one star table of the lake at a batch and the warehouse's; identity keys are left out."""
    kinds = {column.name: column.type for column in warehouse_columns(model, star.name)}
    key = (*star.key, "version") if isinstance(star, Fact) else star.key
    names = list(kinds)
    rows = lake.delta(star.name, applied, 0)
    there = names if rows is None else [name for name in names if name in rows.column_names]
    lake_rows = [] if rows is None else _plain_rows(rows.select(there))
    here = _by_key(key, names, there, lake_rows, kinds)
    loaded = _by_key(key, names, names, warehouse.rows(star.name), kinds)
    yield from _differences(star.name, names, here, loaded, ("lake", "warehouse"))


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

    def value(row: tuple[Any, ...], name: str) -> Any:
        return _plain(row[at[name]], types.get(name, _AS_IT_IS).base) if name in at else None

    return {tuple(value(row, name) for name in key): tuple(value(row, name) for name in columns) for row in rows}


def _plain(value: Any, base: str) -> Any:
    """One form for a value that two drivers give differently; NaN equals itself."""
    if isinstance(value, float):
        return repr(ctypes.c_float(value).value if base == "real" else value)
    if base == "time" and isinstance(value, str):
        seconds, _, fraction = value.partition(".")
        return f"{seconds}.{fraction:0<6}"
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
