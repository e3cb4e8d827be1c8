"""Decide and write what becomes of a dimension's rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812

from tidemark.base import quoting as names
from tidemark.lake import keys
from tidemark.model.added_columns import DIMENSION_COLUMNS
from tidemark.model.definition import Dimension
from tidemark.star import contract, versions
from tidemark.star.deletes import lost_rows
from tidemark.star.facts import store
from tidemark.star.scope import Scope, rows_in_scope

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from tidemark.lake.changeset import ChangeCounts
    from tidemark.lake.tables import Lake
    from tidemark.landing.manifest import Manifest


def decide(
    lake: Lake,
    table: Dimension,
    manifest: Manifest,
    rows: DataFrame,
    scope: Scope,
) -> DataFrame:
    """Decide for every key in scope: a new row, a change, a deletion, a rejection, or nothing."""
    columns = [column.name for column in table.columns]
    here = rows_in_scope(lake, table, rows, scope)
    whole = F.expr(f"{names.spark_struct(here.columns)} AS last")
    own = keys.key_names(table.key)
    old = here.select(*keys.as_key(table.key), whole)
    old = old if scope.everything else lake.beside(old)
    joined = rows.alias("c").join(old, keys.keys_equal(table.key, own, ("c.", "")), "left")
    stale = versions.differs(columns) | F.col("last.is_deleted") | F.col("last.is_inferred")
    decision = (
        F.when(F.col(f"c.{contract.REASON}").isNotNull(), F.lit(versions.REJECTED))
        .when(F.col("last").isNull(), F.lit(versions.NEW))
        .when(stale, F.lit(versions.CHANGED))
    )
    decided = joined.select("c.*", *keys.as_key(table.key, "c."), "last", decision.alias(versions.DECISION))
    decided = decided.where(F.col(versions.DECISION).isNotNull())
    if scope.may_have_deletes:
        lost = lost_rows(lake, table, manifest, rows, here, scope)
        lost = lost.select(*keys.as_key(table.key), whole)
        decided = decided.unionByName(versions.gone(lost, decided))
    return decided


def write(lake: Lake, table: Dimension, manifest: Manifest, decided: DataFrame, seen: ChangeCounts) -> None:
    """Write what was decided as one commit."""
    columns = [column.name for column in table.columns]
    updated = [*columns, *(column.name for column in DIMENSION_COLUMNS)]
    store(lake, table, _rows(decided, columns, manifest.batch), table.key, updated, seen)


def _rows(decided: DataFrame, columns: list[str], batch: int) -> DataFrame:
    deleted = f"{versions.DECISION} = '{versions.DELETED}'"
    quoted = map(names.spark, columns)
    return decided.where(F.col(versions.DECISION) != versions.REJECTED).selectExpr(
        *(f"if({deleted}, last.{name}, {name}) AS {name}" for name in quoted),
        f"{deleted} AS is_deleted",
        "false AS is_inferred",
        f"{batch}L AS recorded_batch",
    )
