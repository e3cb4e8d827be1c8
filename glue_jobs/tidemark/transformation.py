"""One run of the transform: pending manifests, in order, into mirrors, dimensions, facts and the run ledger.

The way of a manifest: mirrors; dimensions and facts; members that the facts need; quarantine; ``etl_runs``. The row in
``etl_runs`` is the commit: it names the Iceberg snapshot of every star table, and the load reads exactly those.
Promises: manifests are applied strictly in order; a run starts from the very snapshots that the last one named,
whatever a run that was killed, perhaps under another model, has left; so it is simply done again.
"""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812

from tidemark import members, mirror, quarantine, star_tables, versions
from tidemark.errors import LandingError
from tidemark.lake import DIMENSION_COLUMNS, FACT_COLUMNS, RUN_COLUMNS, Lake
from tidemark.lake_reader import LakeReader
from tidemark.metrics import ROWS_CHANGED, ROWS_QUARANTINED, Metrics
from tidemark.model import Dimension, Fact
from tidemark.session import spark_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pyspark.sql import DataFrame

    from tidemark.landing import Landing, Manifest
    from tidemark.mirror import MirrorChange
    from tidemark.model import Model
    from tidemark.star_tables import StarChange

CONCURRENT_COMMITS = 4
_log = logging.getLogger("tidemark.transform")


@dataclass(frozen=True)
class LastRun:
    """The newest row of ``etl_runs``; all empty before the first."""

    seq: int = 0
    lake_id: str = ""
    model_digest: str = ""
    open_quarantine: int = 0
    snapshots: dict[str, int | None] = field(default_factory=dict)
    columns: dict[str, dict[str, int]] | None = field(default_factory=dict)


def transform(model: Model, landing: Landing, processed_uri: str, run_id: str, metrics: Metrics) -> list[int]:
    """Apply all pending manifests; return their seqs.

    Raises
    ------
    ModelError
        If a star table's SQL does not fit its declaration.
    LandingError
        If manifests are missing, or belong to another lake.
    """
    with ThreadPoolExecutor(1) as meanwhile:  # Spark takes seconds to start
        reading = meanwhile.submit(last_run, LakeReader(model, processed_uri), landing.published())
        lake = Lake(spark_session("tidemark-transform", processed_uri), model)
        last = reading.result()
    applied: list[int] = []
    for seq in landing.after(last.seq):
        manifest = landing.read(seq)
        if last.lake_id and last.lake_id != manifest.lake_id:
            raise LandingError(
                f"manifest {seq} in {landing.uri} belongs to another landing area than the lake at {processed_uri}",
                expected=f"lake id {last.lake_id}",
                do="give every landing area its own processed bucket or prefix",
            )
        if not applied:
            _set_back(lake, last)
        last = _apply(lake, manifest, last, run_id, metrics)
        applied.append(seq)
    if not applied:
        _log.info("nothing to apply: the lake is at manifest %d", last.seq)
    return applied


def last_run(reader: LakeReader, at_least: int) -> LastRun:
    """Read how far the lake is; ``at_least`` is a seq known to be applied, to skip older files."""
    run = reader.last_run(at_least)
    if run is None:
        return LastRun()
    return LastRun(run.seq, run.lake_id, run.model_digest, run.open_quarantine, run.snapshots, run.columns)


def _set_back(lake: Lake, last: LastRun) -> None:
    """Undo what a run that died has left beyond the last one's end: rows, tables that no run has named, columns.

    A run of an old version (``columns`` is None) does not say all that it left: there, only rows are undone.
    """
    star = {table.name for table in lake.model.star_tables}
    unnamed = set() if last.columns is None else {*lake.model.star_names, quarantine.TABLE} - set(last.snapshots)
    names = sorted(unnamed | set(last.snapshots))

    def undo(name: str) -> bool:
        if name in unnamed:
            return lake.drop(lake.star(name))
        held = (last.columns or {}).get(name)
        if name in star and held is not None:
            own = {*FACT_COLUMNS, *DIMENSION_COLUMNS, *_partition(lake, name)}
            lake.drop_columns_but(lake.star(name), {*held, *own})
        return lake.set_back(lake.star(name), last.snapshots[name])

    for name in [name for name, undone in zip(names, _each(names, undo), strict=True) if undone]:
        _log.info("%-22s set back to run %d: a later one died", name, last.seq)


def _partition(lake: Lake, name: str) -> list[str]:
    fact = lake.model.facts.get(name)
    return [fact.partition_by] if fact and fact.partition_by else []


def _apply(lake: Lake, manifest: Manifest, last: LastRun, run_id: str, metrics: Metrics) -> LastRun:
    model_changed = last.model_digest != lake.model.digest
    if model_changed:
        lake.create_databases()
        for name in lake.model.tables:
            mirror.ensure(lake, name, manifest)
    mirrored = _apply_to_mirrors(lake, manifest)
    changes = _apply_to_stars(lake, manifest, mirrored, model_changed, last)
    added = members.complete(lake, _opened(lake, changes, model_changed), manifest.seq)
    quarantined = quarantine.record(lake, changes, manifest.seq, last.open_quarantine)
    run = LastRun(
        manifest.seq,
        manifest.lake_id,
        lake.model.digest,
        sum(quarantined.values()),
        _snapshots(lake, last),
        _columns(lake, changes, last, manifest.seq),
    )
    counts = {**{name: change.counts for name, change in changes.items()}, "members": added}
    _commit_run(lake, manifest, run_id, run, counts)
    metrics.rows(ROWS_CHANGED, {name: _written(change) for name, change in changes.items()})
    metrics.rows(ROWS_QUARANTINED, {**{table.name: 0 for table in lake.model.star_tables}, **quarantined})
    _log.info("applied manifest %d", manifest.seq)
    return run


