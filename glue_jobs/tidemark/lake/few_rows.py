"""Few rows into a table's files, by Arrow: what a MERGE does, without a Spark job.

Promises: the same outcome as :func:`tidemark.lake.merge.merge_into` by Spark. What is written follows the change: a
large file stays, and a delete file takes rows from it; small files are written again, and few of them stay small.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tidemark.lake.data_file import conform
from tidemark.lake.iceberg import MOST_FILES, Taken
from tidemark.lake.lookup import read_crowd

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from tidemark.lake.iceberg import IcebergTable
    from tidemark.lake.lookup import Part, Parts

# Once in so many commits, whoever writes looks whether small files are to become one.
_COMMITS: Final = 8
# A file of so few rows that was read becomes part of the one that is written: no request more, and one file less.
_TINY: Final = 2_000
_NAN: Final = "NaN"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What becomes of parts of a table: the rows that changes meet, by part and position in it, and the rows to write.

    ``met`` are no more; ``written`` are those that stay, changed, and those that are new.
    """

    met: Mapping[int, Sequence[int]]
    written: pa.Table


def append(table: IcebergTable, rows: pa.Table) -> None:
    """Append rows, columns by name, as one commit."""
    crowd = _crowd(table)
    rows = conform(rows, table.schema)
    table.replace([part.file for part in crowd], pa.concat_tables([rows, *(part.rows for part in crowd)]))


def merge(
    table: IcebergTable,
    read: Parts,
    changes: pa.Table,
    key: Sequence[str],
    updated: Collection[str],
    gone: Sequence[bool],
) -> None:
    """Update, insert and delete rows by their key, as at most one commit.

    A file that was read whole is written again without the rows that are met; from others they are taken, by a delete
    file.

    Parameters
    ----------
    read
        All rows of the table that have one of the keys, at least.
    changes
        At most one row for each key.
    updated
        Columns that a row which is there gets.
    gone
        For each of the changes, whether its row is to be deleted.
    """
    done = upsert([part.rows for part in read.parts], conform(changes, read.schema), key, updated, gone)
    if not done.met and not done.written.num_rows:
        return
    taken, again, untouched = [], [], []
    for number, part in enumerate(read.parts):
        at = done.met.get(number)
        if at is None:
            untouched.append(part)
        elif part.places is None:
            again.append(replace(part, rows=_without(part.rows, set(at))))
        else:
            taken.append(Taken(file=part.file, places=[part.places[row] for row in at], deletes=read.deletes))
    again += _crowd(table, untouched, again, {one.file.uri for one in taken})
    rows = pa.concat_tables([done.written, *(part.rows for part in again)])
    table.replace([part.file for part in again], rows, taken)


def _crowd(
    table: IcebergTable, read: Sequence[Part] = (), again: Sequence[Part] = (), taken: Collection[str] = ()
) -> list[Part]:
    """Return small files that are to become one: tiny ones, and those of partitions that have too many.

    Those of ``read`` and, once in a while, any. Not those of ``again``, which are written again anyway, nor those from
    which rows are ``taken``.
    """
    small = {part.file.uri: part for part in read if part.places is None}
    tiny = {uri for uri, part in small.items() if part.file.rows <= _TINY}
    there = read_crowd(table) if table.commits % _COMMITS == _COMMITS - 1 else None
    if there is not None:
        small = {part.file.uri: part for part in there.parts} | small
    busy = {*taken, *(part.file.uri for part in again)}
    small = {uri: part for uri, part in small.items() if uri not in busy}
    number = Counter(part.file.partition for part in (*small.values(), *again))
    return [part for uri, part in small.items() if uri in tiny or number[part.file.partition] > MOST_FILES]


def upsert(
    parts: Sequence[pa.Table], changes: pa.Table, key: Sequence[str], updated: Collection[str], gone: Sequence[bool]
) -> Outcome:
    """Say what changes make of parts of a table.

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
    written: list[pa.Table] = []
    met: dict[int, Sequence[int]] = {}
    known: set[int] = set()
    for number, part in enumerate(parts):
        found = {at: wanted[value] for at, value in _meeting(part, key, wanted)}
        if found:
            met[number] = list(found)
            known.update(found.values())
            written.append(_changed(part, changes, updated, found, gone))
    new = [number for number, is_gone in enumerate(gone) if number not in known and not is_gone]
    return Outcome(met=met, written=pa.concat_tables([*written, changes.take(pa.array(new, pa.int64()))]))


def _without(part: pa.Table, found: Collection[int]) -> pa.Table:
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
