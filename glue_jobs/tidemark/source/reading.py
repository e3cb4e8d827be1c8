"""What all reads of the source have in common: how many rows are in memory at a time, and what an error means."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tidemark.base import memory
from tidemark.base.errors import SourceError
from tidemark.source import queries as sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemark.model.definition import SourceTable
    from tidemark.model.types import PgType

MOST_ROWS = 5000
FETCH_BYTES = 16 * 2**20
# What a reader's error says (in lower case), what was expected, and what to do.
_ADVICE = (
    (
        ("infinity", "infinite", "nan", "bigint out of range"),
        "finite values, before the year 294247, in columns of a date, time or numeric(p,s) type",
        "declare the column as text in source.yml (docs/types.md)",
    ),
    (
        ("invalid byte sequence",),
        "text in the database's encoding (SQL_ASCII checks none)",
        "fix the value in the source, or leave the column out of source.yml",
    ),
    (
        ("snapshot identifier", 'snapshot "', "outside the exported snapshot"),
        "every connection on one and the same server, with a session of its own",
        "give the server's own address: no reader endpoint or load balancer, no pooler in transaction mode",
    ),
)
_QUOTED_VALUE = re.compile(r': ".*"?$')
_AGAIN = ("", "the next tick repeats")


def rows_per_fetch(types: Sequence[PgType], widest: int) -> int:
    """How many rows a reader asks for at a time: as many as surely fit :data:`FETCH_BYTES`.

    Parameters
    ----------
    types
        The types, in the source, of the columns that are read.
    widest
        Bytes of the widest row, in the columns whose types do not bound them.
    """
    return max(1, min(MOST_ROWS, FETCH_BYTES // widest_row(types, widest)))


def widest_row(types: Sequence[PgType], widest: int) -> int:
    """Bytes that a row needs at most; parameters as of :func:`rows_per_fetch`."""
    return max(1, sum(kind.bounded_width or 0 for kind in types) + widest)


def reading_failed(table: SourceTable, error: Exception) -> SourceError:
    """Say what a reader's error means, with the server's own sentence."""
    if memory.is_short(error):
        cause, expected, do = "memory ran out, or Java was ended", memory.EXPECTED, memory.advice("extract")
    else:
        cause = _first_cause(error)
        expected, do = next((told for words, *told in _ADVICE if any(word in cause.lower() for word in words)), _AGAIN)
    return SourceError(
        f"reading {sql.relation(table)} failed: {cause}", expected=expected, do=f"{do}; nothing was landed"
    )


def _first_cause(error: Exception) -> str:
    """PostgreSQL's own sentence inside Spark's long message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line.split("PSQLException:", 1)[1].strip() for line in lines if "PSQLException:" in line]
    first = (said or lines)[0][:300]
    # What PostgreSQL quotes at the end is a value of a row; but our own proof's error is to be read.
    return first if "outside the exported snapshot" in first else _QUOTED_VALUE.sub("", first)
