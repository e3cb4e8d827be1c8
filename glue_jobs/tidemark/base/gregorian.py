"""Days of any year: the proleptic Gregorian calendar, which is the same every 400 years, beyond what Python knows.

Days are counted from 1970-01-01; year 0 is 1 BC.
"""

from __future__ import annotations

from datetime import date
from typing import Final

_YEARS: Final = 400
_DAYS: Final = 146_097
_EPOCH: Final = date(1970, 1, 1).toordinal()


def first_day(year: int) -> int:
    """Return the day that is a year's 1 January."""
    return like(year).toordinal() - _EPOCH + (year - like(year).year) // _YEARS * _DAYS


def like(year: int) -> date:
    """Return 1 January of a year that Python knows, with the same months and weekdays."""
    return date(2000 + year % _YEARS, 1, 1)


def year_and_month(day: int) -> tuple[int, int]:
    """Return the year and month (1 to 12) of a day."""
    cycles, within = divmod(day + _EPOCH - 1, _DAYS)
    found = date.fromordinal(within + 1)
    return found.year + cycles * _YEARS, found.month
