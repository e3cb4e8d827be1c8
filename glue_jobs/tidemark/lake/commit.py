"""The batch's row: what makes a batch part of the lake."""

from __future__ import annotations

import pyarrow as pa

from tidemark.base.concurrency import concurrently
from tidemark.lake.batches import AppliedBatch
from tidemark.lake.tables import Lake
from tidemark.model.added_columns import QUARANTINE


def present_snapshots(lake: Lake, last: AppliedBatch) -> dict[str, int | None]:
    """Return the present snapshots of all tables that the load or the next batch starts from.

    Tables that were taken out of the model stay as they are, until somebody drops them.
    """
    written = sorted({*lake.model.star_names, QUARANTINE, *last.snapshots})
    present = [name for name in written if lake.exists(lake.star(name))]
    return dict(zip(present, concurrently(present, lambda name: lake.snapshot_id(lake.star(name))), strict=True))


def commit_batch(lake: Lake, applied: AppliedBatch) -> None:
    """Append the batch's row: from now on the load may read this state."""
    lake.append_rows(pa.Table.from_pylist([applied.to_row()]), lake.ensure_batches())
