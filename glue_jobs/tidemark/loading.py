"""One run of the load: the lake's state beyond the warehouse's ledger, in one warehouse transaction.

Promises: exactly once by construction (data and ledger row commit together); before the commit, the present rows of
every star table agree between source, lake and warehouse, or nothing is committed.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tidemark.errors import ReconcileError, WarehouseError
from tidemark.lake_reader import LakeReader
from tidemark.metrics import FRESHNESS, Metrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tidemark.lake_reader import Run
    from tidemark.landing import Landing, Manifest
    from tidemark.model import Model
    from tidemark.warehouse import LoadTransaction, Warehouse

_log = logging.getLogger("tidemark.load")


def load(model: Model, landing: Landing, processed_uri: str, warehouse: Warehouse, metrics: Metrics) -> int:
    """Bring the warehouse to the lake's newest run, then remove the pending markers; return that run's seq.

    Raises
    ------
    WarehouseError
        If the warehouse cannot be written or does not belong to this lake.
    ReconcileError
        If source, lake and warehouse disagree; nothing was committed.
    """
    lake = LakeReader(model, processed_uri)
    run = lake.last_run(landing.published())
    if run is None:
        _log.info("nothing to load: the lake has no run yet")
        return 0
    with warehouse.load() as transaction:
        after = transaction.ledger_seq(run.lake_id)
        if after > run.seq:
            raise WarehouseError(
                f"the warehouse is at run {after}, ahead of the lake at run {run.seq}",
                expected="a lake that is never set back",
                do="restore the lake's bucket, or drop the schema and its rows in etl.load_ledger to load anew",
            )
        if after < run.seq:
            grown = transaction.evolve()
            changed = lake.changed(run, after)
            written = _merge(model, lake, run, after, changed, transaction, grown)
            _reconcile(model, lake, run, landing.read(run.seq), changed, transaction)
            transaction.record(run, after, written)
    if after == run.seq:
        _log.info("the warehouse is at run %d already", after)
    landing.publish(run.seq)
    metrics.age(FRESHNESS, run.cut_time)
    return run.seq


def _merge(
    model: Model,
    lake: LakeReader,
    run: Run,
    after: int,
    changed: set[str],
    transaction: LoadTransaction,
    grown: Mapping[str, Sequence[str]],
) -> dict[str, int]:
    """Merge calendar, dimensions, then facts: an order in which every foreign key holds.

    A fact that has just got columns (``grown``) is read whole: they may be filled in on versions loaded long ago.
    """
    written: dict[str, int] = {}
    if model.date_dimension in changed:
        days = lake.delta(model.date_dimension, run, after)
        if days is not None:
            written[model.date_dimension] = transaction.merge_dates(model.date_dimension, days)
    for dimension in model.dimensions.values():
        rows = lake.delta(dimension.name, run, after) if dimension.name in changed else None
        if rows is not None:
            written[dimension.name] = transaction.merge_dimension(dimension, rows)
    for fact in model.facts.values():
        fresh = grown.get(fact.name, ())
        rows = lake.delta(fact.name, run, 0 if fresh else after) if fact.name in changed else None
        if rows is not None:
            written[fact.name] = transaction.merge_fact(fact, rows, fresh)
    for name, count in written.items():
        _log.info("%-22s %7d rows written", name, count)
    return written


def _reconcile(
    model: Model, lake: LakeReader, run: Run, manifest: Manifest, changed: set[str], transaction: LoadTransaction
) -> None:
    """Compare present rows; a lake table still as at the last load was counted then and is not read again."""
    differing = []
    for table in model.star_tables:
        here = transaction.current_rows(table)
        there = lake.current_rows(table, run) if table.name in changed else here
        held = run.held_back.get(table.name, 0)
        source = manifest.tables[table.driver].count if table.complete else there + held
        if not here == there == source - held:
            differing.append(f"{table.name}: source {source} less {held} held back, lake {there}, warehouse {here}")
    if differing:
        raise ReconcileError(
            f"run {run.seq} does not reconcile: {'; '.join(differing)}",
            expected="equal present rows in all three",
            do="nothing was committed; look at the quarantine and run a full compare (input full_compare = true)",
        )
