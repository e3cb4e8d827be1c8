"""The one MERGE: rows into an Iceberg table, as one commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidemark.base.quoting import spark as quoted
from tidemark.base.quoting import spark_in
from tidemark.lake import few_rows
from tidemark.lake.data_file import conform
from tidemark.lake.lookup import look_up
from tidemark.lake.wanted import Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
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
    few: pa.Table | None,
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
        The rows themselves, if they are so few that they are written without a Spark job.
    prune
        All values of the first of the key's columns, if they are known and are integers or texts: with them, files are
        skipped.
    kind
        Column of ``rows`` that the table does not have: rows with ``delete`` there are deleted.
    """
    if few is None or not _merge_few(lake, target, few, key, updated, kind):
        _merge(target, rows, key, updated, prune, kind)


def _merge_few(lake: Lake, target: str, rows: pa.Table, key: Sequence[str], updated: Sequence[str], kind: str) -> bool:
    """Do it by Arrow, if what is there of the keys fits in memory; say whether it was done."""
    known, read = lake.looked_up(target), None
    if known is not None and known.covers(key[0], rows.column(key[0]).to_pylist()):
        table, read = known.table, known.parts
    else:
        table = lake.iceberg(target)
        read = look_up(table, Wanted(conform(rows.select(list(key)), table.schema_of(key))))
    if read is None:
        return False
    gone = [False] * rows.num_rows
    if kind:
        gone, rows = [value == DELETE for value in rows.column(kind).to_pylist()], rows.drop_columns([kind])
    few_rows.merge(table, read, rows, key, updated, gone)
    return True


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
