"""One run of the transform: pending manifests, in order, into mirrors, dimensions, facts and the lake's ledger.

The way of a manifest: mirrors; dimensions and facts; members that the facts need; quarantine; ``etl_batches``. The row
in ``etl_batches`` is the commit: it names the Iceberg snapshot of every star table, and the load reads exactly those.
Promises: manifests are applied strictly in order; a run starts from the very snapshots that the last one named,
whatever a run that was killed, perhaps under another model, has left; so it is simply done again. Tables that neither
such a run nor the manifest touches are not looked at.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tidemark.base.concurrency import by_item, concurrently
from tidemark.base.errors import LandingError
from tidemark.base.memory import Work
from tidemark.base.metrics import ROWS_CHANGED, ROWS_QUARANTINED, Metrics
from tidemark.base.progress import Progress
from tidemark.base.spark import spark_session
from tidemark.lake import attempt, mirror
from tidemark.lake.batches import BEFORE_FIRST, AppliedBatch
from tidemark.lake.commit import commit_batch, present_snapshots
from tidemark.lake.reader import LakeReader
from tidemark.lake.rollback import roll_back
from tidemark.lake.tables import Lake
from tidemark.model.definition import Dimension, Fact
from tidemark.star import inferred_members, quarantine
from tidemark.star import refresh as star_tables
from tidemark.star.backfill import FilledThrough

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tidemark.lake.mirror import MirrorChange
    from tidemark.landing.area import Landing
    from tidemark.landing.manifest import Manifest
    from tidemark.model.definition import Model
    from tidemark.star.refresh import StarChange

_log = logging.getLogger("tidemark.transform")


def transform(model: Model, landing: Landing, processed_uri: str, execution: str, metrics: Metrics) -> list[int]:
    """Apply all pending manifests; return their numbers.

    Raises
    ------
    ModelError
        If a star table's SQL does not fit its declaration.
    LandingError
        If manifests are missing, or belong to another lake.
    MemoryShortError
        If memory ran out.
    """
    with ThreadPoolExecutor(1) as meanwhile:  # Spark takes seconds to start
        reading = meanwhile.submit(LakeReader(model, processed_uri).last_batch, landing.published())
        lake = Lake(spark_session("tidemark-transform", processed_uri), model)
        last = reading.result() or BEFORE_FIRST
    applied: list[int] = []
    for batch in landing.after(last.batch):
        manifest = landing.read(batch)
        if last.lake_id and last.lake_id != manifest.lake_id:
            raise LandingError(
                f"manifest {batch} in {landing.uri} belongs to another landing area than the lake at {processed_uri}",
                expected=f"lake id {last.lake_id}",
                do="give every landing area its own processed bucket or prefix",
            )
        if not applied:
            if _may_be_otherwise(lake, last, manifest) or not attempt.has_ended(processed_uri):
                roll_back(lake, last)
            attempt.begin(processed_uri, execution)
        with Work("transform").on(f"manifest {batch}"):
            last = _apply(lake, manifest, last, execution, metrics)
        applied.append(batch)
    if applied:
        attempt.end(processed_uri)
    else:
        _log.info("nothing to apply: the lake is at manifest %d", last.batch)
    return applied


def _may_be_otherwise(lake: Lake, last: AppliedBatch, manifest: Manifest) -> bool:
    """Whether to look at all tables although the last attempt came to its end: every night, and for another model."""
    return manifest.is_full_compare or last.model_digest != lake.model.digest


def _apply(lake: Lake, manifest: Manifest, last: AppliedBatch, execution: str, metrics: Metrics) -> AppliedBatch:
    rows = max((entry.rows for entry in manifest.tables.values()), default=0)
    lake.expect(rows, manifest.widest(table.inputs for table in lake.model.star_tables))
    filled = FilledThrough(last)
    model_changed, whole_lake = last.model_digest != lake.model.digest, _may_be_otherwise(lake, last, manifest)
    if model_changed:
        lake.create_databases()
        unchanged = [name for name in lake.model.tables if not manifest.changed(name)]
        concurrently(unchanged, lambda name: mirror.ensure(lake, name, manifest))
    mirrored = _apply_to_mirrors(lake, manifest)
    whole = quarantine.tables_with_keyless_rows(lake, last.open_quarantine)
    changes = _apply_to_stars(lake, manifest, mirrored, model_changed, whole, filled)
    new_versions = star_tables.new_versions(lake, changes, model_changed)
    added = inferred_members.add_missing(lake, new_versions, manifest.batch)
    quarantined = quarantine.record(lake, changes, manifest.batch, last.open_quarantine)
    applied = AppliedBatch(
        batch=manifest.batch,
        execution=execution,
        lake_id=manifest.lake_id,
        model_digest=lake.model.digest,
        cut_time=datetime.fromisoformat(manifest.cut.time),
        applied_at=datetime.now(UTC),
        changes={name: change.done for name, change in changes.items()},
        inferred_members=added,
        quarantined_rows=quarantine.quarantined_rows(lake, quarantined),
        open_quarantine=sum(quarantined.values()),
        snapshots=present_snapshots(lake, last, None if whole_lake else {*changes, *added}),
        columns=filled.after(
            manifest.batch,
            lake.model.star_tables,
            {name: change.unknown for name, change in changes.items()},
            _taken_out(lake, last),
        ),
    )
    commit_batch(lake, applied)
    metrics.rows(ROWS_CHANGED, {name: change.written for name, change in applied.changes.items()})
    metrics.rows(ROWS_QUARANTINED, {**{table.name: 0 for table in lake.model.star_tables}, **quarantined})
    _log.info("applied manifest %d", manifest.batch)
    return applied


def _apply_to_mirrors(lake: Lake, manifest: Manifest) -> dict[str, MirrorChange]:
    """Mirror all that was landed, also what this model does not have: the one that comes next may."""
    changed = [name for name in manifest.tables if manifest.changed(name)]
    progress, work = Progress("mirrors", len(changed)), Work("transform")

    def apply(name: str) -> MirrorChange:
        with work.on(f"mirror {name}", manifest.tables[name].widest):
            return mirror.apply(lake, name, manifest)

    mirrored: dict[str, MirrorChange] = by_item(changed, apply, progress.add_one)
    for name, change in mirrored.items():
        _log.info("%-22s %7d written, %d deleted", f"mirror {name}", change.written, change.deleted)
    return mirrored


def _apply_to_stars(
    lake: Lake,
    manifest: Manifest,
    mirrored: Mapping[str, MirrorChange],
    model_changed: bool,
    whole: Collection[str],
    filled: FilledThrough,
) -> dict[str, StarChange]:
    touched = [t for t in lake.model.star_tables if star_tables.is_touched(lake, t, manifest, model_changed)]
    work = Work("transform")

    def refresh(table: Dimension | Fact) -> StarChange:
        everything = model_changed or table.name in whole
        with work.on(table.name):
            return star_tables.refresh(lake, table, manifest, mirrored, everything, filled.missing(table))

    done = concurrently(touched, refresh, Progress("stars", len(touched)).add_one)
    changes = {table.name: change for table, change in zip(touched, done, strict=True)}
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
            _log.info("%-22s manifest %d is older than the model, as before: %s", name, manifest.batch, unknown)
    return changes


def _taken_out(lake: Lake, last: AppliedBatch) -> list[str]:
    """Return the star tables that the last batch filled, and that are not in the model, but still there."""
    modelled = {table.name for table in lake.model.star_tables}
    return [name for name in last.columns if name not in modelled and lake.exists(lake.star(name))]
