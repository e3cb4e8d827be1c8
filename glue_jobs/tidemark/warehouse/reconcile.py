"""Counts of source, lake and warehouse, before a load commits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemark.base.errors import ReconcileError

if TYPE_CHECKING:
    from tidemark.lake.reader import LakeReader
    from tidemark.landing.manifest import Manifest
    from tidemark.model.definition import Model
    from tidemark.warehouse.protocol import LakeDelta, WarehouseLoad


def reconcile(
    model: Model,
    lake: LakeReader,
    delta: LakeDelta,
    manifest: Manifest,
    load: WarehouseLoad,
    count_all: bool,
) -> dict[str, int]:
    """Compare present rows; return those of the warehouse, per star table.

    A table that is in the lake as it was at the last load was counted then: it is read in neither. One that the batch
    skipped, or of whose driver its manifest does not know, waits for the source's next cut.

    Parameters
    ----------
    count_all
        Whether to count the warehouse's rows also where the last load knew how many they were.

    Raises
    ------
    ReconcileError
        Naming the tables in which they differ.
    """
    applied, changed, known = delta.applied, set(delta.tables()), load.last_counts()
    present: dict[str, int] = {}
    differing = []
    for table in model.star_tables:
        carried = None if table.name in changed else known.get(table.name)
        here = present[table.name] = load.present_rows(table) if carried is None or count_all else carried
        there = lake.present_rows(table, applied) if table.name in changed else known.get(table.name, here)
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
    return present
