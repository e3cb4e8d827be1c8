"""Members that facts need: the calendar's days, and placeholders for missing dimension rows.

Promises: after :func:`add_missing`, every reference of every fact version resolves, so one bad address never holds back
sales. A placeholder ("inferred member") is flagged and says "Unknown"; the real row replaces it when it comes.
"""

from __future__ import annotations

import re
from functools import reduce
from typing import TYPE_CHECKING, Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from tidemark.base import quoting as names
from tidemark.base.concurrency import by_item
from tidemark.base.gregorian import year_and_month
from tidemark.lake.changeset import FEW_KEYS, few_of
from tidemark.model.added_columns import DATE_COLUMNS
from tidemark.model.definition import UNKNOWN_TEXT
from tidemark.star.calendar import add_years

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from pyspark.sql import Column as SparkColumn

    from tidemark.lake.tables import Lake
    from tidemark.model.definition import Column, Dimension

Versions: TypeAlias = "pa.Table | DataFrame"
_Pair = tuple[str, str]  # dimension, and key as text

_REFERENCE, _DIMENSION = "_reference", "_dimension"
_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]*")
_INTEGER_BITS: Final = {"int": 31, "bigint": 63}


def add_missing(lake: Lake, new_versions: Mapping[str, Versions], batch: int) -> dict[str, int]:
    """Add what the new fact versions (fact -> rows) refer to and is not there; return rows added per table."""
    referring = [name for name in new_versions if lake.model.facts[name].references]
    found: dict[str, set[_Pair] | None] = by_item(referring, lambda name: _few(lake, name, new_versions[name]))
    asked = _by_dimension(pair for pairs in found.values() if pairs is not None for pair in pairs)
    known = by_item(asked, lambda name: _known(lake, name, asked[name]))
    missing = {name: asked[name] - there for name, there in known.items()}
    many = {name: new_versions[name] for name, pairs in found.items() if pairs is None}
    for name, keys in _missing_of_many(lake, many):
        missing.setdefault(name, set()).update(keys)
    wanted = [name for name, keys in missing.items() if keys]
    return by_item(wanted, lambda name: _add(lake, name, missing[name], batch))


def _few(lake: Lake, fact: str, rows: Versions) -> set[_Pair] | None:
    """Return what a fact's versions refer to; None if these are many."""
    columns = lake.model.facts[fact].references
    if isinstance(rows, pa.Table) and all(_is_plain(lake, column) for column in columns):
        return {(str(column.references), text) for column in columns for text in _texts(rows.column(column.name))}
    few = few_of(_references(lake, fact, rows))
    return None if few is None else set(zip(*(column.to_pylist() for column in few.columns), strict=True))


def _is_plain(lake: Lake, column: Column) -> bool:
    """Whether Python writes a column's values as Spark does: integers, texts, and years."""
    return column.references == lake.model.date_dimension or column.type.spark in ("string", *_INTEGER_BITS)


def _texts(column: pa.ChunkedArray) -> Iterator[str]:
    """Return the values of a plain column as text; for days, the year instead of the day."""
    column = column.drop_null()
    if pa.types.is_date32(column.type):
        return (str(year_and_month(day)[0]) for day in pc.unique(column.cast(pa.int32())).to_pylist())
    return map(str, pc.unique(column).to_pylist())


def _by_dimension(references: Iterable[_Pair]) -> dict[str, set[str]]:
    result: dict[str, set[str]] = {}
    for dimension, key in references:
        result.setdefault(dimension, set()).add(key)
    return result


def _known(lake: Lake, name: str, keys: Collection[str]) -> set[str]:
    """Return those of some keys of a dimension that are there; few are looked up, without a Spark job where it can."""
    target, column = lake.star(name), _key_of(lake, name)
    if not lake.exists(target):
        return set()
    values = _values(column, keys)
    if values == []:
        return set()
    found = lake.look_up(target, column.name, values, to_write=False) if values is not None else None
    if found is not None:
        return set(_texts(found.column(column.name))).intersection(keys)
    members = _members(lake, name)
    if len(keys) <= FEW_KEYS:
        own = names.spark(column.name)
        # Iceberg skips files by integers and texts.
        named = names.spark_in(f"CAST({own} AS string)", keys) if values is None else names.spark_in(own, values)
        members = members.where(named)
    else:
        asked = lake.spark.createDataFrame(pa.table({_REFERENCE: pa.array(keys, pa.string())}))
        members = members.join(F.broadcast(asked), _REFERENCE, "left_semi")
    return {row[0] for row in members.select(_REFERENCE).distinct().collect()}


