"""One run of the transform: pending manifests, in order, into mirrors, dimensions, facts and the run ledger.

The way of a manifest: mirrors; dimensions and facts; members that the facts need; quarantine; ``etl_runs``. The row in
``etl_runs`` is the commit: it names the Iceberg snapshot of every star table, and the load reads exactly those.
Promises: manifests are applied strictly in order; a run starts from the very snapshots that the last one named,
whatever a run that was killed, perhaps under another model, has left; so it is simply done again.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812

from tidemark.base.errors import LandingError
from tidemark.base.metrics import ROWS_CHANGED, ROWS_QUARANTINED, Metrics
from tidemark.base.spark import spark_session
from tidemark.lake import mirror
from tidemark.lake.batches import BEFORE_FIRST, COLUMNS, Run
from tidemark.lake.reader import LakeReader
from tidemark.lake.tables import DIMENSION_COLUMNS, FACT_COLUMNS, Lake
from tidemark.model.definition import Dimension, Fact
from tidemark.star import inferred_members as members
from tidemark.star import quarantine
from tidemark.star import refresh as star_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pyspark.sql import DataFrame

    from tidemark.lake.mirror import MirrorChange
    from tidemark.landing.area import Landing, Manifest
    from tidemark.model.definition import Model
    from tidemark.star.refresh import StarChange

CONCURRENT_COMMITS = 4
_log = logging.getLogger("tidemark.transform")


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
        reading = meanwhile.submit(LakeReader(model, processed_uri).last_run, landing.published())
        lake = Lake(spark_session("tidemark-transform", processed_uri), model)
        last = reading.result() or BEFORE_FIRST
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


def _set_back(lake: Lake, last: Run) -> None:
    """Undo what a run that died has left beyond the last one's end: rows, tables that no run has named, columns."""
    star = {table.name for table in lake.model.star_tables}
    unnamed = {*lake.model.star_names, quarantine.TABLE} - set(last.snapshots)
    names = sorted(unnamed | set(last.snapshots))

    def undo(name: str) -> bool:
        if name in unnamed:
            return lake.drop(lake.star(name))
        held = last.columns.get(name)
        if name in star and held is not None:
            own = {*FACT_COLUMNS, *DIMENSION_COLUMNS, *_partition(lake, name)}
            lake.drop_columns_but(lake.star(name), {*held, *own})
        return lake.set_back(lake.star(name), last.snapshots[name])

    for name in [name for name, undone in zip(names, _each(names, undo), strict=True) if undone]:
        _log.info("%-22s set back to run %d: a later one died", name, last.seq)


def _partition(lake: Lake, name: str) -> list[str]:
    fact = lake.model.facts.get(name)
    return [fact.partition_by] if fact and fact.partition_by else []


def _apply(lake: Lake, manifest: Manifest, last: Run, run_id: str, metrics: Metrics) -> Run:
    model_changed = last.model_digest != lake.model.digest
    if model_changed:
        lake.create_databases()
        for name in lake.model.tables:
            mirror.ensure(lake, name, manifest)
    mirrored = _apply_to_mirrors(lake, manifest)
    changes = _apply_to_stars(lake, manifest, mirrored, model_changed, last)
    added = members.complete(lake, _opened(lake, changes, model_changed), manifest.seq)
    quarantined = quarantine.record(lake, changes, manifest.seq, last.open_quarantine)
    run = Run(
        seq=manifest.seq,
        run_id=run_id,
        lake_id=manifest.lake_id,
        model_digest=lake.model.digest,
        cut_time=datetime.fromisoformat(manifest.cut.time),
        applied_at=datetime.now(UTC),
        changes={name: change.done for name, change in changes.items()},
        inferred_members=added,
        held_back=quarantine.held_back(lake) if quarantined else {},
        open_quarantine=sum(quarantined.values()),
        snapshots=_snapshots(lake, last),
        columns=_columns(lake, changes, last, manifest.seq),
    )
    _commit_run(lake, run)
    metrics.rows(ROWS_CHANGED, {name: change.written for name, change in run.changes.items()})
    metrics.rows(ROWS_QUARANTINED, {**{table.name: 0 for table in lake.model.star_tables}, **quarantined})
    _log.info("applied manifest %d", manifest.seq)
    return run


