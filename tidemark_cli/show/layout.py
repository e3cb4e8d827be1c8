"""Console, plain tables, and how times and values are written."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

WIDTH: Final = 100
_LONG_AGO_SECONDS: Final = 172_800
_MINUTE, _HOUR = 60, 3600


def console(*, stderr: bool = False) -> Console:
    """Make a console; as wide as the terminal, or 100 columns if there is none."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else WIDTH, soft_wrap=False)


class Titled(Table):
    """A table below its heading, which is not squeezed into the table's width."""

    heading = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield heading, table and an empty line."""
        yield Text(self.heading, style="bold")
        yield from super().__rich_console__(console, options)
        yield Text()


def table(title: str, *columns: str, right: Sequence[str] = ()) -> Titled:
    """Make a plain table; the columns in `right` hold numbers."""
    made = Titled(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    made.heading = title
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def moment(value: datetime | None) -> str:
    """Write a time in UTC to the millisecond; a dash for none."""
    return f"{value:%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03d}" if value else "-"


def age(seconds: float) -> str:
    """Write how long ago something was."""
    if seconds >= _LONG_AGO_SECONDS:
        return f"{seconds / 86400:.0f} days"
    if seconds >= 2 * _HOUR:
        return f"{seconds / _HOUR:.0f} hours"
    return f"{seconds / _MINUTE:.0f} minutes" if seconds >= 2 * _MINUTE else f"{seconds:.0f} seconds"


def value(found: Any) -> str:
    """Write one value; NULL is told apart from an empty text."""
    return "NULL" if found is None else str(found).lower() if isinstance(found, bool) else str(found)
