"""Undo what an attempt that died left."""

from __future__ import annotations

import functools
import logging
from typing import Any

from tidemark.base.concurrency import concurrently
from tidemark.base.errors import LakeError
from tidemark.base.quoting import spark_literal
from tidemark.base.spark import CATALOG
from tidemark.lake.batches import AppliedBatch
from tidemark.lake.snapshots import Step, standing_for
from tidemark.lake.tables import Lake
from tidemark.model.added_columns import DIMENSION_COLUMNS, FACT_COLUMNS, QUARANTINE

_log = logging.getLogger("tidemark.transform")


def roll_back(lake: Lake, last: AppliedBatch) -> None:
    """Undo what an attempt that died left beyond the last batch: rows, tables that no batch has named, columns."""
    star = {table.name for table in lake.model.star_tables}
    unnamed = {*lake.model.star_names, QUARANTINE} - set(last.snapshots)
    names = sorted(unnamed | set(last.snapshots))

    def undo(name: str) -> bool:
        if name in unnamed:
            return lake.drop(lake.star(name))
        held = last.columns.get(name)
        if name in star and held is not None:
            own = {column.name for column in (*FACT_COLUMNS, *DIMENSION_COLUMNS)}
            lake.drop_columns_but(lake.star(name), {*held, *own, *_partition(lake, name)})
        return _set_back(lake, lake.star(name), last.snapshots[name])

    for name in [name for name, undone in zip(names, concurrently(names, undo), strict=True) if undone]:
        _log.info("%-22s set back to batch %d: a later one died", name, last.batch)


def _set_back(lake: Lake, name: str, snapshot: int | None) -> bool:
    """Undo what was written to a table since one of its snapshots (None: it had no data); return whether it was.

    A compaction is left: it changes no rows, and stands for the snapshot that it was made of.

    Raises
    ------
    LakeError
        If the table knows neither that snapshot nor one that stands for it.
    """
    if not lake.exists(name):
        return False
    table = lake.iceberg(name).java
    table.refresh()
    found = table.currentSnapshot()
    current = None if found is None else int(found.snapshotId())
    if current == snapshot:
        return False
    if snapshot is None:
        return lake.drop(name)
    target = standing_for(snapshot, current, functools.partial(_step_of, table))
    if target is None and table.snapshot(snapshot) is not None:
        target = snapshot
    if target is None:
        raise LakeError(
            f"lake table {name} has no snapshot {snapshot}, with which the last batch left it",
            expected="a table that only Tidemark writes, whose snapshots are kept",
            do="tidemark rebuild makes lake and warehouse again from the landing area",
        )
    if target == current:
        return False
    quoted = spark_literal(name)
    lake.spark.sql(f"CALL {CATALOG}.system.set_current_snapshot(table => {quoted}, snapshot_id => {target:d})")
    return True


def _step_of(table: Any, snapshot: int) -> Step | None:
    found = table.snapshot(snapshot)
    if found is None:
        return None
    parent = found.parentId()
    return Step(None if parent is None else int(parent), str(found.operation()))


def _partition(lake: Lake, name: str) -> list[str]:
    fact = lake.model.facts.get(name)
    return [fact.partition_by] if fact and fact.partition_by else []
