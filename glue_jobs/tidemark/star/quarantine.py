"""Quarantine: rows that break the star's contract, kept with the reason until the source fixes them.

Promises: a bad row is listed once per distinct state, with table, key, batch, reason and the row as JSON; an entry is
resolved by the batch that finds its row fixed, changed or gone; nothing is ever removed from it. Rows whose key is NULL
cannot be told apart: those in the same state are one entry, which says how many they are.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from tidemark.base import quoting as names
from tidemark.lake import merge
from tidemark.lake.changeset import checkpoint, count_few
from tidemark.lake.keys import key_text
from tidemark.model.added_columns import QUARANTINE, present_rows
from tidemark.star import contract

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tidemark.lake.tables import Lake
    from tidemark.star.refresh import StarChange

_KEYLESS = "keyless_rows"
_WHAT = ["table_name", "key", "reason", "row"]
_STATE = [*_WHAT, _KEYLESS]
# Entries of a lake that is older than the column do not say: what looks like a key with a NULL is one.
_A_NULL = names.spark_literal(r"[\[,]null[\],]")
_OF_OLD = f"coalesce({_KEYLESS}, CASE WHEN key = 'NULL' OR key RLIKE {_A_NULL} THEN 1L ELSE 0L END)"


def record(lake: Lake, changes: Mapping[str, StarChange], batch: int, was_open: int) -> dict[str, int]:
    """Enter new bad rows, resolve fixed ones, as one commit; return the open entries per star table."""
    bad = _bad(changes)
    if bad is None and not was_open:
        return {}
    target = lake.ensure_quarantine()
    entries = _open_entries(lake)
    if bad is None:
        bad = entries.select(*_STATE).limit(0)
    bad = checkpoint(bad)
    number = F.lit(batch).cast("bigint")
    fresh = bad.join(entries, _STATE, "left_anti").select(
        *_STATE, number.alias("batch"), F.lit(None).cast("bigint").alias("resolved_batch")
    )
    fixed = _looked_at(lake, entries, changes).join(bad, _STATE, "left_anti").withColumn("resolved_batch", number)
    rows = checkpoint(fresh.unionByName(fixed.select(*fresh.columns)))
    number_of_rows, few = count_few(rows)
    if number_of_rows:
        merge.merge_into(lake, target, rows, [*_WHAT, "batch"], ["resolved_batch"], few=rows.toArrow() if few else None)
    still_open = lake.spark.table(target).where("resolved_batch IS NULL").groupBy("table_name").count().collect()
    return {row["table_name"]: row["count"] for row in still_open}


def quarantined_rows(lake: Lake, open_entries: Mapping[str, int]) -> dict[str, int]:
    """Per star table with open entries, rows of the source that only these hold: they have no current row."""
    result = {}
    for table in lake.model.star_tables:
        if open_entries.get(table.name):
            entries = _open_entries(lake).where(F.col("table_name") == table.name)
            present = lake.spark.table(lake.star(table.name)).where(present_rows(table)).select(key_text(table.key))
            of_keys = entries.where(F.col(_KEYLESS) == 0).select("key").distinct().join(present, "key", "left_anti")
            rows = of_keys.select(F.lit(1).cast("bigint").alias(_KEYLESS)).unionAll(entries.select(_KEYLESS))
            result[table.name] = rows.agg(F.coalesce(F.sum(_KEYLESS), F.lit(0))).collect()[0][0]
    return result


def tables_with_keyless_rows(lake: Lake, was_open: int) -> frozenset[str]:
    """Return the star tables that have open entries of rows without a key: nobody can say which of these changed."""
    if not was_open:
        return frozenset()
    lake.ensure_quarantine()
    found = _open_entries(lake).where(F.col(_KEYLESS) > 0).select("table_name").distinct().collect()
    return frozenset(row[0] for row in found)


def _open_entries(lake: Lake) -> DataFrame:
    entries = lake.spark.table(lake.star(QUARANTINE)).where("resolved_batch IS NULL")
    return entries.withColumn(_KEYLESS, F.expr(_OF_OLD))


def _bad(changes: Mapping[str, StarChange]) -> DataFrame | None:
    parts = [
        change.rejected.select(F.lit(name).alias("table_name"), "key", "reason", "row", contract.KEYLESS)
        for name, change in changes.items()
        if change.rejected is not None
    ]
    if not parts:
        return None
    rows = F.sum(F.col(contract.KEYLESS).cast("bigint")).alias(_KEYLESS)
    return reduce(DataFrame.unionAll, parts).groupBy(*_WHAT).agg(rows)


def _looked_at(lake: Lake, entries: DataFrame, changes: Mapping[str, StarChange]) -> DataFrame:
    """Open entries whose row this batch evaluated again, or whose source row is gone."""
    changes = {name: change for name, change in changes.items() if change.done.status != "skipped"}
    whole = [name for name, change in changes.items() if change.evaluated_keys is None]
    parts = [entries.where(F.col("table_name").isin(whole) if whole else F.lit(False))]
    star = {table.name: table for table in lake.model.star_tables}
    for name, change in changes.items():
        if change.evaluated_keys is not None:
            mine = entries.where(F.col("table_name") == name)
            driver = lake.spark.table(lake.mirror(star[name].driver))
            there = driver.select(contract.key_text(driver, star[name], star[name].from_key))
            parts += [mine.join(change.evaluated_keys, "key", "left_semi"), mine.join(there, "key", "left_anti")]
    return reduce(DataFrame.unionByName, parts).distinct()
