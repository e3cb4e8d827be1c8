"""Counts of source, lake and warehouse, before a load commits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemark.base.errors import ReconcileError

if TYPE_CHECKING:
    from tidemark.lake.reader import LakeReader
    from tidemark.landing.manifest import Manifest
    from tidemark.model.definition import Model
    from tidemark.warehouse.protocol import LakeDelta, WarehouseLoad


def reconcile(model: Model, lake: LakeReader, delta: LakeDelta, manifest: Manifest, load: WarehouseLoad) -> None:
    """Compare present rows; a lake table still as at the last load was counted then and is not read again.

    A table that the batch skipped, or of whose driver its manifest does not know, waits for the source's next cut.

    Raises
    ------
    ReconcileError
        Naming the tables in which they differ.
    """
    applied, changed = delta.applied, set(delta.tables())
    differing = []
    for table in model.star_tables:
        here = load.present_rows(table)
        there = lake.present_rows(table, applied) if table.name in changed else here
        held = applied.quarantined_rows.get(table.name, 0)
        driver = manifest.tables.get(table.driver)
        change = applied.changes.get(table.name)
        waits = driver is None or (change is not None and change.status == "skipped")
        source = driver.count if driver and not table.filtered and not waits else there + held
        if not here == there == source - held:
            differing.append(f"{table.name}: source {source} less {held} held back, lake {there}, warehouse {here}")
    if differing:
        raise ReconcileError(
            f"batch {applied.batch} does not reconcile: {'; '.join(differing)}",
            expected="equal present rows in all three",
            do="nothing was committed; look at the quarantine and run a full compare (input full_compare = true)",
        )
