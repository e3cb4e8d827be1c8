"""Decide and write what becomes of a fact's versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemark.base import quoting as names
from tidemark.lake import merge
from tidemark.model.definition import Dimension, Fact
from tidemark.star import versions
from tidemark.star.deletes import lost_rows
from tidemark.star.scope import Scope, rows_in_scope

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pyarrow as pa
    from pyspark.sql import DataFrame

    from tidemark.lake.changeset import ChangeCounts
    from tidemark.lake.tables import Lake
    from tidemark.landing.manifest import Manifest


def decide(
    lake: Lake,
    table: Fact,
    manifest: Manifest,
    rows: DataFrame,
    scope: Scope,
    backfill: Mapping[str, int],
) -> DataFrame:
    """Decide for every key in scope: a new version, an end, a rejection, or nothing (see :mod:`.versions`)."""
    columns = [column.name for column in table.columns]
    history = rows_in_scope(lake, table, rows, scope)
    latest = versions.latest_versions(history, table.key)
    decided = versions.decide(rows, latest if scope.everything else lake.beside(latest), table.key, columns, backfill)
    if scope.may_have_deletes:
        lost = lost_rows(lake, table, manifest, rows, history, scope)
        decided = decided.unionByName(versions.gone(versions.latest_versions(lost, table.key), decided))
    return decided


def write(
    lake: Lake, table: Fact, manifest: Manifest, decided: DataFrame, seen: ChangeCounts, backfill: Collection[str]
) -> DataFrame | pa.Table:
    """Write what was decided as one commit; return the new versions, in hand if they are few."""
    columns = [column.name for column in table.columns]
    rows = versions.to_write(
        decided, columns, f"CAST({names.spark_literal(manifest.cut.time)} AS timestamp)", manifest.batch
    )
    updated = ["valid_to", "is_current", "is_deleted", "closed_batch", *backfill]
    few = store(lake, table, rows, [*table.key, "version"], updated, seen)
    return rows.where("is_current") if few is None else few.filter(few.column("is_current"))


def store(
    lake: Lake, table: Fact | Dimension, rows: DataFrame, key: Sequence[str], updated: Sequence[str], seen: ChangeCounts
) -> pa.Table | None:
    """Write rows as one commit; rows that are all new need no merge. Return them, if they are few."""
    target, rows = lake.star(table.name), seen.packed(rows)
    few = seen.in_hand(rows)
    if not lake.exists(target):
        lake.ensure_star(table, few)
        if few is None:
            lake.append(rows, target)
    elif set(seen.counts) & {versions.CHANGED, versions.DELETED, versions.BACKFILLED}:
        merge.merge_into(lake, target, rows, key, updated, few=few, prune=seen.keys)
    else:
        lake.append(rows, target, few=few)
    return few
