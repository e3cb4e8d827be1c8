"""Rows of a table by their keys: of small files all rows, of large ones those that are wanted.

A large file's keys are read first, then the groups of rows that hold a wanted one. Promises: what is found is at least
all rows that are wanted; more than fits in memory is not read, and left to Spark.
"""

from __future__ import annotations

import io
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tidemark.base import storage
from tidemark.base.concurrency import AT_A_TIME, concurrently
from tidemark.lake import position_deletes
from tidemark.lake.data_file import find_rows, rows_of
from tidemark.lake.file_io import file_io
from tidemark.lake.iceberg import MOST_FILES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from tidemark.lake.iceberg import DataFile, DeleteFile, IcebergTable
    from tidemark.lake.wanted import Wanted

# What is read of a table at most, to be written again: its rows, its files' bytes, and the memory that these take.
MOST_ROWS: Final = 50_000
_MOST_BYTES: Final = 4 * 2**20
_MOST_MEMORY: Final = 64 * 2**20
# From so many rows on, reading the keys alone is work for several machines.
_MOST_KEYS: Final = 20_000_000
# A larger file is read in pieces: as many requests as it has groups of rows in which something is wanted.
_IN_ONE_PIECE: Final = 32 * 2**20


@dataclass(frozen=True, kw_only=True)
class Part:
    """Rows of a file: all of them, or those at some ``places`` of it; what its delete files take is not among them."""

    file: DataFile
    rows: pa.Table
    places: Sequence[int] | None = None


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Rows of a table, file by file; the table's columns; the contents of the delete files, by location."""

    parts: Sequence[Part]
    schema: pa.Schema
    deletes: Mapping[str, pa.Table]

    def rows_with(self, column: str, values: Collection[int | str]) -> pa.Table:
        """Those with one of some values of a column."""
        rows = self.rows
        return rows.filter(pc.is_in(rows.column(column), value_set=pa.array(values, self.schema.field(column).type)))

    @property
    def rows(self) -> pa.Table:
        """All that was read, as one."""
        return pa.concat_tables([self.schema.empty_table(), *(part.rows for part in self.parts)])


@dataclass(frozen=True, kw_only=True)
class LookedUp:
    """A table, and what was read of it: at least its rows with one of some values of a column."""

    table: IcebergTable
    parts: Parts
    column: str
    values: frozenset[int | str]

    def covers(self, column: str, values: Iterable[Any]) -> bool:
        """Whether all rows with these values of a column were read."""
        return column == self.column and self.values.issuperset(values)


def read_small(table: IcebergTable) -> Parts | None:
    """Read a whole table; None if it is not small, or none that :meth:`IcebergTable.replace` can write."""
    if not table.can_be_written():
        return None
    if table.rows > MOST_ROWS:
        return None  # its files need not be listed
    files = list(table.files("", None))
    return _read(table, files, None) if sum(file.bytes for file in files) <= _MOST_BYTES else None


def look_up(table: IcebergTable, wanted: Wanted) -> Parts | None:
    """Read what is wanted; None if that is too much, or the table is none that :meth:`IcebergTable.replace` can write.

    Small files that may hold some of it are read whole.
    """
    if not table.can_be_written() or not wanted.can_be_found:
        return None
    files = list(table.files(wanted.key[0], wanted.values))
    if sum(file.rows for file in files) > _MOST_KEYS:
        return None
    return _read(table, files, wanted)


def read_crowd(table: IcebergTable) -> Parts | None:
    """Read the small files of those partitions that have too many of them; None if that is too much."""
    small = list(_small(list(table.files("", None))))
    number = Counter(file.partition for file in small)
    return _read(table, [file for file in small if number[file.partition] > MOST_FILES], None)


def _small(files: Sequence[DataFile]) -> Iterable[DataFile]:
    """Give the smallest files, as many as may be read whole."""
    rows = size = 0
    for file in sorted(files, key=lambda file: file.rows):
        rows, size = rows + file.rows, size + file.bytes
        if rows > MOST_ROWS or size > _MOST_BYTES:
            return
        yield file


def _read(table: IcebergTable, files: Sequence[DataFile], wanted: Wanted | None) -> Parts | None:
    """Read files: the small ones whole, of the others what is wanted (None: everything)."""
    deletes = _deletes_of(files)
    if deletes is None:
        return None
    schema, whole = table.schema, {file.uri for file in (files if wanted is None else _small(files))}

    def read(file: DataFile) -> Part | None:
        away = position_deletes.places_in(file.uri, (deletes[delete.uri] for delete in file.deletes))
        if wanted is None or file.uri in whole:
            return _whole(file, schema, away)
        return _some(file, schema, wanted, away)

    parts, budget = [], _MOST_MEMORY
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        for part in pool.map(read, files):
            budget -= part.rows.nbytes if part is not None else 0
            if part is None or budget < 0:
                pool.shutdown(cancel_futures=True)
                return None
            if part.places is None or part.places:
                parts.append(part)
    return Parts(parts=parts, schema=schema, deletes=deletes)


def _whole(file: DataFile, schema: pa.Schema, away: pa.Array) -> Part | None:
    content = storage.get(file.uri)
    rows = rows_of(content, schema, _MOST_MEMORY) if content is not None else None
    if rows is None:
        return None
    if len(away):
        gone = set(away.to_pylist())
        rows = rows.filter(pa.array([at not in gone for at in range(rows.num_rows)]))
    return Part(file=file, rows=rows)


def _some(file: DataFile, schema: pa.Schema, wanted: Wanted, away: pa.Array) -> Part | None:
    with _opened(file) as source:
        found = find_rows(source, schema, wanted, away, _MOST_MEMORY)
    return None if found is None else Part(file=file, rows=found[0], places=found[1])


def _opened(file: DataFile) -> Any:
    if file.bytes > _IN_ONE_PIECE:
        return file_io().in_pieces(file.uri).open()
    return io.BytesIO(storage.get(file.uri) or b"")


def _deletes_of(files: Iterable[DataFile]) -> dict[str, pa.Table] | None:
    """Read the files' delete files; None if some of them are of another kind."""
    named: dict[str, DeleteFile] = {delete.uri: delete for file in files for delete in file.deletes}
    if not all(delete.is_plain for delete in named.values()):
        return None
    contents = concurrently(named, storage.get)
    return {uri: position_deletes.read(content or b"") for uri, content in zip(named, contents, strict=True)}
