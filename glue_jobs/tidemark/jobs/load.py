"""One run of the load: the lake's state beyond the warehouse's ledger, in one warehouse transaction.

Promises: exactly once by construction (data and ledger row commit together); before the commit, the present rows of
every star table agree between source, lake and warehouse, or nothing is committed.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tidemark.base.errors import WarehouseError
from tidemark.base.giving_way import try_again
from tidemark.base.metrics import FRESHNESS, Metrics
from tidemark.lake.reader import LakeReader
from tidemark.warehouse.delta import Scope, scope_of
from tidemark.warehouse.reconcile import reconcile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemark.lake.batches import Run
    from tidemark.landing.area import Landing
    from tidemark.model.definition import Model
    from tidemark.warehouse.protocol import LoadTransaction, Warehouse

_log = logging.getLogger("tidemark.load")


def load(model: Model, landing: Landing, processed_uri: str, warehouse: Warehouse, metrics: Metrics) -> int:
    """Bring the warehouse to the lake's newest run, then remove the pending markers; return that run's seq.

    Raises
    ------
    WarehouseError
        If the warehouse cannot be written or does not belong to this lake, or the model was changed since the run.
    ReconcileError
        If source, lake and warehouse disagree; nothing was committed.
    GaveWayError
        If somebody waited for the load's locks, time after time.
    """
    lake = LakeReader(model, processed_uri)
    runs = lake.runs(f"seq >= {landing.published():d}")
    if not runs:
        _log.info("nothing to load: the lake has no run yet")
        return 0
    run = runs[-1]
    try_again(lambda: _load_run(model, lake, landing, runs, warehouse))
    landing.publish(run.seq)
    metrics.age(FRESHNESS, run.cut_time)
    return run.seq


def _load_run(model: Model, lake: LakeReader, landing: Landing, runs: Sequence[Run], warehouse: Warehouse) -> None:
    run = runs[-1]
    with warehouse.load() as transaction:
        after = transaction.ledger_seq(run.lake_id)
        if after > run.seq:
            raise WarehouseError(
                f"the warehouse is at run {after}, ahead of the lake at run {run.seq}",
                expected="a lake that is never set back",
                do="restore the lake's bucket, or drop the schema and its rows in etl.load_ledger to load anew",
            )
        if after == run.seq:
            _log.info("the warehouse is at run %d already", after)
            return
        _refuse_another_model(model, run)
        if 0 < after < runs[0].seq:  # another warehouse than the one that was loaded last
            runs = lake.runs(f"seq >= {after:d}")
        scope = scope_of(model, lake, runs, after, transaction.evolve())
        written = _merge(model, lake, run, scope, transaction)
        reconcile(model, lake, run, landing.read(run.seq), scope.changed, transaction)
        transaction.record(run, after, written)


def _refuse_another_model(model: Model, run: Run) -> None:
    if run.model_digest != model.digest:
        raise WarehouseError(
            f"run {run.seq} of the lake was made with another model than this one, which was changed since",
            expected=f"digest {run.model_digest[:12]}, found {model.digest[:12]}",
            do="nothing: the next tick applies the new model; nothing was committed",
        )


def _merge(model: Model, lake: LakeReader, run: Run, scope: Scope, transaction: LoadTransaction) -> dict[str, int]:
    """Merge calendar, dimensions, then facts: an order in which every foreign key holds."""
    written: dict[str, int] = {}
    if model.date_dimension:
        days = scope.delta(lake, model.date_dimension, run)
        if days is not None:
            written[model.date_dimension] = transaction.merge_dates(model.date_dimension, days)
    for dimension in model.dimensions.values():
        rows = scope.delta(lake, dimension.name, run)
        if rows is not None:
            written[dimension.name] = transaction.merge_dimension(dimension, rows)
    for fact in model.facts.values():
        rows = scope.delta(lake, fact.name, run)
        if rows is not None:
            filled = fact.name in scope.whole - scope.created
            written[fact.name] = transaction.merge_fact(fact, rows, filled=filled)
    for name, count in written.items():
        _log.info("%-22s %7d rows written", name, count)
    return written
