"""How single rows look in a terminal: those that differ, those in quarantine. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.console import RenderableType
from rich.markup import escape

from tidemark_cli.show.layout import table

if TYPE_CHECKING:
    from tidemark.operations.compare_rows import Difference

_MOST: Final = 50


def differences(found: Sequence[Difference]) -> RenderableType:
    """Rows that two places do not agree about, the first of them if they are many."""
    if not found:
        return "every row is the same in source, lake and warehouse"
    more = f", the first {_MOST}" if len(found) > _MOST else ""
    made = table(f"{len(found)} rows differ{more}", "table", "key", "what differs")
    for row in found[:_MOST]:
        made.add_row(row.table, escape(row.key), escape(row.what))
    return made


def quarantined(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One line per open quarantine entry."""
    for entry in entries:
        place = f"{entry['table_name']} {escape(entry['key'])}"
        yield f"  {place}: {escape(entry['reason'])} (since batch {entry['batch']})"
