"""Members that facts need: the calendar's days, and placeholders for missing dimension rows.

Promises: after :func:`add_missing`, every reference of every fact version resolves, so one bad address never holds back
sales. A placeholder ("inferred member") is flagged and says "Unknown"; the real row replaces it when it comes.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from tidemark.base import quoting as names
from tidemark.lake.changeset import FEW_KEYS, few_of
from tidemark.model.definition import UNKNOWN_TEXT
from tidemark.star.calendar import add_years

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from pyspark.sql import Column as SparkColumn

    from tidemark.lake.tables import Lake
    from tidemark.model.definition import Column, Dimension

_REFERENCE, _DIMENSION = "_reference", "_dimension"


def add_missing(lake: Lake, new_versions: Mapping[str, DataFrame], batch: int) -> dict[str, int]:
    """Add what the new fact versions (fact -> rows) refer to and is not there; return rows added per table."""
    references = _references(lake, new_versions)
    if references is None:
        return {}
    added: dict[str, int] = {}
    wanted = _missing(lake, references)
    for name, keys in wanted.items():
        if name == lake.model.date_dimension:
            added[name] = add_years(lake, name, sorted({int(key) for key in keys}), batch)
        else:
            added[name] = _infer(lake, lake.model.dimensions[name], keys, batch)
    return added


def _missing(lake: Lake, references: DataFrame) -> dict[str, list[str]]:
    """Return the keys per dimension that are referred to and not there; few are looked up, many are joined."""
    few = few_of(references)
    pairs = None if few is None else set(zip(*(column.to_pylist() for column in few.columns), strict=True))
    if pairs is not None and len(pairs) <= FEW_KEYS:
        known = _known(lake, _by_dimension(pairs))
        there = {(row[_DIMENSION], row[_REFERENCE]) for row in known.collect()} if known is not None else set()
        return {name: sorted(keys) for name, keys in _by_dimension(pairs - there).items()}
    known = _known(lake)
    distinct = references.distinct()
    missing = distinct.join(known, [_DIMENSION, _REFERENCE], "left_anti") if known is not None else distinct
    found = missing.groupBy(_DIMENSION).agg(F.collect_set(_REFERENCE).alias("keys")).collect()
    return {row[_DIMENSION]: sorted(row["keys"]) for row in found}


def _by_dimension(references: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    result: dict[str, set[str]] = {}
    for dimension, key in references:
        result.setdefault(dimension, set()).add(key)
    return result


def _references(lake: Lake, new_versions: Mapping[str, DataFrame]) -> DataFrame | None:
    """Return (dimension, key as text) that the new versions point at; for days, the year instead of the day."""
    parts = []
    for fact, rows in new_versions.items():
        pairs = [
            F.struct(F.lit(column.references).alias(_DIMENSION), _as_reference(lake, column).alias(_REFERENCE))
            for column in lake.model.facts[fact].references
        ]
        if pairs:
            parts.append(rows.select(F.explode(F.array(*pairs)).alias("r")).select("r.*"))
    if not parts:
        return None
    return reduce(DataFrame.unionAll, parts).where(F.col(_REFERENCE).isNotNull())


def _as_reference(lake: Lake, column: Column) -> SparkColumn:
    value = F.col(names.spark(column.name))
    if column.references == lake.model.date_dimension:
        return F.year(value).cast("string")
    return value.cast("string")


def _known(lake: Lake, asked: Mapping[str, Collection[str]] | None = None) -> DataFrame | None:
    """Return the members that there are, as (dimension, key as text); with ``asked``, those of them."""
    parts = []
    for name, dimension in lake.model.dimensions.items():
        # Nothing refers to several columns.
        if (asked is None or name in asked) and len(dimension.key) == 1 and lake.exists(lake.star(name)):
            key, rows = dimension.column(dimension.key[0]), lake.spark.table(lake.star(name))
            rows = rows if asked is None else rows.where(_is_one_of(key, asked[name]))
            as_text = F.col(names.spark(key.name)).cast("string").alias(_REFERENCE)
            parts.append(rows.select(F.lit(name).alias(_DIMENSION), as_text))
    dates = lake.model.date_dimension
    if dates is not None and (asked is None or dates in asked) and lake.exists(lake.star(dates)):
        first_days = lake.spark.table(lake.star(dates)).where("month = 1 AND day = 1")
        parts.append(first_days.select(F.lit(dates).alias(_DIMENSION), F.col("year").cast("string").alias(_REFERENCE)))
    return reduce(DataFrame.unionAll, parts) if parts else None


def _is_one_of(key: Column, texts: Collection[str]) -> str:
    """Return SQL for whether a key is one of some, given as text; Iceberg skips files by integers and texts."""
    own = names.spark(key.name)
    if key.type.is_integer and all(text.lstrip("-").isdecimal() for text in texts):
        return names.spark_in(own, [int(text) for text in texts])
    return names.spark_in(f"CAST({own} AS string)", texts)


def _infer(lake: Lake, dimension: Dimension, keys: list[str], batch: int) -> int:
    target = lake.ensure_star(dimension)
    rows = lake.spark.createDataFrame(pa.table({"_key": pa.array(keys, pa.string())}))  # of a list: by Python workers
    filled = rows.select(
        *(_placeholder(dimension, column).alias(column.name) for column in dimension.columns),
        F.lit(False).alias("is_deleted"),
        F.lit(True).alias("is_inferred"),
        F.lit(batch).cast("bigint").alias("recorded_batch"),
    )
    lake.append(filled.coalesce(1), target, few=len(keys) <= FEW_KEYS)
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
