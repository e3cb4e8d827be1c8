"""One run of the load: the lake's state beyond the warehouse's ledger, in one warehouse transaction.

Promises: exactly once by construction (data and ledger row commit together); before the commit, the present rows of
every star table agree between source, lake and warehouse, or nothing is committed. Tables that were not touched are
counted again after a full compare, once a night; in between, what was counted last is carried on.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING

from tidemark.base.giving_way import try_again
from tidemark.base.memory import Work
from tidemark.base.metrics import FRESHNESS, Metrics
from tidemark.base.progress import counted
from tidemark.lake.reader import LakeReader
from tidemark.warehouse.delta import StarDelta
from tidemark.warehouse.reconcile import reconcile
from tidemark.warehouse.refusals import ahead_of_the_lake, made_with_another_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemark.lake.batches import AppliedBatch
    from tidemark.landing.area import Landing
    from tidemark.landing.manifest import Manifest
    from tidemark.model.definition import Model
    from tidemark.warehouse.protocol import LakeDelta, Rows, Warehouse, WarehouseLoad

_log = logging.getLogger("tidemark.load")


def load(model: Model, landing: Landing, processed_uri: str, warehouse: Warehouse, metrics: Metrics) -> int:
    """Bring the warehouse to the lake's newest batch, then remove the pending markers; return it.

    Raises
    ------
    WarehouseError
        If the warehouse cannot be written or does not belong to this lake, or the model was changed since that batch.
    ReconcileError
        If source, lake and warehouse disagree; nothing was committed.
    MemoryShortError
        If memory ran out.
    GaveWayError
        If somebody waited for the load's locks, time after time.
    """
    lake = LakeReader(model, processed_uri)
    batches = lake.batches(f"batch >= {landing.published():d}")
    if not batches:
        _log.info("nothing to load: the lake has no batch yet")
        return 0
    applied = batches[-1]
    try_again(lambda: _load_batch(model, lake, landing, batches, warehouse))
    landing.publish(applied.batch)
    metrics.age(FRESHNESS, applied.cut_time)
    return applied.batch


def _load_batch(
    model: Model, lake: LakeReader, landing: Landing, batches: Sequence[AppliedBatch], warehouse: Warehouse
) -> None:
    applied = batches[-1]
    with warehouse.load() as transaction:
        after = transaction.loaded_through(applied.lake_id)
        if after > applied.batch:
            raise ahead_of_the_lake(after, applied, warehouse.from_scratch)
        if after == applied.batch:
            _log.info("the warehouse is at batch %d already", after)
            return
        if applied.model_digest != model.digest:
            raise made_with_another_model(applied, model)
        if 0 < after < batches[0].batch:  # another warehouse than the one that was loaded last
            batches = lake.batches(f"batch >= {after:d}")
        delta = StarDelta(model, lake, batches, after, transaction.create_or_evolve())
        written = _merge(model, delta, transaction)
        manifest = landing.read(applied.batch)
        count_all = _are_all_counted(delta.before, manifest)
        transaction.record(delta, written, reconcile(model, lake, delta, manifest, transaction, count_all))


def _are_all_counted(before: AppliedBatch | None, manifest: Manifest) -> bool:
    """Whether to count all tables: each of them was compared since the last load, or that is not known."""
    return before is None or datetime.fromisoformat(manifest.full_compare_at) > before.cut_time


def _merge(model: Model, delta: LakeDelta, transaction: WarehouseLoad) -> dict[str, int]:
    """Merge what the warehouse lacks; return the rows written per table."""
    written: dict[str, int] = {}
    for name in counted("warehouse", delta.tables()):
        with Work("load").on(name):
            rows = delta.rows(name)
            if rows is not None:
                written[name] = _merge_rows(model, delta, transaction, name, rows)
    for name, count in written.items():
        _log.info("%-22s %7d rows written", name, count)
    return written


def _merge_rows(model: Model, delta: LakeDelta, transaction: WarehouseLoad, name: str, rows: Rows) -> int:
    """Merge the rows of one table; return how many were written."""
    if name in model.facts:
        return transaction.merge_fact(model.facts[name], rows, backfill=delta.is_backfill(name))
    if name in model.dimensions:
        return transaction.merge_dimension(model.dimensions[name], rows)
    return transaction.merge_calendar(name, rows)
