"""Few rows into a table's files, by Arrow: what a MERGE does, without a Spark job.

Promises: the same outcome as :func:`tidemark.lake.merge.merge_into` by Spark; files in which no key is met stay as they
are. A table too large for that is not touched, and left to Spark.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tidemark.base import storage
from tidemark.lake.data_file import conform, rows_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from tidemark.lake.iceberg import DataFile, IcebergTable

# What is read of a table at most, to be written again: its rows, its files' bytes, and the memory that these take.
MOST_ROWS: Final = 50_000
_MOST_BYTES: Final = 4 * 2**20
_MOST_MEMORY: Final = 64 * 2**20
# So many files are read one by one; more become one when the table is written next.
MOST_FILES: Final = 4
_NAN: Final = "NaN"


@dataclass(frozen=True)
class SmallTable:
    """Files of a table, the rows of each, and the table's columns."""

    files: list[DataFile]
    parts: list[pa.Table]
    schema: pa.Schema


def append(table: IcebergTable, rows: pa.Table) -> None:
    """Append rows, columns by name, as one commit."""
    table.replace([], conform(rows, table.schema))


def merge(
    table: IcebergTable,
    read: SmallTable,
    rows: pa.Table,
    key: Sequence[str],
    updated: Collection[str],
    gone: Sequence[bool],
) -> None:
    """Update, insert and delete rows by their key, as at most one commit.

    Parameters
    ----------
    read
        All files of the table that can hold one of the keys.
    rows
        At most one row for each key.
    updated
        Columns that a row which is there gets.
    gone
        For each of the rows, whether it is to be deleted.
    """
    touched, replaced = upsert(read.parts, conform(rows, read.schema), key, updated, gone)
    if len(read.files) > MOST_FILES:
        replaced = pa.concat_tables([replaced, *(part for at, part in enumerate(read.parts) if at not in touched)])
        touched = list(range(len(read.files)))
    if touched or replaced.num_rows:
        table.replace([read.files[number] for number in touched], replaced)


def read_all(table: IcebergTable, column: str = "", values: Sequence[int | str] | None = None) -> SmallTable | None:
    """Read the files that can hold one of some values of a column (None: all).

    None if they are not small, or the table is none that :meth:`IcebergTable.replace` can write.
    """
    files = _small(table.files(column, values)) if table.can_be_written() else None
    if files is None:
        return None
    schema, budget, parts = table.schema, _MOST_MEMORY, []
    for file in files:
        content = storage.get(file.uri)
        part = rows_of(content, schema, budget) if content is not None else None
        if part is None:
            return None
        budget -= part.nbytes
        parts.append(part)
    return SmallTable(files, parts, schema)


def _small(files: Iterator[DataFile]) -> list[DataFile] | None:
    """List files, unless they are too large together: then the others need not be listed."""
    found: list[DataFile] = []
    rows = size = 0
    for file in files:
        rows, size = rows + file.rows, size + file.bytes
        if rows > MOST_ROWS or size > _MOST_BYTES or not file.is_whole:
            return None
        found.append(file)
    return found


def upsert(
    parts: Sequence[pa.Table], changes: pa.Table, key: Sequence[str], updated: Collection[str], gone: Sequence[bool]
) -> tuple[list[int], pa.Table]:
    """Return which of the parts change, and the rows that take their place together with those that are new.

    Keys are equal as Spark's are: NaN is itself, and minus zero is zero; NULL equals nothing.

    Raises
    ------
    ValueError
        If two changes have the same key.
    """
    keys = list(keys_of(changes, key))
    wanted = {value: number for number, value in enumerate(keys) if None not in value}
    if len(wanted) < sum(None not in value for value in keys):
        raise ValueError("two changes have the same key")
    touched: list[int] = []
    kept: list[pa.Table] = []
    met: set[int] = set()
    for number, part in enumerate(parts):
        found = {at: wanted[value] for at, value in _meeting(part, key, wanted)}
        if found:
            touched.append(number)
            met.update(found.values())
            kept += [_without(part, found), _changed(part, changes, updated, found, gone)]
    new = [number for number, is_gone in enumerate(gone) if number not in met and not is_gone]
    return touched, pa.concat_tables([*kept, changes.take(pa.array(new, pa.int64()))])


def _without(part: pa.Table, found: Mapping[int, int]) -> pa.Table:
    return part.filter(pa.array([at not in found for at in range(part.num_rows)]))


def _changed(
    part: pa.Table, changes: pa.Table, updated: Collection[str], found: Mapping[int, int], gone: Sequence[bool]
) -> pa.Table:
    """Return the rows that were met and stay, with the updated columns' new values."""
    stay = [(at, by) for at, by in found.items() if not gone[by]]
    old = part.take(pa.array([at for at, _ in stay], pa.int64()))
    new = changes.take(pa.array([by for _, by in stay], pa.int64()))
    return pa.table([(new if name in updated else old).column(name) for name in part.column_names], part.schema)


def _meeting(
    part: pa.Table, key: Sequence[str], wanted: Mapping[tuple[Any, ...], int]
) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield position and key of the rows whose key is wanted."""
    rows = part.select(list(dict.fromkeys(key)))
    for at, value in enumerate(keys_of(rows, key)):
        if value in wanted:
            yield at, value


def keys_of(rows: pa.Table, key: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows' keys, in values that Python compares as Spark does."""
    return zip(*(_comparable(rows.column(name)) for name in key), strict=True)


def _comparable(column: pa.ChunkedArray) -> list[Any]:
    """Return values that Python compares as Spark does; days and moments as numbers, which have no last year."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    elif pa.types.is_date32(column.type):
        column = column.cast(pa.int32())
    elif pa.types.is_floating(column.type):
        return [_NAN if value is not None and math.isnan(value) else value for value in pc.add(column, 0.0).to_pylist()]
    return list(column.to_pylist())
