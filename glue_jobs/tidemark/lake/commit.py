"""The batch's row: what makes a batch part of the lake."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pyspark.sql import functions as F  # noqa: N812

from tidemark.lake.batches import COLUMNS, AppliedBatch
from tidemark.lake.tables import Lake, concurrently
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
    row = applied.to_row()
    columns = [F.lit(_literal(row[name])).cast(kind).alias(name) for name, (kind, _) in COLUMNS.items()]
    lake.append(lake.spark.range(1).select(*columns), lake.ensure_batches())


def _literal(value: Any) -> Any:
    """Return a value as Spark's literal casts it, whatever this process' time zone is."""
    return value.isoformat() if isinstance(value, datetime) else value
