"""Which columns of a stranger's tables a star can hold, be found by, and refer with.

Promises: what is drafted as a reference finds its row for every value that the foreign key allows; where the source
takes values for equal that are written differently (:mod:`tidemark.source.equality`), it is left out, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tidemark.drafting.catalog import FoundColumn
from tidemark.drafting.source import Drafted
from tidemark.model.types import STAR_TYPES, PgType
from tidemark.source.equality import unlike

ROUNDED: Final = "numeric(38,10)"  # what a star makes of numeric without a precision
UNBOUNDED: Final = PgType("numeric")
TIMES: Final = ("timestamp", "timestamptz")
DATES: Final = (*TIMES, "date")


@dataclass(frozen=True)
class Pointer:
    """A foreign key of one column: the relation (oid) that it points at, and why it cannot be a star's reference."""

    target: int
    why_not: str = ""


def star_type(column: FoundColumn) -> str | None:
    """Return the type in which a star holds the column, or None if it cannot."""
    kind = PgType.parse(column.type)
    if column.is_text:
        return "varchar"
    if kind == UNBOUNDED:
        return ROUNDED
    if not column.builtin or kind.base not in STAR_TYPES or (kind.base == "numeric" and not kind.precision_scale):
        return None
    return str(kind)


def has_star_key(table: Drafted) -> bool:
    """Whether the star can find the table's rows by their key."""
    return bool(table.key) and all(_is_exact(table.column(name)) for name in table.key)


def _is_exact(column: FoundColumn) -> bool:
    """Whether a key of this type is the same value in the star as in the mirror."""
    kind = PgType.parse(column.type)
    native = kind.is_integer or kind.base in (*DATES, "boolean") or kind.precision_scale is not None
    return column.is_text or (column.builtin and native)


def pointers(table: Drafted, able: Mapping[int, Drafted]) -> dict[str, Pointer]:
    """Return which columns hold the key of which other table; the first foreign key that can refer counts."""
    result: dict[str, Pointer] = {}
    here = {column.name for column in table.columns}
    for reference in table.relation.references:
        target = able.get(reference.target)
        if target is None or target is table or reference.target_columns != target.key or len(reference.columns) > 1:
            continue
        name, key = reference.columns[0], target.column(target.key[0])
        family = _family(key)
        if name not in here or family not in ("integer", "text") or _family(table.column(name)) != family:
            continue
        why_not = unlike(table.column(name).spelling, key.spelling) if family == "text" else ""
        if name not in result or (result[name].why_not and not why_not):
            result[name] = Pointer(reference.target, why_not)
    return result


def _family(column: FoundColumn) -> str:
    kind = star_type(column)
    return PgType.parse(kind).family if kind else ""
