"""Members that facts need: the calendar's days, and placeholders for missing dimension rows.

Promises: after :func:`add_missing`, every reference of every fact version resolves, so one bad address never holds back
sales. A placeholder ("inferred member") is flagged and says "Unknown"; the real row replaces it when it comes.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from tidemark.base import quoting as names
from tidemark.model.definition import UNKNOWN_TEXT
from tidemark.star.calendar import add_years

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import Column as SparkColumn

    from tidemark.lake.tables import Lake
    from tidemark.model.definition import Column, Dimension

_REFERENCE, _DIMENSION = "_reference", "_dimension"


def add_missing(lake: Lake, new_versions: Mapping[str, DataFrame], batch: int) -> dict[str, int]:
    """Add what the new fact versions (fact -> rows) refer to and is not there; return rows added per table."""
    references = _references(lake, new_versions)
    if references is None:
        return {}
    known = _known(lake)
    missing = references.join(known, [_DIMENSION, _REFERENCE], "left_anti") if known is not None else references
    added: dict[str, int] = {}
    wanted: dict[str, list[str]] = {}
    for row in missing.groupBy(_DIMENSION).agg(F.collect_set(_REFERENCE).alias("keys")).collect():
        wanted[row[_DIMENSION]] = sorted(row["keys"])
    for name, keys in wanted.items():
        if name == lake.model.date_dimension:
            added[name] = add_years(lake, name, sorted({int(key) for key in keys}), batch)
        else:
            added[name] = _infer(lake, lake.model.dimensions[name], keys, batch)
    return added


def _references(lake: Lake, new_versions: Mapping[str, DataFrame]) -> DataFrame | None:
    """Distinct (dimension, key as text) that the new versions point at; for days, the year instead of the day."""
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
    return reduce(DataFrame.unionAll, parts).where(F.col(_REFERENCE).isNotNull()).distinct()


def _as_reference(lake: Lake, column: Column) -> SparkColumn:
    value = F.col(names.spark(column.name))
    if column.references == lake.model.date_dimension:
        return F.year(value).cast("string")
    return value.cast("string")


def _known(lake: Lake) -> DataFrame | None:
    parts = []
    for name, dimension in lake.model.dimensions.items():
        if len(dimension.key) == 1 and lake.exists(lake.star(name)):  # nothing refers to several columns
            key = F.col(names.spark(dimension.key[0])).cast("string")
            parts.append(lake.spark.table(lake.star(name)).select(F.lit(name).alias(_DIMENSION), key.alias(_REFERENCE)))
    dates = lake.model.date_dimension
    if dates is not None and lake.exists(lake.star(dates)):
        first_days = lake.spark.table(lake.star(dates)).where("month = 1 AND day = 1")
        parts.append(first_days.select(F.lit(dates).alias(_DIMENSION), F.col("year").cast("string").alias(_REFERENCE)))
    return reduce(DataFrame.unionAll, parts) if parts else None


def _infer(lake: Lake, dimension: Dimension, keys: list[str], batch: int) -> int:
    target = lake.ensure_star(dimension)
    rows = lake.spark.createDataFrame([(key,) for key in keys], "_key string")
    filled = rows.select(
        *(_placeholder(dimension, column).alias(column.name) for column in dimension.columns),
        F.lit(False).alias("is_deleted"),
        F.lit(True).alias("is_inferred"),
        F.lit(batch).cast("bigint").alias("recorded_batch"),
    )
    lake.append(filled.coalesce(1), target)
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
