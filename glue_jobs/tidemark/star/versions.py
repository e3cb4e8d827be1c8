"""Versions of a fact: the rules of history, as pure functions of DataFrames.

A fact's row is a *version*: what the source row was from ``valid_from`` to ``valid_to``. Rules:

* A version begins at the source's own ``last_updated`` where that moved forward, else at the time of the cut that
  first showed it. It never begins in the future of its cut (unless the source's clock was set back), and never before
  or at the begin of the version that it follows, nor before that one's end: intervals of a key never overlap and are
  never empty.
* A change closes the current version at the new one's begin. A delete closes it at the cut's time, flagged.
* A key that comes back after a delete goes on counting: its next version begins at or after the last one's end.
* Equal contents make no version. A row that breaks its contract makes none either: the last good one of its key stays
  current.
* A column that the model has just got makes no version: it is filled in on the current ones, older ones have NULL.
  Where a version was written while the column held what its SQL says, another value is a change like any other.

Promises: :func:`decide` and :func:`gone` give every key at most one decision; applying its outcome
and deciding again gives none.
"""

from __future__ import annotations

from functools import reduce
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from pyspark.sql import functions as F  # noqa: N812

from tidemark.base import quoting as names
from tidemark.lake import keys
from tidemark.model.added_columns import FACT_COLUMNS
from tidemark.star.contract import REASON, UPDATED

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pyspark.sql import Column, DataFrame

DECISION: Final = "_decision"
_NOTHING: Final[Mapping[str, int]] = MappingProxyType({})
NEW, CHANGED, DELETED, REJECTED, BACKFILLED = "new", "changed", "gone", "bad", "filled"
_TOLERANCE: Final = "INTERVAL '5' MINUTE"
_MICROSECOND: Final = "INTERVAL '0.000001' SECOND"


def latest_versions(fact: DataFrame, key: Sequence[str]) -> DataFrame:
    """Return the last version of every key: its columns (``_key0`` …) and ``last`` (a struct of all columns)."""
    last = F.expr(f"max_by({names.spark_struct(fact.columns)}, version) AS last")
    return fact.groupBy(*keys.as_key(key)).agg(last)


def decide(
    candidates: DataFrame,
    latest: DataFrame,
    key: Sequence[str],
    columns: Sequence[str],
    backfill: Mapping[str, int] = _NOTHING,
) -> DataFrame:
    """Say for every candidate what has to happen.

    Parameters
    ----------
    candidates
        Rows as the source has them at the cut: ``columns``, ``_updated_at``, ``_reason``, ``_row``, ``_key_text``,
        ``_keyless``.
    latest
        :func:`latest_versions` of at least the candidates' keys.
    columns
        The published columns, which decide whether anything changed.
    backfill
        Those of them that did not hold what their SQL says at the last run, and the run that last left them so (0:
        none). To a version that was written later, a value there is not a change of the row.

    Returns
    -------
    DataFrame
        The candidates' columns, their keys (``_key0`` …), ``last`` and ``_decision`` (new, changed, filled or bad);
        equal rows are left out.
    """
    on = keys.keys_equal(key, keys.key_names(key), ("c.", "l."))
    joined = candidates.alias("c").join(latest.alias("l"), on, "left")
    changed = differs([name for name in columns if name not in backfill])
    for name, batch in backfill.items():
        changed |= differs([name]) & (F.col("l.last.recorded_batch") <= batch)
    decision = (
        F.when(F.col(f"c.{REASON}").isNotNull(), F.lit(REJECTED))
        .when(F.col("l.last").isNull() | ~F.col("l.last.is_current"), F.lit(NEW))
        .when(changed, F.lit(CHANGED))
    )
    if backfill:
        decision = decision.when(differs(backfill), F.lit(BACKFILLED))
    decided = joined.select("c.*", *keys.as_key(key, "c."), "l.last", decision.alias(DECISION))
    decided = decided.where(F.col(DECISION).isNotNull())
    return decided.unionByName(backfill_rejected_rows(decided, columns, backfill)) if backfill else decided


def backfill_rejected_rows(decided: DataFrame, columns: Sequence[str], backfill: Mapping[str, int]) -> DataFrame:
    """Return a decision to fill the last good version of a bad row: fixed later, it has not changed by that."""
    bad = decided.where(F.col(DECISION) == REJECTED).where("last.is_current")
    then = {name: F.col(f"last.{names.spark(name)}") for name in columns}
    now = {
        name: F.when(F.col("last.recorded_batch") > batch, F.coalesce(F.col(names.spark(name)), then[name])).otherwise(
            then[name]
        )
        for name, batch in backfill.items()
    }
    filled = reduce(lambda one, other: one | other, (~now[name].eqNullSafe(then[name]) for name in backfill))
    values = {**then, **now, DECISION: F.lit(BACKFILLED), REASON: F.lit(None).cast("string")}
    return bad.where(filled).select(
        *(values[name].alias(name) if name in values else names.spark(name) for name in bad.columns)
    )


