"""Iceberg's data files as Parquet in memory.

Promises: columns are known by their Iceberg ids, never by name: what was dropped and added again under the same name is
another column. What is read fits in memory, however well it was compressed.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tidemark.lake.wanted import Wanted

_ID: Final = b"PARQUET:field_id"
# So many rows are decoded before the size of all is looked at: a few megabytes of text may be a few bytes of a file.
_ROWS_AT_A_TIME: Final = 64
# Where rows are known to be narrow, more of them.
_BYTES_AT_A_TIME: Final = 2**20
_MOST_AT_A_TIME: Final = 4096


def contents(rows: pa.Table) -> bytes:
    """Return a Parquet file with these rows; their schema has the columns' ids."""
    content = io.BytesIO()
    pq.write_table(rows, content, compression="zstd", store_schema=False, store_decimal_as_integer=True)
    return content.getvalue()


def rows_of(content: bytes, schema: pa.Schema, most_bytes: int) -> pa.Table | None:
    """Read a file in the columns of ``schema``, NULL where it has none; None if that takes more than ``most_bytes``."""
    file = pq.ParquetFile(io.BytesIO(content))
    own, size, batches = _names(file, schema), 0, []
    for batch in file.iter_batches(_ROWS_AT_A_TIME, columns=list(own)):
        size += batch.nbytes
        if size > most_bytes:
            return None
        batches.append(batch)
    return _renamed(batches, file.schema_arrow.empty_table().select(list(own)).schema, own, schema)


def find_rows(
    source: Any, schema: pa.Schema, wanted: Wanted, away: pa.Array, most_bytes: int
) -> tuple[pa.Table, list[int]] | None:
    """Read the rows of a file that are wanted, and their places in it; None if they take more than ``most_bytes``.

    Parameters
    ----------
    source
        The file, open for reading at any place of it.
    away
        Places of rows that are no more.
    """
    file = _opened(source)
    own = _names(file, schema)
    batches, places, size = [], [], 0
    for group, start, at in _groups_with(file, own, schema, wanted, away):
        places += [start + place for place in at]
        for batch in _rows_at(file, group, list(own), at):
            size += batch.nbytes
            if size > most_bytes:
                return None
            batches.append(batch)
    fields = pa.schema([_plain(file.schema_arrow.field(name)) for name in own])
    return _renamed(batches, fields, own, schema), places


def _opened(source: Any) -> pq.ParquetFile:
    """Open a file so that texts stay the dictionaries that they are in it: decoded, a little may become very much."""
    metadata = pq.read_metadata(source)
    texts = [field.name for field in metadata.schema.to_arrow_schema() if _is_text(field.type)]
    return pq.ParquetFile(source, metadata=metadata, read_dictionary=texts, pre_buffer=True)


def _is_text(kind: pa.DataType) -> bool:
    return any(is_kind(kind) for is_kind in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary))


def _plain(field: pa.Field) -> pa.Field:
    return field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field


def _groups_with(
    file: pq.ParquetFile, own: Mapping[str, str], schema: pa.Schema, wanted: Wanted, away: pa.Array
) -> Iterator[tuple[int, int, list[int]]]:
    """Yield the groups with wanted rows: number, first row's place in the file, wanted rows' places in the group."""
    theirs = {name: key for key, name in own.items() if name in wanted.key}
    kinds = pa.schema([schema.field(name) for name in wanted.key])
    numbers = {file.metadata.schema.column(at).path: at for at in range(file.metadata.num_columns)}
    first, start = numbers.get(theirs.get(wanted.key[0], "")), 0
    for group in range(file.num_row_groups):
        held = file.metadata.row_group(group)
        statistics = None if first is None else held.column(first).statistics
        if statistics is None or not statistics.has_min_max or wanted.may_be_between(statistics.min, statistics.max):
            read = file.read_row_group(group, columns=list(theirs.values()), use_threads=False)
            keys = _renamed(read.to_batches(), read.schema, {key: name for name, key in theirs.items()}, kinds)
            at = pc.indices_nonzero(wanted.mask(keys).combine_chunks())
            at = at.filter(pc.invert(pc.is_in(pc.add(at.cast(pa.int64()), start), value_set=away))).to_pylist()
            if at:
                yield group, start, at
        start += held.num_rows


def _rows_at(file: pq.ParquetFile, group: int, columns: list[str], at: list[int]) -> Iterator[pa.RecordBatch]:
    """Yield a group's rows at some places of it, in order."""
    held, start, done = file.metadata.row_group(group), 0, 0
    narrow = _BYTES_AT_A_TIME // max(1, held.total_byte_size // max(1, held.num_rows))
    rows = max(_ROWS_AT_A_TIME, min(_MOST_AT_A_TIME, narrow))
    for batch in file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False):
        until = start + batch.num_rows
        here = done
        while done < len(at) and at[done] < until:
            done += 1
        if done > here:
            found = batch.take(pa.array([place - start for place in at[here:done]], pa.int64()))
            plain = [_decoded(column) for column in found.columns]
            yield pa.RecordBatch.from_arrays(plain, names=found.schema.names)
        if done == len(at):
            return
        start = until


def _decoded(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _names(file: pq.ParquetFile, schema: pa.Schema) -> dict[str, str]:
    """Return the file's columns that the table has: their names in the file, and in the table."""
    there = {field.metadata[_ID]: field.name for field in file.schema_arrow if _ID in (field.metadata or {})}
    names = {field.name: there.get(field.metadata[_ID]) for field in schema}
    return {own: name for name, own in names.items() if own is not None}


def _renamed(batches: list[pa.RecordBatch], fields: pa.Schema, own: Mapping[str, str], schema: pa.Schema) -> pa.Table:
    """Return rows of a file (without any: of the columns ``fields``) in the table's columns, NULL where it has none."""
    found = pa.Table.from_batches(batches) if batches else fields.empty_table()
    return conform(found.rename_columns([own[name] for name in found.column_names]), schema)


def conform(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows in a table's columns and types; NULL in columns that they do not have.

    Raises
    ------
    ValueError
        If they have columns that the table has not.
    """
    if unknown := set(rows.column_names) - set(schema.names):
        raise ValueError(f"the table has no columns {sorted(unknown)}")
    there = set(rows.column_names)
    return pa.table(
        [
            rows.column(field.name).cast(field.type) if field.name in there else pa.nulls(rows.num_rows, field.type)
            for field in schema
        ],
        schema,
    )
