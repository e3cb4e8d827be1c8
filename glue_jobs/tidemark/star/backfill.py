"""Columns that did not hold what their SQL says: filled in stored rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemark.lake.batches import AppliedBatch
from tidemark.lake.tables import Lake
from tidemark.model.definition import Dimension, Fact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame

    from tidemark.star.refresh import StarChange


def columns_to_backfill(table: Dimension | Fact, last: AppliedBatch) -> dict[str, int]:
    """Columns to backfill, and the last batch up to which their stored values are filled (0: none)."""
    held = last.columns.get(table.name)
    if held is None:
        return {}
    batches = {column.name: held.get(column.name, 0) for column in table.columns}
    return {name: batch for name, batch in batches.items() if batch != last.batch}


def filled_through(
    lake: Lake, changes: Mapping[str, StarChange], last: AppliedBatch, batch: int
) -> dict[str, dict[str, int]]:
    """Return the batch's ``columns``, also of tables that were taken out of the model."""
    tables = {table.name: table for table in lake.model.star_tables}
    away = [name for name in last.columns if name not in tables and lake.exists(lake.star(name))]
    result = {name: dict(last.columns.get(name, {})) for name in (*tables, *away)}
    for name, table in tables.items():
        before = result[name]
        if name in changes:
            known = {column.name for column in table.columns} - changes[name].unknown
        else:
            known = {column.name for column in table.columns if before.get(column.name) == last.batch}
        result[name] = before | dict.fromkeys(known, batch)
    return result


def new_versions(lake: Lake, changes: dict[str, StarChange], model_changed: bool) -> dict[str, DataFrame]:
    """New versions of every fact; all versions if the model may have made references of columns that were none."""
    if model_changed:
        there = [name for name in lake.model.facts if not lake.is_empty(lake.star(name))]
        return {name: lake.spark.table(lake.star(name)) for name in there}
    return {name: change.new_versions for name, change in changes.items() if change.new_versions is not None}
