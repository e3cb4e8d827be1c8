"""Reads of a few rows, without Spark: over the session that holds the tick's snapshot, into one Arrow table.

Promises: the rows, types and errors are those of Spark's readers (:mod:`tidemark.source.readers`), whose SQL it sends;
nothing is read here but what the scan has bounded.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pyarrow as pa
from psycopg import errors as pg_errors

from tidemark.source import queries as sql
from tidemark.source.reading import FETCH_BYTES, MOST_ROWS, reading_failed, widest_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemark.model.types import PgType
    from tidemark.source.queries import PlannedRead
    from tidemark.source.snapshot import SourceSnapshot

# What a Spark type is in Arrow, and in which form its values come from the source (``PgType.reader_expression``).
_DAYS, _MICROS = pa.int32(), pa.int64()
_ARROW: Final[dict[str, tuple[pa.DataType, pa.DataType | None]]] = {
    "int": (pa.int32(), None),
    "bigint": (pa.int64(), None),
    "float": (pa.float32(), None),
    "double": (pa.float64(), None),
    "boolean": (pa.bool_(), None),
    "binary": (pa.binary(), None),
    "string": (pa.string(), None),
    "date": (pa.date32(), _DAYS),
    "timestamp_ntz": (pa.timestamp("us"), _MICROS),
    "timestamp": (pa.timestamp("us", "UTC"), _MICROS),
}
# Classes of errors that the snapshot as a whole is told of, not one table: locks, rights, lost sessions.
_OF_THE_SNAPSHOT: Final = ("08", "40", "55", "57")


def is_of_few(snapshot: SourceSnapshot, read: PlannedRead) -> bool:
    """Whether the scan promises that one fetch of a reader would hold all that is read."""
    found = snapshot.tables[read.table.name].found
    width = widest_row([found[name] for name in read.columns], read.widest)
    return read.expected_rows <= MOST_ROWS and read.expected_rows * width <= FETCH_BYTES


def fetch(snapshot: SourceSnapshot, read: PlannedRead) -> pa.Table:
    """Return the rows, or the keys, of one read in the types that they are landed in.

    Raises
    ------
    SourceError
        If a value cannot be landed, or the query fails.
    psycopg.Error
        If the snapshot is lost, or a right or a lock is lacking.
    """
    types = snapshot.tables[read.table.name].types
    select = sql.keys if read.keys_only else sql.rows
    query = select(read.table, types, [*read.conditions, sql.in_snapshot(snapshot.text)])
    try:
        # In binary, so that a number is the very one that the source holds, and not the nearest to its text.
        with snapshot.connection.cursor(binary=True) as cursor:
            rows = cursor.execute(query.encode()).fetchall()
    except pg_errors.InsufficientPrivilege:
        raise
    except psycopg.Error as error:
        if error.sqlstate is None or error.sqlstate[:2] in _OF_THE_SNAPSHOT:
            raise
        raise reading_failed(read.table, error) from None
    columns = zip(*rows, strict=True) if rows else [()] * len(read.columns)
    arrays = {}
    for name, values in zip(read.columns, columns, strict=True):
        try:
            arrays[name] = _array(types[name], values)
        except (ArithmeticError, ValueError):  # Arrow's own sentence would show the value
            cause = ValueError(f"column {name} holds NaN, or what else {types[name]} cannot")
            raise reading_failed(read.table, cause) from None
    return pa.table(arrays)


def _array(kind: PgType, values: Sequence[Any]) -> pa.Array:
    if kind.precision_scale:
        if any(isinstance(value, Decimal) and not value.is_finite() for value in values):
            raise ValueError
        return pa.array(values, pa.decimal128(*kind.precision_scale))
    arrow, as_it_comes = _ARROW[kind.spark]
    return pa.array(values, as_it_comes).cast(arrow) if as_it_comes else pa.array(values, arrow)
