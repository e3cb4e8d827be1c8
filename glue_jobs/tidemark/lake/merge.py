"""The one MERGE: rows into an Iceberg table, as one commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidemark.base.quoting import spark as quoted
from tidemark.base.quoting import spark_in
from tidemark.lake import few_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame

    from tidemark.lake.tables import Lake

DELETE: Final = "delete"


def merge_into(  # noqa: PLR0913 - it is one statement of SQL
    lake: Lake,
    target: str,
    rows: DataFrame,
    key: Sequence[str],
    updated: Sequence[str],
    *,
    few: bool,
    prune: Sequence[int | str] | None = None,
    kind: str = "",
) -> None:
    """Update the named columns of rows whose key is there, and insert the others.

    Parameters
    ----------
    target
        Quoted name of the table.
    rows
        Checkpointed, so that nothing of them is read from the table that is written; at most one for each key.
    updated
        Columns that a row which is there gets.
    few
        Whether the rows are so few that they are written without a Spark job, if the table's files are small, too.
    prune
        All values of the first of the key's columns, if they are known and are integers or texts: with them, files are
        skipped.
    kind
        Column of ``rows`` that the table does not have: rows with ``delete`` there are deleted.
    """
    table = lake.iceberg(target)
    read = few_rows.read_all(table, key[0], prune) if few else None
    if read is None:
        _merge(target, rows, key, updated, prune, kind)
        return
    found = rows.toArrow()
    gone = [False] * found.num_rows
    if kind:
        gone, found = [value == DELETE for value in found.column(kind).to_pylist()], found.drop_columns([kind])
    few_rows.merge(table, read, found, key, updated, gone)


def _merge(
    target: str,
    rows: DataFrame,
    key: Sequence[str],
    updated: Sequence[str],
    prune: Sequence[int | str] | None,
    kind: str,
) -> None:
    """Let Spark do it."""
    # Merges run side by side: each has a view of its own name.
    view = quoted("_changes_" + target.rsplit(".", 1)[1].strip("`"))
    rows.createOrReplaceTempView(view)
    listed = [quoted(name) for name in rows.columns if name != kind]
    on = " AND ".join(f"t.{name} = s.{name}" for name in map(quoted, key)) + _pruning(key[0], prune)
    delete_when = f"s.{quoted(kind)} = '{DELETE}'" if kind else ""
    delete = f"WHEN MATCHED AND {delete_when} THEN DELETE " if delete_when else ""
    insert = f"WHEN NOT MATCHED{f' AND NOT ({delete_when})' if delete_when else ''} THEN INSERT"
    rows.sparkSession.sql(
        f"MERGE INTO {target} t USING {view} s ON {on} {delete}"
        f"WHEN MATCHED THEN UPDATE SET {', '.join(f't.{name} = s.{name}' for name in map(quoted, updated))} "
        f"{insert} ({', '.join(listed)}) VALUES ({', '.join(f's.{name}' for name in listed)})"
    )


def _pruning(column: str, values: Sequence[int | str] | None) -> str:
    """SQL condition that lets a merge open only the files that can hold one of the values."""
    if not values:
        return ""
    return f" AND {spark_in(f't.{quoted(column)}', values)}"