def _apply_to_mirrors(lake: Lake, manifest: Manifest) -> dict[str, MirrorChange]:
    """Mirror all that was landed, also what this model does not have: the one that comes next may."""
    known = {name for name, entry in manifest.tables.items() if entry.key or name in lake.model.tables}
    changed = [name for name in manifest.tables if manifest.changed(name) and name in known]
    mirrored = dict(zip(changed, _each(changed, lambda name: mirror.apply(lake, name, manifest)), strict=True))
    for name, change in mirrored.items():
        _log.info("%-22s %7d written, %d deleted", f"mirror {name}", change.written, change.deleted)
    return mirrored


def _apply_to_stars(
    lake: Lake, manifest: Manifest, mirrored: Mapping[str, MirrorChange], model_changed: bool, last: LastRun
) -> dict[str, StarChange]:
    touched = [t for t in lake.model.star_tables if star_tables.is_touched(lake, t, manifest, model_changed)]

    def refresh(table: Dimension | Fact) -> StarChange:
        return star_tables.refresh(lake, table, manifest, mirrored, model_changed, _fresh(lake, table, last))

    changes = {table.name: change for table, change in zip(touched, _each(touched, refresh), strict=True)}
    for name, change in changes.items():
        counts = ", ".join(f"{n} {kind}" for kind, n in sorted(change.counts.items())) or "as before"
        _log.info("%-22s %s", name, counts)
        if ahead := change.counts.get(versions.AHEAD):
            _log.warning(
                "%-22s %d new versions say that they changed after the cut, they begin at it: "
                "see time_zone in source.yml, and the clock of whatever writes them",
                name,
                ahead,
            )
        if change.unknown:
            unknown = ", ".join(sorted(change.unknown))
            _log.info("%-22s manifest %d is older than the model, as before: %s", name, manifest.seq, unknown)
    return changes


def _held(lake: Lake, name: str, last: LastRun) -> dict[str, int] | None:
    """Columns of a star table, and the last run after which each held what its SQL says; None if there is no table."""
    snapshot = last.snapshots.get(name)
    if last.columns is not None:
        return last.columns.get(name)
    if snapshot is None or not lake.exists(lake.star(name)):
        return None
    return dict.fromkeys(lake.columns_at(lake.star(name), snapshot), last.seq)  # the run of an old version


def _fresh(lake: Lake, table: Dimension | Fact, last: LastRun) -> dict[str, int]:
    """Columns of a star table that were not held at the last run, and the run after which they last were (0: none)."""
    held = _held(lake, table.name, last)
    if held is None:
        return {}
    seqs = {column.name: held.get(column.name, 0) for column in table.columns}
    return {name: seq for name, seq in seqs.items() if seq != last.seq}


def _columns(lake: Lake, changes: Mapping[str, StarChange], last: LastRun, seq: int) -> dict[str, dict[str, int]]:
    """Return what :func:`_held` is to say after this run, also of tables that were taken out of the model."""
    tables = {table.name: table for table in lake.model.star_tables}
    away = [name for name in last.columns or () if name not in tables and lake.exists(lake.star(name))]
    result = {name: _held(lake, name, last) or {} for name in (*tables, *away)}
    for name, table in tables.items():
        before = result[name]
        if name in changes:
            known = {column.name for column in table.columns} - changes[name].unknown
        else:
            known = {column.name for column in table.columns if before.get(column.name) == last.seq}
        result[name] = before | dict.fromkeys(known, seq)
    return result


def _written(change: StarChange) -> int:
    return sum(count for kind, count in change.counts.items() if kind in star_tables.WRITES)


def _opened(lake: Lake, changes: dict[str, StarChange], model_changed: bool) -> dict[str, DataFrame]:
    """New versions of every fact; all versions if the model may have made references of columns that were none."""
    if model_changed:
        there = [name for name in lake.model.facts if not lake.is_empty(lake.star(name))]
        return {name: lake.spark.table(lake.star(name)) for name in there}
    return {name: change.opened for name, change in changes.items() if change.opened is not None}


def _each(items: Iterable[Any], work: Callable[[Any], Any]) -> list[Any]:
    """Do independent commits a few at a time, results in order."""
    with ThreadPoolExecutor(CONCURRENT_COMMITS) as pool:
        return list(pool.map(work, items))


def _snapshots(lake: Lake, last: LastRun) -> dict[str, int | None]:
    """Return the present snapshots of all tables that the load or the next run starts from.

    Tables that were taken out of the model stay as they are, until somebody drops them.
    """
    written = sorted({*lake.model.star_names, quarantine.TABLE, *last.snapshots})
    present = [name for name in written if lake.exists(lake.star(name))]
    return dict(zip(present, _each(present, lambda name: lake.snapshot_id(lake.star(name))), strict=True))


def _commit_run(
    lake: Lake, manifest: Manifest, run_id: str, run: LastRun, counts: Mapping[str, Mapping[str, int]]
) -> None:
    """Append the run's row: from now on the load may read this state."""
    values = {
        "seq": run.seq,
        "run_id": run_id,
        "lake_id": run.lake_id,
        "model_digest": run.model_digest,
        "cut_time": manifest.cut.time,
        "applied_at": None,
        "changes": json.dumps(counts),
        "held_back": json.dumps(quarantine.held_back(lake) if run.open_quarantine else {}),
        "open_quarantine": run.open_quarantine,
        "snapshots": json.dumps(run.snapshots),
        "columns": json.dumps(run.columns),
    }
    columns = [
        (F.current_timestamp() if name == "applied_at" else F.lit(values[name]).cast(kind)).alias(name)
        for name, (kind, _) in RUN_COLUMNS.items()
    ]
    lake.append(lake.spark.range(1).select(*columns), lake.ensure_runs())
