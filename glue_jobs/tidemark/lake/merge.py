"""The one MERGE: rows into an Iceberg table, as one commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemark.base.quoting import spark as quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame


def merge_into(
    target: str,
    rows: DataFrame,
    key: Sequence[str],
    updated: Sequence[str],
    *,
    prune: str = "",
    delete_when: str = "",
    left_out: Sequence[str] = (),
) -> None:
    """Update the named columns of rows whose key is there, and insert the others.

    Parameters
    ----------
    target
        Quoted name of the table, ``t`` in conditions.
    rows
        ``s`` in conditions; checkpointed, so that nothing of it is read from the table that is written.
    updated
        Columns that a row which is there gets.
    prune
        ``AND …``, a condition that lets Iceberg skip files.
    delete_when
        Condition on ``s`` of rows that are deleted from the table.
    left_out
        Columns of ``rows`` that the table does not have.
    """
    # Merges run side by side: each has a view of its own name.
    view = quoted("_changes_" + target.rsplit(".", 1)[1].strip("`"))
    rows.createOrReplaceTempView(view)
    listed = [quoted(name) for name in rows.columns if name not in left_out]
    on = " AND ".join(f"t.{name} = s.{name}" for name in map(quoted, key))
    delete = f"WHEN MATCHED AND {delete_when} THEN DELETE " if delete_when else ""
    insert = f"WHEN NOT MATCHED{f' AND NOT ({delete_when})' if delete_when else ''} THEN INSERT"
    rows.sparkSession.sql(
        f"MERGE INTO {target} t USING {view} s ON {on}{prune} {delete}"
        f"WHEN MATCHED THEN UPDATE SET {', '.join(f't.{name} = s.{name}' for name in map(quoted, updated))} "
        f"{insert} ({', '.join(listed)}) VALUES ({', '.join(f's.{name}' for name in listed)})"
    )
