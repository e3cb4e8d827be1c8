"""Wall clocks: in which zone a source's times without one are, so that a version begins at the moment that they mean.

A ``timestamp`` says what a clock showed, not where it hung. ``time_zone`` in ``source.yml`` says that. It matters for
one thing only, a fact's ``_updated_at``: published columns stay what the source has. Promises: no wall clock is taken
for UTC, or for anything else, that the model does not say. The loader looks at the SQL's text (:func:`check_plain`), to
say it early; the transform at Spark's plan of it (:func:`zone_of`), which overlooks nothing.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Final
from zoneinfo import available_timezones

from tidemark.base.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tidemark.model.definition import Column, Model, SourceTable, StarTable
    from tidemark.model.types import PgType

_TIMES: Final = ("timestamp", "date")
_TEXTS: Final = ("text", "varchar", "char")
WALL_CLOCKS: Final = (*_TIMES, *_TEXTS)
# In Python's list, and unknown to Java's zones or not the same there.
_NOT_EVERYWHERE: Final = frozenset({"Factory", "localtime", "posixrules", "ROC", "GMT+0", "GMT-0", "EST", "HST", "MST"})
_EXPECTED: Final = "an IANA name as PostgreSQL, Python and Spark all know it: UTC, Europe/Berlin, America/New_York"
_NO_CODE: Final = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_NAME: Final = r"(?:`(?:[^`]|``)+`|\w+)"
_PLAIN: Final = re.compile(
    rf"(?:\bselect|,)\s*(?:{_NAME}\s*\.\s*)*({_NAME})\s+(?:as\s+)?`?_updated_at\b", re.IGNORECASE
)


def is_time_zone(name: str) -> bool:
    """Whether a name means the same zone everywhere."""
    return name in _time_zones()


@functools.cache
def _time_zones() -> frozenset[str]:
    """Read the machine's zones once: that takes longer than all else in a model."""
    return frozenset(available_timezones() - _NOT_EVERYWHERE)


def zone_of_column(kind: PgType, own: str | None, of_all: str | None, where: str) -> str | None:
    """Return the zone of a source column: its own, or that of all wall clocks.

    Raises
    ------
    ModelError
        If there is no such zone (abbreviations and offsets do not say when clocks change), or the column needs none.
    """
    for name in filter(None, (of_all, own)):
        if not is_time_zone(name):
            raise ModelError(f"{where}: time_zone {name!r} is not known", expected=_EXPECTED, do="fix time_zone")
    if kind.base in WALL_CLOCKS:
        return own or of_all
    if own is not None:
        raise ModelError(
            f"{where} is {kind}, with a time_zone",
            expected=f"one on {', '.join(WALL_CLOCKS)} only",
            do="take time_zone away",
        )
    return None


def check_plain(source_yml: str, where: str, sql: str, inputs: Sequence[SourceTable]) -> None:
    """Refuse ``<column> AS _updated_at`` of a wall clock whose zone is not stated; other forms wait for the plan.

    Raises
    ------
    ModelError
        With the line to add.
    """
    code = _NO_CODE.sub(lambda found: " " if found[0][0] in "-/" else "''", sql)
    for match in _PLAIN.finditer(code):
        name = match[1].strip("`").replace("``", "`").casefold()
        found = [(t, c) for t in inputs for c in t.columns if c.name.casefold() == name]
        if found and all(_is_silent(column) for _, column in found):
            raise _unstated(source_yml, where, [f"{table.name}.{column.name}" for table, column in found])


def zone_of(model: Model, table: StarTable, marks: Collection[str], kind: str) -> str:
    """Return the zone of a fact's ``_updated_at``, a wall clock, from what its value is made of.

    Parameters
    ----------
    marks
        The input columns (``table.column``) that it depends on.
    kind
        Its type in Spark: ``timestamp_ntz``, ``date`` or ``string``.

    Raises
    ------
    ModelError
        If the model does not say it, or says different zones.
    """
    named = {f"{name}.{c.name}": c for name in table.inputs for c in model.tables[name].columns}
    made_of = {mark: column for mark, column in named.items() if mark in marks}
    times = {mark: column for mark, column in made_of.items() if column.type.base in _TIMES}
    texts = {mark: column for mark, column in made_of.items() if column.type.base in _TEXTS}
    wall = (texts or times) if kind == "string" else (times or texts)
    where = f"{table.name}.sql"
    silent = [mark for mark, column in wall.items() if _is_silent(column)]
    if silent:
        raise _unstated("source.yml", where, silent)
    zones = sorted({column.time_zone for column in wall.values() if column.time_zone})
    if len(zones) > 1:
        raise ModelError(
            f"{where}: _updated_at is made of {', '.join(sorted(wall))}, of different time zones: {', '.join(zones)}",
            expected="one zone",
            do="turn each into a moment in the SQL: to_utc_timestamp(<column>, '<zone>')",
        )
    return zones[0] if zones else "UTC"


def _is_silent(column: Column) -> bool:
    return column.type.base in WALL_CLOCKS and column.time_zone is None


def _unstated(source_yml: str, where: str, columns: Sequence[str]) -> ModelError:
    listed = ", ".join(sorted(columns))
    return ModelError(
        f"{where}: _updated_at comes from {listed}, which has no time zone of its own, and the model names none",
        expected="the zone of the clock that it was written by: without it, histories may be hours off",
        do=f"add a line 'time_zone: UTC' (or Europe/Berlin, …) at the top of {source_yml}, or time_zone to the column; "
        "see docs/model.md",
    )
