"""Dimensions and facts: brought up to a manifest, each by at most one commit.

Promises: what is written depends only on the mirrors, the manifest and the table as the last run left it, so a run that
died half-way is simply done again. A column whose inputs no manifest has landed yet (the manifest is older than the
model) stays as it is; a table whose rows depend on such inputs is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812

from tidemark.base import quoting as names
from tidemark.lake import keys
from tidemark.lake.batches import TableChange
from tidemark.lake.changeset import Tally, settle, tally
from tidemark.lake.mirror import within
from tidemark.model import time_zones
from tidemark.model.definition import Dimension, Fact
from tidemark.star import evaluate as cand
from tidemark.star import lineage as star_sql
from tidemark.star import versions
from tidemark.star.scope import EVERYTHING, Scope, not_landed, scope_of, whole_inputs, within_scope

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pyspark.sql import DataFrame

    from tidemark.lake.mirror import MirrorChange
    from tidemark.lake.tables import Lake
    from tidemark.landing.area import Manifest
    from tidemark.star.lineage import Shape


@dataclass(frozen=True, kw_only=True)
class StarChange:
    """What happened to one star table: ``done``, and frames for what follows.

    ``bad`` and ``looked_at`` (keys as text, None: all) are kept for the quarantine, ``opened`` (a fact's new versions)
    for inferred members and the calendar. ``unknown`` are the columns of which nothing is known yet.
    """

    done: TableChange
    bad: DataFrame | None = None
    looked_at: DataFrame | None = None
    opened: DataFrame | None = None
    unknown: frozenset[str] = frozenset()


def is_touched(lake: Lake, table: Dimension | Fact, manifest: Manifest, model_changed: bool) -> bool:
    """Whether any input of the table may have changed, or is still not known."""
    changed = model_changed or any(manifest.changed(name) for name in table.inputs)
    return changed or bool(not_landed(lake, table, manifest))


def refresh(
    lake: Lake,
    table: Dimension | Fact,
    manifest: Manifest,
    mirrored: Mapping[str, MirrorChange],
    model_changed: bool,
    fresh: Mapping[str, int],
) -> StarChange:
    """Bring one star table up to the manifest.

    Parameters
    ----------
    mirrored
        What became of the mirrors just now.
    fresh
        Columns that did not hold what their SQL says at the last run, and the run that last left them so (0: none).
    """
    target = lake.ensure_star(table)
    empty, inputs = lake.is_empty(target), whole_inputs(lake, table)
    with cand.values_that_fit(table):
        shape = star_sql.shape(lake.spark, table, within_scope(inputs, table, manifest, EVERYTHING))
    missing = not_landed(lake, table, manifest)
    unknown = frozenset(column.name for column in table.columns if shape.columns[column.name] & missing)
    if shape.rows & missing or unknown.intersection(table.key):
        everything_unknown = frozenset(column.name for column in table.columns)
        return StarChange(done=TableChange(status="skipped"), unknown=everything_unknown)
    everything = empty or model_changed or not shape.row_wise
    scope = EVERYTHING if everything else scope_of(lake, table, manifest, mirrored)
    frames = within_scope(inputs, table, manifest, scope)
    found = cand.evaluate(lake.spark, table, frames)
    decide = _decide_fact if isinstance(table, Fact) else _decide_dimension
    with cand.values_that_fit(table):
        zone = _zone(lake, table, found, shape)
        rows = _as_before(cand.conform(found, table, unknown, zone), lake.spark.table(target), table, unknown)
        _check_keys(rows, table, shape, frames[table.driver])
        decided = settle(decide(lake, table, manifest, rows, scope, fresh))
    ahead = versions.ahead(F.lit(manifest.cut.time).cast("timestamp")) if cand.UPDATED in shape.columns else None
    seen = tally(decided, versions.DECISION, keys.key_names(table.key), ahead)
    looked_at = None if scope.everything else _keys(lake, table, manifest, decided)
    done = _done(seen)
    opened = _write(lake, table, manifest, decided, seen, fresh) if done.written else None
    bad = _bad(decided) if done.rejected else None
    return StarChange(done=done, bad=bad, looked_at=looked_at, opened=opened, unknown=unknown)


def _done(seen: Tally) -> TableChange:
    """Say what was decided, by kind."""
    kinds = (versions.NEW, versions.CHANGED, versions.GONE, versions.BAD, versions.FILLED)
    new, changed, deleted, rejected, backfilled = (seen.counts.get(kind, 0) for kind in kinds)
    return TableChange(
        new=new, changed=changed, deleted=deleted, rejected=rejected, backfilled=backfilled, ahead=seen.marked
    )


def _zone(lake: Lake, table: Dimension | Fact, found: DataFrame, shape: Shape) -> str:
    """Return the time zone of ``_updated_at``, where the SQL gives it and it is a wall clock."""
    kind = dict(found.dtypes).get(cand.UPDATED, "")
    is_wall_clock = kind in cand.WALL_CLOCK_KINDS
    return time_zones.zone_of(lake.model, table, shape.columns[cand.UPDATED], kind) if is_wall_clock else "UTC"


def _check_keys(rows: DataFrame, table: Dimension | Fact, shape: Shape, driver: DataFrame) -> None:
    """Hold the candidates' keys against the driver's, as far as the SQL itself does not say that they are the same."""
    own = [shape.copies.get(name) for name in table.key] == [f"{table.driver}.{name}" for name in table.driver_key]
    if not (own and shape.one_to_one and _same_types(driver, table)):
        cand.check_one_row_per_key(rows, table)
    if not own:
        cand.check_keys_are_the_drivers(rows, table, driver)


def _same_types(driver: DataFrame, table: Dimension | Fact) -> bool:
    """Whether the key has the same type here and there, to the last digit."""
    kinds, own = dict(driver.dtypes), [table.column(name).type for name in table.key]
    same = [kind.spark == kinds[name] for kind, name in zip(own, table.driver_key, strict=True)]
    return all(same) and not any(kind.args for kind in own)


def _as_before(rows: DataFrame, here: DataFrame, table: Dimension | Fact, unknown: Collection[str]) -> DataFrame:
    """Give the candidates' unknown columns the values that the table has; NULL to rows that are new."""
    if not unknown:
        return rows
    present = here.where("is_current" if isinstance(table, Fact) else "NOT is_inferred")
    then = present.select(
        *keys.wanted(table.key), *(F.col(names.spark(name)).alias(f"_then_{name}") for name in unknown)
    )
    joined = rows.join(then, keys.is_wanted(table.key), "left")
    return joined.select(
        *(F.col(f"_then_{name}").alias(name) if name in unknown else names.spark(name) for name in rows.columns)
    )


def _lost(
    lake: Lake, table: Dimension | Fact, manifest: Manifest, rows: DataFrame, alive_here: DataFrame, scope: Scope
) -> DataFrame:
    """Present rows here whose key is no longer there; ``rows`` are the candidates (all, if all were evaluated)."""
    if scope.everything:
        there = rows.select(*keys.wanted(table.key))
    else:
        mirror = lake.spark.table(lake.mirror(table.driver))
        if table.complete and scope.ranges is not None and table.column(table.key[0]).type.is_integer:
            alive_here = alive_here.where(within(table.key[0], scope.ranges))
            mirror = mirror.where(within(table.driver_key[0], scope.ranges))
        if not table.complete:  # the SQL may let a changed row no longer through
            mirror = mirror.where(F.col("_seq") != manifest.seq)
        there = mirror.select(*cand.keys_in_star(mirror, table, table.driver_key))
        if not table.complete:
            there = there.unionAll(rows.select(*keys.wanted(table.key)))
    return alive_here.join(there, keys.is_wanted(table.key), "left_anti")


def _decide_fact(
    lake: Lake,
    table: Dimension | Fact,
    manifest: Manifest,
    rows: DataFrame,
    scope: Scope,
    fresh: Mapping[str, int],
) -> DataFrame:
    columns = [column.name for column in table.columns]
    history = here = lake.spark.table(lake.star(table.name))
    if not scope.everything:
        changed = F.broadcast(rows.select(*keys.wanted(table.key)))
        history = scope.prune(here, table.key).join(changed, keys.is_wanted(table.key), "left_semi")
    latest = versions.latest_versions(history, table.key)
    decided = versions.decide(rows, latest if scope.everything else F.broadcast(latest), table.key, columns, fresh)
    if scope.losses:
        lost = _lost(lake, table, manifest, rows, here.where("is_current"), scope)
        decided = decided.unionByName(versions.gone(versions.latest_versions(lost, table.key), decided))
    return decided


def _decide_dimension(
    lake: Lake,
    table: Dimension | Fact,
    manifest: Manifest,
    rows: DataFrame,
    scope: Scope,
    _fresh: Mapping[str, int],
) -> DataFrame:
    columns = [column.name for column in table.columns]
    here = lake.spark.table(lake.star(table.name))
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
    kept = [F.col(f"c.{names.spark(name)}").alias(name) for name in (*columns, cand.REASON, cand.RAW, cand.KEY_TEXT)]
    decided = joined.select(*kept, *keys.as_key(table.key, "c."), F.col("last"), decision.alias(versions.DECISION))
    decided = decided.where(F.col(versions.DECISION).isNotNull())
    if scope.losses:
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
    fresh: Collection[str],
) -> DataFrame | None:
    """Write what was decided as one commit; return a fact's new versions. Rows that are all new need no merge."""
    target, opened = lake.star(table.name), None
    columns = [column.name for column in table.columns]
    if isinstance(table, Fact):
        rows = versions.to_write(decided, columns, F.lit(manifest.cut.time).cast("timestamp"), manifest.seq)
        rows = rows.select(*map(names.spark, versions.column_names(columns)))
        opened = rows.where("is_current")
        key, updated = [*table.key, "version"], ["valid_to", "is_current", "is_deleted", "closed_seq", *fresh]
    else:
        rows = _dimension_rows(decided, columns, manifest.seq)
        key, updated = list(table.key), [*columns, "is_deleted", "is_inferred", "recorded_seq"]
    if set(seen.counts) & {versions.CHANGED, versions.GONE, versions.FILLED}:
        _merge(lake, rows, target, key, updated, seen.pruning("t", table.key[0]))
    else:
        lake.append(rows, target)
    return opened


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


def _bad(decided: DataFrame) -> DataFrame:
    """Key, reason and row of what goes to quarantine."""
    bad = decided.where(F.col(versions.DECISION) == versions.BAD)
    return bad.select(
        F.col(cand.KEY_TEXT).alias("key"), F.col(cand.REASON).alias("reason"), F.col(cand.RAW).alias("row")
    )


def _keys(lake: Lake, table: Dimension | Fact, manifest: Manifest, decided: DataFrame) -> DataFrame:
    """Keys that were looked at: those of the changed driver rows, and those decided gone or to be so."""
    driver = lake.spark.table(lake.mirror(table.driver)).where(F.col("_seq") == manifest.seq)
    changed = driver.select(cand.key_text(driver, table, table.driver_key))
    own = F.coalesce(F.col(cand.KEY_TEXT), keys.key_text(keys.key_names(table.key)))
    return changed.unionAll(decided.select(own.alias("key")))


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
