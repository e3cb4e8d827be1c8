"""The date dimension: whole years, generated."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from tidemark.base import gregorian
from tidemark.model.added_columns import DATE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tidemark.lake.tables import Lake

_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
# Each commit has so many at most: memory is bounded, however far the days of a source lie apart.
_YEARS_AT_A_TIME: Final = 500
_KINDS: Final = (pa.int32(), pa.int32(), pa.int32(), pa.int32(), pa.int32(), pa.string(), pa.string(), pa.int32())


def add_years(lake: Lake, name: str, years: Sequence[int], batch: int) -> int:
    """Append every day of the given years to the calendar; return how many."""
    target, added = lake.ensure_dates(name), 0
    for start in range(0, len(years), _YEARS_AT_A_TIME):
        days = days_of(years[start : start + _YEARS_AT_A_TIME])
        lake.append_rows(days.append_column("recorded_batch", pa.repeat(batch, len(days))), target)
        added += len(days)
    return added


def days_of(years: Sequence[int]) -> pa.Table:
    """Describe every day of some years as the calendar dimension does; year 0 is 1 BC, weeks are ISO 8601's."""
    columns = zip(*(row for year in years for row in _days(year)), strict=True)
    names = [column.name for column in DATE_COLUMNS]
    found = pa.table([pa.array(values, kind) for values, kind in zip(columns, _KINDS, strict=True)], names)
    return found.set_column(0, names[0], found.column(0).cast(pa.date32()))


def _days(year: int) -> Iterator[tuple[int | str, ...]]:
    """Yield a year's rows, in the order of :data:`DATE_COLUMNS`; the day itself as days since 1970."""
    day = gregorian.like(year)
    like, beyond = day.year, gregorian.first_day(year) - day.toordinal()
    while day.year == like:
        weekday = day.weekday()
        yield (
            *(day.toordinal() + beyond, year, day.month, day.day, weekday + 1),
            *(_DAYS[weekday], _MONTHS[day.month - 1], (day.month + 2) // 3),
        )
        day += timedelta(days=1)
