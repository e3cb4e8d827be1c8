"""Delete files: which rows of which data files are no more, as Iceberg's format has it (version 2).

Promises: what is written is sorted by file and place, as readers expect.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterable

# The columns' ids are the format's own: https://iceberg.apache.org/spec/#position-delete-files
_FILE: Final = pa.field("file_path", pa.string(), nullable=False, metadata={"PARQUET:field_id": "2147483546"})
_PLACE: Final = pa.field("pos", pa.int64(), nullable=False, metadata={"PARQUET:field_id": "2147483545"})
_SCHEMA: Final = pa.schema([_FILE, _PLACE])


def rows_without(taken: Iterable[tuple[str, Iterable[int]]]) -> pa.Table:
    """Return the rows of a delete file that takes rows, by their places, from data files, by their locations."""
    pairs = [(location, place) for location, places in taken for place in places]
    return pa.table([[location for location, _ in pairs], [place for _, place in pairs]], _SCHEMA)


def contents(deletes: Iterable[pa.Table]) -> bytes:
    """Return a delete file with the rows of some; each once."""
    together = pa.concat_tables(part.cast(_SCHEMA) for part in deletes).group_by(_SCHEMA.names).aggregate([])
    content = io.BytesIO()
    ordered = together.sort_by([(name, "ascending") for name in _SCHEMA.names]).cast(_SCHEMA)
    pq.write_table(ordered, content, compression="zstd", store_schema=False)
    return content.getvalue()


def read(content: bytes) -> pa.Table:
    """Return the rows of a delete file, whoever wrote it."""
    return pq.read_table(io.BytesIO(content), columns=_SCHEMA.names).cast(_SCHEMA)


def places_in(location: str, deletes: Iterable[pa.Table]) -> pa.Array:
    """Return the places in a data file from which rows were taken."""
    found = [part.filter(pc.equal(part.column("file_path"), location)).column("pos") for part in deletes]
    return pa.chunked_array([chunk for part in found for chunk in part.chunks], pa.int64()).combine_chunks()