def _apply_to_mirrors(lake: Lake, manifest: Manifest) -> dict[str, MirrorChange]:
    """Mirror all that was landed, also what this model does not have: the one that comes next may."""
    changed = [name for name in manifest.tables if manifest.changed(name)]
    mirrored = dict(zip(changed, _each(changed, lambda name: mirror.apply(lake, name, manifest)), strict=True))
    for name, change in mirrored.items():
        _log.info("%-22s %7d written, %d deleted", f"mirror {name}", change.written, change.deleted)
    return mirrored


def _apply_to_stars(
    lake: Lake, manifest: Manifest, mirrored: Mapping[str, MirrorChange], model_changed: bool, last: Run
) -> dict[str, StarChange]:
    touched = [t for t in lake.model.star_tables if star_tables.is_touched(lake, t, manifest, model_changed)]

    def refresh(table: Dimension | Fact) -> StarChange:
        return star_tables.refresh(lake, table, manifest, mirrored, model_changed, _fresh(table, last))

    changes = {table.name: change for table, change in zip(touched, _each(touched, refresh), strict=True)}
    for name, change in changes.items():
        _log.info("%-22s %s", name, change.done.words or "as before")
        if change.done.ahead:
            _log.warning(
                "%-22s %d new versions say that they changed after the cut, they begin at it: "
                "see time_zone in source.yml, and the clock of whatever writes them",
                name,
                change.done.ahead,
            )
        if change.unknown:
            unknown = ", ".join(sorted(change.unknown))
            _log.info("%-22s manifest %d is older than the model, as before: %s", name, manifest.seq, unknown)
    return changes


def _fresh(table: Dimension | Fact, last: Run) -> dict[str, int]:
    """Columns of a star table that were not held at the last run, and the run after which they last were (0: none)."""
    held = last.columns.get(table.name)
    if held is None:
        return {}
    seqs = {column.name: held.get(column.name, 0) for column in table.columns}
    return {name: seq for name, seq in seqs.items() if seq != last.seq}


def _columns(lake: Lake, changes: Mapping[str, StarChange], last: Run, seq: int) -> dict[str, dict[str, int]]:
    """Return the run's ``columns``, also of tables that were taken out of the model."""
    tables = {table.name: table for table in lake.model.star_tables}
    away = [name for name in last.columns if name not in tables and lake.exists(lake.star(name))]
    result = {name: dict(last.columns.get(name, {})) for name in (*tables, *away)}
    for name, table in tables.items():
        before = result[name]
        if name in changes:
            known = {column.name for column in table.columns} - changes[name].unknown
        else:
            known = {column.name for column in table.columns if before.get(column.name) == last.seq}
        result[name] = before | dict.fromkeys(known, seq)
    return result


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


def _snapshots(lake: Lake, last: Run) -> dict[str, int | None]:
    """Return the present snapshots of all tables that the load or the next run starts from.

    Tables that were taken out of the model stay as they are, until somebody drops them.
    """
    written = sorted({*lake.model.star_names, quarantine.TABLE, *last.snapshots})
    present = [name for name in written if lake.exists(lake.star(name))]
    return dict(zip(present, _each(present, lambda name: lake.snapshot_id(lake.star(name))), strict=True))


def _commit_run(lake: Lake, run: Run) -> None:
    """Append the run's row: from now on the load may read this state."""
    row = run.to_row()
    columns = [F.lit(_literal(row[name])).cast(kind).alias(name) for name, (kind, _) in COLUMNS.items()]
    lake.append(lake.spark.range(1).select(*columns), lake.ensure_runs())


def _literal(value: Any) -> Any:
    """Return a value as Spark's literal casts it, whatever this process' time zone is."""
    return value.isoformat() if isinstance(value, datetime) else value
