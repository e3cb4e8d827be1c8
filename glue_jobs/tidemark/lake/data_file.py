"""Iceberg's data files as Parquet in memory.

Promises: columns are known by their Iceberg ids, never by name: what was dropped and added again under the same name is
another column. What is read fits in memory, however well it was compressed.
"""

from __future__ import annotations

import io
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

_ID: Final = b"PARQUET:field_id"
# So many rows are decoded before the size of all is looked at: a few megabytes of text may be a few bytes of a file.
_ROWS_AT_A_TIME: Final = 64


def contents(rows: pa.Table) -> bytes:
    """Return a Parquet file with these rows; their schema has the columns' ids."""
    content = io.BytesIO()
    pq.write_table(rows, content, compression="zstd", store_schema=False, store_decimal_as_integer=True)
    return content.getvalue()


def rows_of(content: bytes, schema: pa.Schema, most_bytes: int) -> pa.Table | None:
    """Read a file in the columns of ``schema``, NULL where it has none; None if that takes more than ``most_bytes``."""
    file = pq.ParquetFile(io.BytesIO(content))
    there = {field.metadata[_ID]: field.name for field in file.schema_arrow if _ID in (field.metadata or {})}
    names = {field.name: there.get(field.metadata[_ID]) for field in schema}
    wanted, size, batches = {own: name for name, own in names.items() if own is not None}, 0, []
    for batch in file.iter_batches(_ROWS_AT_A_TIME, columns=list(wanted)):
        size += batch.nbytes
        if size > most_bytes:
            return None
        batches.append(batch)
    found = pa.Table.from_batches(batches) if batches else file.schema_arrow.empty_table().select(list(wanted))
    return conform(found.rename_columns([wanted[own] for own in found.column_names]), schema)


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