def _values(column: Column, keys: Collection[str]) -> list[int | str] | None:
    """Return those of some keys that a column can hold, as it does; None if they are no plain integers or texts."""
    if column.type.spark == "string":
        return list(keys)
    bits = _INTEGER_BITS.get(column.type.spark)
    if bits is None or not all(_INTEGER.fullmatch(key) for key in keys):
        return None
    return [int(key) for key in keys if -(2**bits) <= int(key) < 2**bits]


def _missing_of_many(lake: Lake, new_versions: Mapping[str, Versions]) -> Iterator[tuple[str, list[str]]]:
    """Yield the keys per dimension that very many versions refer to, and that are not there: by joins."""
    if not new_versions:
        return
    parts = (_references(lake, name, rows) for name, rows in new_versions.items())
    references = reduce(DataFrame.unionAll, parts).distinct()
    asked = {str(column.references) for name in new_versions for column in lake.model.facts[name].references}
    there = [name for name in sorted(asked) if lake.exists(lake.star(name))]
    known = [_members(lake, name).select(F.lit(name).alias(_DIMENSION), _REFERENCE) for name in there]
    if known:
        references = references.join(reduce(DataFrame.unionAll, known), [_DIMENSION, _REFERENCE], "left_anti")
    for row in references.groupBy(_DIMENSION).agg(F.collect_set(_REFERENCE).alias("keys")).collect():
        yield row[_DIMENSION], row["keys"]


def _references(lake: Lake, fact: str, rows: Versions) -> DataFrame:
    """Return (dimension, key as text) that versions point at; for days, the year instead of the day."""
    if isinstance(rows, pa.Table):
        rows = lake.spark.createDataFrame(rows)
    pairs = [
        F.struct(F.lit(column.references).alias(_DIMENSION), _as_reference(lake, column).alias(_REFERENCE))
        for column in lake.model.facts[fact].references
    ]
    return rows.select(F.explode(F.array(*pairs)).alias("r")).select("r.*").where(F.col(_REFERENCE).isNotNull())


def _as_reference(lake: Lake, column: Column) -> SparkColumn:
    value = F.col(names.spark(column.name))
    if column.references == lake.model.date_dimension:
        return F.year(value).cast("string")
    return value.cast("string")


def _key_of(lake: Lake, name: str) -> Column:
    """Return the column by which a dimension is referred to, which is one; of the calendar, the year."""
    if name == lake.model.date_dimension:
        return next(column for column in DATE_COLUMNS if column.name == "year")
    dimension = lake.model.dimensions[name]
    return dimension.column(dimension.key[0])


def _members(lake: Lake, name: str) -> DataFrame:
    """Return a dimension's rows, and their key as text."""
    rows = lake.spark.table(lake.star(name))
    if name == lake.model.date_dimension:
        rows = rows.where("month = 1 AND day = 1")
    return rows.withColumn(_REFERENCE, F.col(names.spark(_key_of(lake, name).name)).cast("string"))


def _add(lake: Lake, name: str, keys: Collection[str], batch: int) -> int:
    """Add members to a dimension."""
    if name == lake.model.date_dimension:
        return add_years(lake, name, sorted(map(int, keys)), batch)
    return _infer(lake, lake.model.dimensions[name], sorted(keys), batch)


def _infer(lake: Lake, dimension: Dimension, keys: list[str], batch: int) -> int:
    target = lake.ensure_star(dimension)
    rows = lake.spark.createDataFrame(pa.table({"_key": pa.array(keys, pa.string())}))  # of a list: by Python workers
    filled = rows.select(
        *(_placeholder(dimension, column).alias(column.name) for column in dimension.columns),
        F.lit(False).alias("is_deleted"),
        F.lit(True).alias("is_inferred"),
        F.lit(batch).cast("bigint").alias("recorded_batch"),
    )
    filled = filled.coalesce(1)
    lake.append(filled, target, few=filled.toArrow() if len(keys) <= FEW_KEYS else None)
    return len(keys)


def _placeholder(dimension: Dimension, column: Column) -> SparkColumn:
    kind = column.type.spark
    if column.name in dimension.key:
        return F.col("_key").cast(kind)
    if column.nullable:
        return F.lit(None).cast(kind)
    if kind == "string":
        longest = column.type.args[0] if column.type.args else len(UNKNOWN_TEXT)
        return F.lit("00:00:00" if column.type.base == "time" else UNKNOWN_TEXT[:longest])
    if kind in ("date", "timestamp", "timestamp_ntz"):
        return F.lit("1970-01-01").cast(kind)
    return F.lit(0).cast(kind) if kind != "boolean" else F.lit(False)
