"""The batch's row: what makes a batch part of the lake."""

from __future__ import annotations

from datetime import datetime

from tidemark.base.quoting import spark as quoted
from tidemark.base.quoting import spark_literal
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
    columns = [f"CAST({_literal(row[name])} AS {kind}) AS {quoted(name)}" for name, (kind, _) in COLUMNS.items()]
    lake.append(lake.spark.sql(f"SELECT {', '.join(columns)}"), lake.ensure_batches())


def _literal(value: int | str | datetime) -> str:
    """Return a value as Spark's text, which it casts to the column's type whatever this process' time zone is."""
    return spark_literal(value.isoformat() if isinstance(value, datetime) else str(value))