def differs(columns: Collection[str], now: str = "c.", before: str = "last.") -> Column:
    """Whether a candidate and what there is of its key differ in some columns; NULL is a value like another."""
    return F.expr(f"NOT {names.spark_struct(columns, now)} <=> {names.spark_struct(columns, before)}")


def gone(latest: DataFrame, like: DataFrame) -> DataFrame:
    """Return the decision ``gone`` for every key of ``latest``, in the shape of :func:`decide`'s result ``like``."""
    kinds = dict(like.dtypes)
    return latest.select(
        *(
            F.lit(DELETED).alias(name)
            if name == DECISION
            else F.col(name)
            if name in latest.columns
            else F.lit(None).cast(kinds[name]).alias(name)
            for name in like.columns
        )
    )


def ahead(cut: Column) -> Column:
    """Condition of new versions whose ``_updated_at`` lies beyond the cut: their zone, or a clock, is wrong.

    They begin at the cut all the same. A few minutes are nothing: the application's clock need not be the server's.
    """
    return F.col(DECISION).isin(NEW, CHANGED) & (F.col(UPDATED) > cut + F.expr(_TOLERANCE))


def refers_anew(columns: Collection[str]) -> Column:
    """Condition of rows to write that refer, by some of ``columns``, to what the key's last version did not."""
    return F.col(DECISION).isin(NEW, CHANGED, BACKFILLED) & differs(columns, now="")


def valid_from_of(cut: str) -> str:
    """Return SQL for ``valid_from`` of a new or changed key, from the rules at the top of this module."""
    honest = f"least({UPDATED}, {cut})"
    floor = f"coalesce(last.valid_to, last.valid_from + {_MICROSECOND})"
    moved = f"(last IS NULL OR last.{UPDATED} IS NULL OR {UPDATED} > last.{UPDATED})"
    own = f"{UPDATED} IS NOT NULL AND {moved} AND (last IS NULL OR {honest} >= {floor})"
    return f"coalesce(CASE WHEN {own} THEN {honest} END, greatest({cut}, {floor}), {cut})"


def to_write(decided: DataFrame, columns: Sequence[str], cut: str, batch: int) -> DataFrame:
    """Return the version rows to insert and to close, as the fact's own columns.

    A row whose ``(key, version)`` exists is the closed, or filled, form of that version; any other is a new version.

    Parameters
    ----------
    cut
        SQL for the time of the cut.
    """
    begin = valid_from_of(cut)
    opened = {
        **{name: names.spark(name) for name in columns},
        "version": "coalesce(last.version, 0) + 1",
        "valid_from": begin,
        "valid_to": "CAST(NULL AS timestamp)",
        "is_current": "true",
        "is_deleted": "false",
        "recorded_batch": f"{batch}L",
        "closed_batch": "CAST(NULL AS bigint)",
        UPDATED: UPDATED,
    }
    last = {name: f"last.{names.spark(name)}" for name in column_names(columns)}
    ended = {"is_current": "false", "closed_batch": f"{batch}L"}
    changed = {**last, **ended, "valid_to": begin, "is_deleted": "false"}
    deleted = f"greatest({cut}, last.valid_from + {_MICROSECOND})"
    gone_now = {**last, **ended, "valid_to": deleted, "is_deleted": "true"}
    # Nothing of a current version changes but the values of columns that are new to the fact.
    filled = {**last, **{name: names.spark(name) for name in columns}}
    what = {NEW: [opened], CHANGED: [opened, changed], DELETED: [gone_now], BACKFILLED: [filled]}
    cases = " ".join(f"WHEN '{kind}' THEN array({', '.join(map(_row, rows))})" for kind, rows in what.items())
    # In one pass, and one query: each part of a union would be planned, and run, by itself.
    return decided.selectExpr(f"inline(CASE {DECISION} {cases} END)")


def _row(values: Mapping[str, str]) -> str:
    return f"named_struct({', '.join(f'{names.spark_literal(name)}, {value}' for name, value in values.items())})"


def column_names(columns: Sequence[str]) -> list[str]:
    """All columns of a fact in the lake, published ones first."""
    return [*columns, *(column.name for column in FACT_COLUMNS)]
