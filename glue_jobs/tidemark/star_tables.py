"""Dimensions and facts: brought up to a manifest, each by at most one commit.

Owns the *scope*: only keys that the manifest touched are looked at; everything is, where another input of the SQL
changed, the driver was read in full, or the model is new. Promises: what is written depends only on the mirrors, the
manifest and the table itself, so a run that died half-way is simply done again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from tidemark import candidates as cand
from tidemark import names, versions
from tidemark.lake import settle
from tidemark.mirror import landed_rows
from tidemark.model import Dimension, Fact

if TYPE_CHECKING:
    from tidemark.lake import Lake
    from tidemark.landing import Manifest


@dataclass
class StarChange:
    """What happened to one star table.

    ``bad`` and ``scope_keys`` (None: all) are kept for the quarantine, ``opened`` (a fact's new versions) for inferred
    members and the calendar.
    """

    counts: dict[str, int] = field(default_factory=dict)
    bad: DataFrame | None = None
    scope_keys: DataFrame | None = None
    opened: DataFrame | None = None
    in_scope: bool = False


def is_touched(table: Dimension | Fact, manifest: Manifest, model_changed: bool) -> bool:
    """Whether any input of the table may have changed."""
    return model_changed or any(manifest.tables[name].changed for name in table.inputs)


def refresh(lake: Lake, table: Dimension | Fact, manifest: Manifest, model_changed: bool) -> StarChange:
    """Bring one star table up to the manifest."""
    target = lake.ensure_star(table)
    empty = lake.is_empty(target)
    whole = empty or model_changed or _needs_everything(table, manifest)
    scope = None if whole else _scope(lake, table, manifest, target)
    found = cand.evaluate(lake.spark, table, _inputs(lake, table, scope))
    cand.check_one_row_per_key(found, table)
    good_or_bad = cand.conform(found, table)
    if isinstance(table, Fact):
        change = _refresh_fact(lake, table, manifest, target, empty, scope, good_or_bad)
    else:
        change = _refresh_dimension(lake, table, manifest, target, empty, scope, good_or_bad)
    change.scope_keys, change.in_scope = scope, True
    return change


def _needs_everything(table: Dimension | Fact, manifest: Manifest) -> bool:
    return manifest.tables[table.driver].mode == "full" or any(manifest.tables[name].changed for name in table.joins)


def _scope(lake: Lake, table: Dimension | Fact, manifest: Manifest, target: str) -> DataFrame:
    """Keys (column ``_key``) that the manifest may have changed: landed ones, and those here but no longer there."""
    entry = manifest.tables[table.driver]
    key = F.col(names.spark(table.driver_key)).alias("_key")
    parts = []
    landed = landed_rows(lake, entry, manifest.landing_format)
    if landed is not None:
        parts.append(landed.select(key))
    if entry.keys is not None:
        here = lake.spark.table(target).where("is_current" if isinstance(table, Fact) else "NOT is_deleted")
        there = lake.spark.table(lake.mirror(table.driver)).select(key)
        parts.append(here.select(F.col(names.spark(table.key)).alias("_key")).join(there, "_key", "left_anti"))
    return settle(reduce(DataFrame.unionAll, parts).distinct())


def _inputs(lake: Lake, table: Dimension | Fact, scope: DataFrame | None) -> dict[str, DataFrame]:
    frames = {name: lake.spark.table(lake.mirror(name)).drop("_seq") for name in table.inputs}
    if scope is not None:
        driver = frames[table.driver].alias("d")
        frames[table.driver] = driver.join(
            F.broadcast(scope), F.col(f"d.{names.spark(table.driver_key)}") == F.col("_key"), "left_semi"
        )
    return frames


def _in_scope(frame: DataFrame, key: str, scope: DataFrame | None) -> DataFrame:
    if scope is None:
        return frame
    return frame.alias("t").join(F.broadcast(scope), F.col(f"t.{names.spark(key)}") == F.col("_key"), "left_semi")


def _refresh_fact(
    lake: Lake,
    fact: Fact,
    manifest: Manifest,
    target: str,
    empty: bool,
    scope: DataFrame | None,
    found: DataFrame,
) -> StarChange:
    columns = [column.name for column in fact.columns]
    latest = versions.latest_versions(_in_scope(lake.spark.table(target), fact.key, scope), fact.key)
    stamped = _with_updated_at(lake, fact, found)
    decided = settle(versions.decide(versions.present(stamped), latest, fact.key, columns))
    counts = _counts(decided, versions.DECISION)
    cut = F.lit(manifest.cut.time).cast("timestamp")
    rows = versions.to_write(decided, columns, cut, manifest.seq)
    if any(counts.get(kind) for kind in (versions.NEW, versions.CHANGED, versions.GONE)):
        rows = rows.select(*map(names.spark, versions.column_names(columns)))
        if empty:
            lake.append(rows, target)
        else:
            _merge(lake, rows, target, [fact.key, "version"], ["valid_to", "is_current", "is_deleted", "closed_seq"])
    return StarChange(counts, _bad(decided, counts), None, rows.where("is_current"))


def _with_updated_at(lake: Lake, fact: Fact, found: DataFrame) -> DataFrame:
    """Add the driver's own time of change to each candidate."""
    if fact.updated_at is None:
        return found.withColumn(versions.UPDATED, F.lit(None).cast("timestamp"))
    stamp = F.col(names.spark(fact.updated_at)).cast("timestamp").alias(versions.UPDATED)
    driver = lake.spark.table(lake.mirror(fact.driver)).select(F.col(names.spark(fact.driver_key)).alias("_dk"), stamp)
    return found.join(driver, F.col(names.spark(fact.key)) == F.col("_dk"), "left").drop("_dk")


def _refresh_dimension(
    lake: Lake,
    dimension: Dimension,
    manifest: Manifest,
    target: str,
    empty: bool,
    scope: DataFrame | None,
    found: DataFrame,
) -> StarChange:
    columns = [column.name for column in dimension.columns]
    before = _in_scope(lake.spark.table(target), dimension.key, scope)
    decided = settle(_decide_dimension(found, before, dimension.key, columns))
    counts = _counts(decided, versions.DECISION)
    if any(counts.get(kind) for kind in (versions.NEW, versions.CHANGED, versions.GONE)):
        gone = F.col(versions.DECISION) == versions.GONE
        rows = decided.where(F.col(versions.DECISION) != versions.BAD).select(
            *(F.when(gone, F.col(f"_old.{names.spark(name)}")).otherwise(F.col(names.spark(name))).alias(name) for name in columns),
            gone.alias("is_deleted"),
            F.when(gone, F.col("_old.is_inferred")).otherwise(F.lit(False)).alias("is_inferred"),
            F.lit(manifest.seq).cast("bigint").alias("recorded_seq"),
        )
        if empty:
            lake.append(rows, target)
        else:
            _merge(lake, rows, target, [dimension.key], [*columns, "is_deleted", "is_inferred", "recorded_seq"])
    return StarChange(counts, _bad(decided, counts))


def _decide_dimension(found: DataFrame, before: DataFrame, key: str, columns: list[str]) -> DataFrame:
    whole = F.struct(*(F.col(names.spark(name)) for name in before.columns)).alias("_old")
    old = before.select(F.col(names.spark(key)).alias("_key"), whole)
    joined = versions.present(found).alias("c").join(old, F.col(f"c.{names.spark(key)}") == F.col("_key"), "full_outer")
    now = F.struct(*(F.col(f"c.{names.spark(name)}") for name in columns))
    then = F.struct(*(F.col(f"_old.{names.spark(name)}").alias(name) for name in columns))
    stale = ~now.eqNullSafe(then) | F.col("_old.is_deleted") | F.col("_old.is_inferred")
    decision = (
        F.when(F.col("c._present").isNull(), F.when(~F.col("_old.is_deleted") & ~F.col("_old.is_inferred"), F.lit(versions.GONE)))
        .when(F.col(f"c.{cand.REASON}").isNotNull(), F.lit(versions.BAD))
        .when(F.col("_key").isNull(), F.lit(versions.NEW))
        .when(stale, F.lit(versions.CHANGED))
    )
    kept = [F.col(f"c.{names.spark(name)}").alias(name) for name in (*columns, cand.REASON, cand.RAW)]
    key_now = F.coalesce(F.col("_key"), F.col(f"c.{names.spark(key)}")).alias("_key")
    return joined.select(*kept, key_now, F.col("_old"), decision.alias(versions.DECISION)).where(
        F.col(versions.DECISION).isNotNull()
    )


def _counts(frame: DataFrame, column: str) -> dict[str, int]:
    return {row[0]: row[1] for row in frame.groupBy(column).count().collect()}


def _bad(decided: DataFrame, counts: dict[str, int]) -> DataFrame | None:
    """Key, reason and row of what goes to quarantine."""
    if not counts.get(versions.BAD):
        return None
    key = F.coalesce(F.col("_key").cast("string"), F.lit("NULL")).alias("key")
    bad = decided.where(F.col(versions.DECISION) == versions.BAD)
    return bad.select(key, F.col(cand.REASON).alias("reason"), F.col(cand.RAW).alias("row"))


def _merge(lake: Lake, rows: DataFrame, target: str, key: list[str], updated: list[str]) -> None:
    """Write rows as one commit: those whose key exists update the named columns, the others are inserted."""
    view = names.spark("_rows_" + target.rsplit(".", 1)[1].strip("`"))
    rows.createOrReplaceTempView(view)
    listed = [names.spark(name) for name in rows.columns]
    lake.spark.sql(
        f"MERGE INTO {target} t USING {view} s "  # noqa: S608 - quoted names only
        f"ON {' AND '.join(f't.{names.spark(name)} = s.{names.spark(name)}' for name in key)} "
        f"WHEN MATCHED THEN UPDATE SET {', '.join(f't.{names.spark(name)} = s.{names.spark(name)}' for name in updated)} "
        f"WHEN NOT MATCHED THEN INSERT ({', '.join(listed)}) VALUES ({', '.join(f's.{name}' for name in listed)})"
    )
