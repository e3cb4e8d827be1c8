"""Undo what an attempt that died left."""

from __future__ import annotations

import logging

from tidemark.base.concurrency import concurrently
from tidemark.lake.batches import AppliedBatch
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
        return lake.roll_back(lake.star(name), last.snapshots[name])

    for name in [name for name, undone in zip(names, concurrently(names, undo), strict=True) if undone]:
        _log.info("%-22s set back to batch %d: a later one died", name, last.batch)


def _partition(lake: Lake, name: str) -> list[str]:
    fact = lake.model.facts.get(name)
    return [fact.partition_by] if fact and fact.partition_by else []
