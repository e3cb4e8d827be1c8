"""The batch's row: what makes a batch part of the lake."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from tidemark.base.concurrency import by_item
from tidemark.lake.batches import AppliedBatch
from tidemark.lake.tables import Lake
from tidemark.model.added_columns import QUARANTINE

if TYPE_CHECKING:
    from collections.abc import Collection


def present_snapshots(lake: Lake, last: AppliedBatch, touched: Collection[str] | None) -> dict[str, int | None]:
    """Return the snapshots of all tables that the load or the next batch starts from.

    Tables that were taken out of the model stay as they are, until somebody drops them.

    Parameters
    ----------
    touched
        The tables that may have been written since ``last``: others have the snapshot that they had. None: all of them,
        as after a compaction, which makes a snapshot that no batch has named.
    """
    named = sorted({*lake.model.star_names, QUARANTINE, *last.snapshots})
    present = [name for name in named if lake.exists(lake.star(name))]
    kept = set() if touched is None else last.snapshots.keys() - {*touched, QUARANTINE}
    asked = [name for name in present if name not in kept]
    found: dict[str, int | None] = by_item(asked, lambda name: lake.snapshot_id(lake.star(name)))
    return {name: found[name] if name in found else last.snapshots[name] for name in present}


def commit_batch(lake: Lake, applied: AppliedBatch) -> None:
    """Append the batch's row: from now on the load may read this state."""
    lake.append_rows(pa.Table.from_pylist([applied.to_row()]), lake.ensure_batches())
