"""One run of the load: the lake's state beyond the warehouse's ledger, in one warehouse transaction.

Promises: exactly once by construction (data and ledger row commit together); before the commit, the present rows of
every star table agree between source, lake and warehouse, or nothing is committed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemark.base.errors import ReconcileError, WarehouseError
from tidemark.base.giving_way import try_again
from tidemark.base.metrics import FRESHNESS, Metrics
from tidemark.lake.reader import LakeReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from tidemark.lake.batches import Run
    from tidemark.landing.area import Landing, Manifest
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
        scope = _scope(model, lake, runs, after, transaction.evolve())
        written = _merge(model, lake, run, scope, transaction)
        _reconcile(model, lake, run, landing.read(run.seq), scope.changed, transaction)
        transaction.record(run, after, written)


def _refuse_another_model(model: Model, run: Run) -> None:
    if run.model_digest != model.digest:
        raise WarehouseError(
            f"run {run.seq} of the lake was made with another model than this one, which was changed since",
            expected=f"digest {run.model_digest[:12]}, found {model.digest[:12]}",
            do="nothing: the next tick applies the new model; nothing was committed",
        )


@dataclass(frozen=True)
class _Scope:
    """What the warehouse may lack of the lake: all beyond run ``after``, and some tables as a whole.

    ``whole`` is part of ``changed``; ``created`` are the tables in which the warehouse has no rows.
    """

    after: int
    changed: set[str]
    whole: set[str]
    created: frozenset[str]

    def delta(self, lake: LakeReader, name: str, run: Run) -> pa.Table | None:
        """Rows of a star table that the warehouse may lack, or None."""
        return lake.delta(name, run, 0 if name in self.whole else self.after) if name in self.changed else None


def _scope(model: Model, lake: LakeReader, runs: Sequence[Run], after: int, created: frozenset[str]) -> _Scope:
    """Say what has to be read, given the lake's runs from ``after`` on.

    A table is read whole if seqs do not tell what the warehouse lacks of it: it is new there; the model that was loaded
    last did not have it, so that earlier runs may never have been loaded; versions written long ago were filled in.
    """
    run = runs[-1]
    before = next((former for former in runs if former.seq == after), None)
    if before is None:
        whole = set(model.star_names)
        return _Scope(after, whole, whole, created)
    later = [former for former in runs if former.seq > after]
    filled = {name for one in later for name, change in one.changes.items() if change.backfilled}
    whole = {*created, *(fact for fact in model.facts if fact in filled)}
    whole |= {table.name for table in model.star_tables if after not in before.columns.get(table.name, {}).values()}
    if model.date_dimension and before.model_digest != run.model_digest:
        whole.add(model.date_dimension)
    return _Scope(after, lake.changed(run, before) | whole, whole, created)


def _merge(model: Model, lake: LakeReader, run: Run, scope: _Scope, transaction: LoadTransaction) -> dict[str, int]:
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


def _reconcile(
    model: Model, lake: LakeReader, run: Run, manifest: Manifest, changed: set[str], transaction: LoadTransaction
) -> None:
    """Compare present rows; a lake table still as at the last load was counted then and is not read again.

    A table that the run skipped, or of whose driver its manifest does not know, waits for the source's next cut.
    """
    differing = []
    for table in model.star_tables:
        here = transaction.current_rows(table)
        there = lake.current_rows(table, run) if table.name in changed else here
        held = run.held_back.get(table.name, 0)
        driver = manifest.tables.get(table.driver)
        change = run.changes.get(table.name)
        waits = driver is None or (change is not None and change.status == "skipped")
        source = driver.count if driver and table.complete and not waits else there + held
        if not here == there == source - held:
            differing.append(f"{table.name}: source {source} less {held} held back, lake {there}, warehouse {here}")
    if differing:
        raise ReconcileError(
            f"run {run.seq} does not reconcile: {'; '.join(differing)}",
            expected="equal present rows in all three",
            do="nothing was committed; look at the quarantine and run a full compare (input full_compare = true)",
        )
