"""Dimensions and facts: brought up to a manifest, each by at most one commit.

Owns the *scope*. Usually only the driver's rows that the manifest changed (mirror rows with its ``_seq``) are
evaluated, and keys here that are no longer there if keys can have gone. Everything is evaluated where another input of
the SQL changed, the driver was read in full, the table is empty, or the model is new. Promises: what is written depends
only on the mirrors, the manifest and the table itself, so a run that died half-way is simply done again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812

from tidemark import candidates as cand
from tidemark import keys, names, versions
from tidemark.lake import FEW_KEYS, Tally, settle, tally
from tidemark.mirror import within
from tidemark.model import Dimension, Fact

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pyspark.sql import DataFrame

    from tidemark.lake import Lake
    from tidemark.landing import KeyList, Manifest
    from tidemark.mirror import MirrorChange

_WRITES = (versions.NEW, versions.CHANGED, versions.GONE, versions.FILLED)


@dataclass
class StarChange:
    """What happened to one star table.

    ``bad`` and ``looked_at`` (keys as text, None: all) are kept for the quarantine, ``opened`` (a fact's new versions)
    for inferred members and the calendar.
    """

    counts: dict[str, int] = field(default_factory=dict)
    bad: DataFrame | None = None
    looked_at: DataFrame | None = None
    opened: DataFrame | None = None


@dataclass(frozen=True)
class _Scope:
    """What to evaluate: everything or the changed driver rows; whether keys can have gone, and in which ranges.

    ``hint`` holds the changed keys themselves, if they are few; ``fresh`` the columns that a fact has only just got.
    """

    everything: bool
    losses: bool
    hint: list[Any] | None = None
    ranges: KeyList | None = None
    fresh: frozenset[str] = frozenset()

    def prune(self, frame: DataFrame, key: Sequence[str]) -> DataFrame:
        """Narrow a star table to the keys in scope, if they are few: files that hold none of them are not opened."""
        return frame if self.hint is None else frame.where(F.col(names.spark(key[0])).isin(self.hint))


def is_touched(table: Dimension | Fact, manifest: Manifest, model_changed: bool) -> bool:
    """Whether any input of the table may have changed."""
    return model_changed or any(manifest.changed(name) for name in table.inputs)


def refresh(
    lake: Lake,
    table: Dimension | Fact,
    manifest: Manifest,
    mirrored: Mapping[str, MirrorChange],
    model_changed: bool,
    before: int | None,
) -> StarChange:
    """Bring one star table up to the manifest.

    ``mirrored`` says what became of the mirrors just now, ``before`` is the table's snapshot at the last run, if any.
    """
    target = lake.ensure_star(table)
    empty = lake.is_empty(target)
    scope = _scope(lake, table, manifest, mirrored, everything=empty or model_changed)
    if model_changed and before is not None and isinstance(table, Fact):
        known = lake.columns_at(target, before)
        scope = replace(scope, fresh=frozenset(column.name for column in table.columns if column.name not in known))
    found = cand.evaluate(lake.spark, table, _inputs(lake, table, manifest, scope))
    decide = _decide_fact if isinstance(table, Fact) else _decide_dimension
    with cand.values_that_fit(table):
        cand.check_one_row_per_key(found, table)
        rows = cand.conform(found, table)
        decided = settle(decide(lake, table, manifest, rows, lake.spark.table(target), scope, empty))
    seen = tally(decided, versions.DECISION, keys.key_names(table.key), apart=versions.BAD)
    if seen.repeated:
        raise cand.repeated(table, *seen.repeated)
    counts = seen.counts
    change = StarChange(
        counts, _bad(decided, table, counts), None if scope.everything else _keys(lake, table, manifest, decided)
    )
    if any(counts.get(kind) for kind in _WRITES):
        _write(lake, table, manifest, decided, seen, change, scope.fresh)
    return change


def _scope(
    lake: Lake,
    table: Dimension | Fact,
    manifest: Manifest,
    mirrored: Mapping[str, MirrorChange],
    *,
    everything: bool,
) -> _Scope:
    if everything or any(manifest.changed(name) for name in table.joins):
        return _Scope(everything=True, losses=True)
    driver = manifest.tables[table.driver]
    if driver.mode == "full":
        return _Scope(everything=True, losses=True)
    return _Scope(
        everything=False,
        losses=driver.keys is not None or not table.complete,
        hint=_changed_keys(lake, table, manifest, mirrored),
        ranges=driver.keys,
    )


def _changed_keys(
    lake: Lake, table: Dimension | Fact, manifest: Manifest, mirrored: Mapping[str, MirrorChange]
) -> list[Any] | None:
    """Keys of at least all driver rows that the manifest changed, if they are few and of one column."""
    if len(table.driver_key) > 1:
        return None
    change = mirrored.get(table.driver)
    if change is not None and change.keys:
        return change.keys
    changed = lake.spark.table(lake.mirror(table.driver)).where(F.col("_seq") == manifest.seq)
    found = [row[0] for row in changed.select(names.spark(table.driver_key[0])).limit(FEW_KEYS + 1).collect()]
    return found if len(found) <= FEW_KEYS else None


def _inputs(lake: Lake, table: Dimension | Fact, manifest: Manifest, scope: _Scope) -> dict[str, DataFrame]:
    frames = {name: lake.spark.table(lake.mirror(name)) for name in table.inputs}
    if not scope.everything:
        frames[table.driver] = frames[table.driver].where(F.col("_seq") == manifest.seq)
    return {name: frame.drop("_seq") for name, frame in frames.items()}


def _lost(
    lake: Lake, table: Dimension | Fact, manifest: Manifest, rows: DataFrame, alive_here: DataFrame, scope: _Scope
) -> DataFrame:
    """Present rows here whose key is no longer there; ``rows`` are the candidates (all, if all were evaluated)."""
    if scope.everything:
        there = rows.select(*keys.wanted(table.key))
    else:
        mirror = lake.spark.table(lake.mirror(table.driver))
        if table.complete and scope.ranges is not None:
            alive_here = alive_here.where(within(table.key[0], scope.ranges))
            mirror = mirror.where(within(table.driver_key[0], scope.ranges))
        if not table.complete:  # the SQL may let a changed row no longer through
            mirror = mirror.where(F.col("_seq") != manifest.seq)
        there = mirror.select(*keys.wanted(table.driver_key))
        if not table.complete:
            there = there.unionAll(rows.select(*keys.wanted(table.key)))
    return alive_here.join(there, keys.is_wanted(table.key), "left_anti")


def _decide_fact(
    lake: Lake,
    table: Dimension | Fact,
    manifest: Manifest,
    rows: DataFrame,
    here: DataFrame,
    scope: _Scope,
    empty: bool,
) -> DataFrame:
    columns = [column.name for column in table.columns]
    history = here
    if not scope.everything:
        changed = F.broadcast(rows.select(*keys.wanted(table.key)))
        history = scope.prune(here, table.key).join(changed, keys.is_wanted(table.key), "left_semi")
    latest = versions.latest_versions(history, table.key)
    decided = versions.decide(
        rows, latest if scope.everything else F.broadcast(latest), table.key, columns, scope.fresh
    )
    if scope.losses and not empty:
        lost = _lost(lake, table, manifest, rows, here.where("is_current"), scope)
        decided = decided.unionByName(versions.gone(versions.latest_versions(lost, table.key), decided))
    return decided


def _decide_dimension(
    lake: Lake,
    table: Dimension | Fact,
    manifest: Manifest,
    rows: DataFrame,
    here: DataFrame,
    scope: _Scope,
    empty: bool,
) -> DataFrame:
    columns = [column.name for column in table.columns]
    whole = F.struct(*(F.col(names.spark(name)) for name in here.columns)).alias("last")
    own = keys.key_names(table.key)
    old = here.select(*keys.as_key(table.key), whole)
    if not scope.everything:
        changed = F.broadcast(rows.select(*keys.wanted(table.key)))
        old = F.broadcast(scope.prune(old, own).join(changed, keys.is_wanted(own), "left_semi"))
    joined = rows.alias("c").join(old, keys.same(table.key, own, ("c.", "")), "left")
    now = F.struct(*(F.col(f"c.{names.spark(name)}") for name in columns))
    then = F.struct(*(F.col(f"last.{names.spark(name)}").alias(name) for name in columns))
    stale = ~now.eqNullSafe(then) | F.col("last.is_deleted") | F.col("last.is_inferred")
    decision = (
        F.when(F.col(f"c.{cand.REASON}").isNotNull(), F.lit(versions.BAD))
        .when(F.col("last").isNull(), F.lit(versions.NEW))
        .when(stale, F.lit(versions.CHANGED))
    )
    kept = [F.col(f"c.{names.spark(name)}").alias(name) for name in (*columns, cand.REASON, cand.RAW)]
    decided = joined.select(*kept, *keys.as_key(table.key, "c."), F.col("last"), decision.alias(versions.DECISION))
    decided = decided.where(F.col(versions.DECISION).isNotNull())
    if scope.losses and not empty:
        lost = _lost(lake, table, manifest, rows, here.where("NOT is_deleted AND NOT is_inferred"), scope)
        lost = lost.select(*keys.as_key(table.key), whole)
        decided = decided.unionByName(versions.gone(lost, decided))
    return decided


def _write(
    lake: Lake,
    table: Dimension | Fact,
    manifest: Manifest,
    decided: DataFrame,
    seen: Tally,
    change: StarChange,
    fresh: Collection[str],
) -> None:
    """Write what was decided as one commit; rows that are all new need no merge."""
    target = lake.star(table.name)
    columns = [column.name for column in table.columns]
    if isinstance(table, Fact):
        rows = versions.to_write(decided, columns, F.lit(manifest.cut.time).cast("timestamp"), manifest.seq)
        rows = rows.select(*map(names.spark, versions.column_names(columns)))
        change.opened = rows.where("is_current")
        key, updated = [*table.key, "version"], ["valid_to", "is_current", "is_deleted", "closed_seq", *fresh]
    else:
        rows = _dimension_rows(decided, columns, manifest.seq)
        key, updated = list(table.key), [*columns, "is_deleted", "is_inferred", "recorded_seq"]
    if set(seen.counts) & {versions.CHANGED, versions.GONE, versions.FILLED}:
        _merge(lake, rows, target, key, updated, seen.pruning("t", table.key[0]))
    else:
        lake.append(rows, target)


def _dimension_rows(decided: DataFrame, columns: list[str], seq: int) -> DataFrame:
    deleted = F.col(versions.DECISION) == versions.GONE
    return decided.where(F.col(versions.DECISION) != versions.BAD).select(
        *(
            F.when(deleted, F.col(f"last.{names.spark(name)}")).otherwise(F.col(names.spark(name))).alias(name)
            for name in columns
        ),
        deleted.alias("is_deleted"),
        F.lit(False).alias("is_inferred"),
        F.lit(seq).cast("bigint").alias("recorded_seq"),
    )


def _bad(decided: DataFrame, table: Dimension | Fact, counts: dict[str, int]) -> DataFrame | None:
    """Key, reason and row of what goes to quarantine."""
    if not counts.get(versions.BAD):
        return None
    bad = decided.where(F.col(versions.DECISION) == versions.BAD)
    return bad.select(
        keys.key_text(keys.key_names(table.key)), F.col(cand.REASON).alias("reason"), F.col(cand.RAW).alias("row")
    )


def _keys(lake: Lake, table: Dimension | Fact, manifest: Manifest, decided: DataFrame) -> DataFrame:
    """Keys that were looked at: those of the changed driver rows, and those decided gone or to be so."""
    driver = lake.spark.table(lake.mirror(table.driver)).where(F.col("_seq") == manifest.seq)
    changed = driver.select(keys.key_text(table.driver_key))
    return changed.unionAll(decided.select(keys.key_text(keys.key_names(table.key))))


def _merge(lake: Lake, rows: DataFrame, target: str, key: list[str], updated: list[str], pruning: str) -> None:
    """Write rows as one commit: those whose key exists update the named columns, the others are inserted."""
    view = names.spark("_rows_" + target.rsplit(".", 1)[1].strip("`"))
    rows.createOrReplaceTempView(view)
    listed = [names.spark(name) for name in rows.columns]
    on = [f"t.{names.spark(name)} = s.{names.spark(name)}" for name in key]
    lake.spark.sql(
        f"MERGE INTO {target} t USING {view} s ON {' AND '.join(on)}{pruning} "  # noqa: S608 - quoted names only
        f"WHEN MATCHED THEN UPDATE SET {', '.join(f't.{name} = s.{name}' for name in map(names.spark, updated))} "
        f"WHEN NOT MATCHED THEN INSERT ({', '.join(listed)}) VALUES ({', '.join(f's.{name}' for name in listed)})"
    )
