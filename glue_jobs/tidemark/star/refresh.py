"""Dimensions and facts: brought up to a manifest, each by at most one commit.

Promises: what is written depends only on the mirrors, the manifest and the table as the last batch left it, so a batch
that died half-way is simply done again. A column whose inputs no manifest has landed yet (the manifest is older than
the model) stays as it is; a table whose rows depend on such inputs is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812

from tidemark.base import quoting as names
from tidemark.lake import keys
from tidemark.lake.batches import TableChange
from tidemark.lake.changeset import ChangeCounts, compute
from tidemark.model import time_zones
from tidemark.model.definition import Dimension, Fact
from tidemark.star import contract, dimensions, evaluate, facts, versions
from tidemark.star.kept_lineage import lineage_of
from tidemark.star.scope import (
    EVERYTHING,
    FIRST,
    Scope,
    not_landed,
    read_inputs,
    restrict_inputs,
    scope_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import pyarrow as pa
    from pyspark.sql import Column, DataFrame

    from tidemark.lake.mirror import MirrorChange
    from tidemark.lake.tables import Lake
    from tidemark.landing.manifest import Manifest
    from tidemark.star.lineage import Lineage

_AHEAD, _REFERS_ANEW, _KEYLESS = "ahead", "refers anew", "keyless"


@dataclass(frozen=True, kw_only=True)
class StarChange:
    """What happened to one star table: ``done``, and frames for what follows.

    ``rejected`` and ``evaluated_keys`` (keys as text, None: all) are kept for the quarantine, ``new_versions`` (a
    fact's, if they refer to anything that those before them did not; few are in hand) for inferred members and the
    calendar. ``unknown`` are the columns of which nothing is known yet; ``was_empty``: the table had no rows before.
    """

    done: TableChange
    rejected: DataFrame | None = None
    evaluated_keys: DataFrame | None = None
    new_versions: DataFrame | pa.Table | None = None
    unknown: frozenset[str] = frozenset()
    was_empty: bool = False


def is_touched(lake: Lake, table: Dimension | Fact, manifest: Manifest, model_changed: bool) -> bool:
    """Whether any input of the table may have changed, or is still not known."""
    changed = model_changed or any(manifest.changed(name) for name in table.inputs)
    return changed or bool(not_landed(lake, table, manifest))


def refresh(
    lake: Lake,
    table: Dimension | Fact,
    manifest: Manifest,
    mirrored: Mapping[str, MirrorChange],
    whole: bool,
    backfill: Mapping[str, int],
) -> StarChange:
    """Bring one star table up to the manifest.

    Parameters
    ----------
    mirrored
        What became of the mirrors just now.
    whole
        Whether to evaluate it over everything, whatever the manifest changed.
    backfill
        Columns to backfill, and the last batch up to which their stored values are filled (0: none).
    """
    empty = not lake.exists(lake.star(table.name)) or lake.is_empty(lake.ensure_star(table))
    inputs = read_inputs(lake, table, mirrored)
    keys_landed = {name: manifest.tables[name].key for name in table.inputs if name in manifest.tables}
    with evaluate.values_that_fit(table):
        lineage = lineage_of(lake, table, inputs, keys_landed)
    missing = not_landed(lake, table, manifest)
    unknown = frozenset(column.name for column in table.columns if lineage.columns[column.name] & missing)
    if lineage.rows & missing or unknown.intersection(table.key):
        lake.ensure_star(table)
        return StarChange(done=TableChange(status="skipped"), unknown=frozenset(c.name for c in table.columns))
    apart = lineage.per_row and not whole
    scope = FIRST if empty else scope_of(lake, table, manifest, mirrored) if apart else EVERYTHING
    frames = restrict_inputs(lake, table, manifest, mirrored, scope, inputs)
    found = evaluate.evaluate(lake.spark, table, frames)
    with evaluate.values_that_fit(table):
        zone = _zone(lake, table, found, lineage)
        rows = _as_before(contract.check_contract(found, table, unknown, zone), lake, table, unknown)
        _check_keys(rows, table, lineage, frames[table.driver])
        decided, key = _decide(lake, table, manifest, rows, scope, backfill), keys.key_names(table.key)
        decided, seen = compute(decided, versions.DECISION, key, _marks(table, lineage, manifest))
    if seen.marked[_KEYLESS] and not scope.everything:  # which rows they are can only be seen beside all others
        return refresh(lake, table, manifest, mirrored, True, backfill)
    done = _done(seen)
    return StarChange(
        done=done,
        rejected=_rejected(decided) if done.rejected else None,
        evaluated_keys=None if scope.everything else _keys(table, frames[table.driver], decided),
        new_versions=_write(lake, table, manifest, decided, seen, backfill),
        unknown=unknown,
        was_empty=empty,
    )


def new_versions(lake: Lake, changes: Mapping[str, StarChange], model_changed: bool) -> dict[str, DataFrame | pa.Table]:
    """New versions of every fact; all versions if the model may have made references of columns that were none."""
    found = {name: change.new_versions for name, change in changes.items() if change.new_versions is not None}
    if not model_changed:
        return found
    old = [name for name in lake.model.facts if not (name in changes and changes[name].was_empty)]
    there = [name for name in old if not lake.is_empty(lake.star(name))]
    return found | {name: lake.spark.table(lake.star(name)) for name in there}


def _decide(
    lake: Lake, table: Dimension | Fact, manifest: Manifest, rows: DataFrame, scope: Scope, backfill: Mapping[str, int]
) -> DataFrame:
    if isinstance(table, Fact):
        return facts.decide(lake, table, manifest, rows, scope, backfill)
    return dimensions.decide(lake, table, manifest, rows, scope)


def _marks(table: Dimension | Fact, lineage: Lineage, manifest: Manifest) -> dict[str, Column]:
    """Return what to count of the decided rows, besides their kinds."""
    marks = {_KEYLESS: F.col(contract.KEYLESS)}
    if contract.UPDATED in lineage.columns:
        marks[_AHEAD] = versions.ahead(F.lit(manifest.cut.time).cast("timestamp"))
    if isinstance(table, Fact) and table.references:
        marks[_REFERS_ANEW] = versions.refers_anew([column.name for column in table.references])
    return marks


def _write(
    lake: Lake,
    table: Dimension | Fact,
    manifest: Manifest,
    decided: DataFrame,
    seen: ChangeCounts,
    backfill: Mapping[str, int],
) -> DataFrame | pa.Table | None:
    """Write what was decided, if anything was; return a fact's new versions, if they refer to anything anew."""
    if not _done(seen).written:
        if not lake.exists(lake.star(table.name)):
            lake.ensure_star(table)
        return None
    if isinstance(table, Fact):
        written = facts.write(lake, table, manifest, decided, seen, backfill)
        return written if seen.marked.get(_REFERS_ANEW) else None
    dimensions.write(lake, table, manifest, decided, seen)
    return None


def _done(seen: ChangeCounts) -> TableChange:
    """Say what was decided, by kind."""
    kinds = (versions.NEW, versions.CHANGED, versions.DELETED, versions.REJECTED, versions.BACKFILLED)
    new, changed, deleted, rejected, backfilled = (seen.counts.get(kind, 0) for kind in kinds)
    return TableChange(
        new=new,
        changed=changed,
        deleted=deleted,
        rejected=rejected,
        backfilled=backfilled,
        ahead=seen.marked.get(_AHEAD, 0),
    )


def _zone(lake: Lake, table: Dimension | Fact, found: DataFrame, lineage: Lineage) -> str:
    """Return the time zone of ``_updated_at``, where the SQL gives it and it is a wall clock."""
    kind = dict(found.dtypes).get(contract.UPDATED, "")
    is_wall_clock = kind in contract.WALL_CLOCK_KINDS
    return time_zones.zone_of(lake.model, table, lineage.columns[contract.UPDATED], kind) if is_wall_clock else "UTC"


def _check_keys(rows: DataFrame, table: Dimension | Fact, lineage: Lineage, driver: DataFrame) -> None:
    """Hold the candidates' keys against the driver's, as far as the SQL itself does not say that they are the same."""
    fed_from = [lineage.passed_through.get(name) for name in table.key]
    own = fed_from == [f"{table.driver}.{name}" for name in table.from_key]
    if not (own and lineage.one_to_one and _same_types(driver, table)):
        evaluate.check_one_row_per_key(rows, table)
    if not own:
        contract.check_keys_are_the_drivers(rows, table, driver)


def _same_types(driver: DataFrame, table: Dimension | Fact) -> bool:
    """Whether the key has the same type here and there, to the last digit."""
    kinds, own = dict(driver.dtypes), [table.column(name).type for name in table.key]
    same = [kind.spark == kinds[name] for kind, name in zip(own, table.from_key, strict=True)]
    return all(same) and not any(kind.args for kind in own)


def _as_before(rows: DataFrame, lake: Lake, table: Dimension | Fact, unknown: Collection[str]) -> DataFrame:
    """Give the candidates' unknown columns the values that the table has; NULL to rows that are new."""
    if not unknown:
        return rows
    present = lake.star_rows(table).where("is_current" if isinstance(table, Fact) else "NOT is_inferred")
    then = present.select(
        *keys.lookup_key(table.key), *(F.col(names.spark(name)).alias(f"_then_{name}") for name in unknown)
    )
    joined = rows.join(then, keys.matches_lookup(table.key), "left")
    return joined.select(
        *(F.col(f"_then_{name}").alias(name) if name in unknown else names.spark(name) for name in rows.columns)
    )


def _rejected(decided: DataFrame) -> DataFrame:
    """Key, reason and row of what goes to quarantine, and whether the key is NULL."""
    bad = decided.where(F.col(versions.DECISION) == versions.REJECTED)
    return bad.select(
        F.col(contract.KEY_TEXT).alias("key"),
        F.col(contract.REASON).alias("reason"),
        F.col(contract.RAW).alias("row"),
        contract.KEYLESS,
    )


def _keys(table: Dimension | Fact, driver: DataFrame, decided: DataFrame) -> DataFrame:
    """Keys that were looked at: those of the changed driver rows, and those decided gone or to be so."""
    changed = driver.select(contract.key_text(driver, table, table.from_key))
    own = F.coalesce(F.col(contract.KEY_TEXT), keys.key_text(keys.key_names(table.key)))
    return changed.unionAll(decided.select(own.alias("key")))
