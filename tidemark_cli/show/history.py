"""Versions of a row, side by side or as a list."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table
from tidemark.operations.history import Version

from tidemark_cli.show.layout import moment, table, value


def versions(fact: str, key: str, found: Sequence[Version], per_table: int = 3) -> list[Table]:
    """Versions side by side, one row for each column; a changed value is bold and has a star."""
    made: list[Table] = []
    for start in range(0, len(found), per_table):
        part = found[start : start + per_table]
        title = f"{fact} {key}: {len(found)} version{'s' if len(found) > 1 else ''}"
        shown = table(title, "", *(f"version {version.number}" for version in part))
        shown.add_row("valid from (UTC)", *(moment(version.valid_from) for version in part))
        shown.add_row("valid to (UTC)", *(version.end for version in part))
        shown.add_row("written by batch", *(str(version.recorded_batch) for version in part))
        shown.add_row("closed by batch", *(str(version.closed_batch or "-") for version in part), end_section=True)
        for name in part[0].values:
            shown.add_row(name, *(_cell(version, name) for version in part))
        made.append(shown)
    return made


def version_list(title: str, found: Sequence[Version]) -> Table:
    """One row for each version: when it was true, which batches wrote and closed it, and what changed."""
    made = table(title, "version", "valid from (UTC)", "valid to (UTC)", "batches", "changed")
    before: Version | None = None
    for version in found:
        changes = [
            f"{name}: {value(before.values[name])} -> {value(version.values[name])}"
            for name in version.changed
            if before is not None
        ]
        # When the source says that it changed, it says so in two columns that add nothing to valid_from.
        telling = [text for text in changes if not text.startswith("last_updated_")] or changes
        batches = str(version.recorded_batch) + (f", closed by {version.closed_batch}" if version.closed_batch else "")
        made.add_row(str(version.number), moment(version.valid_from), version.end, batches, escape(", ".join(telling)))
        before = version
    return made


def _cell(version: Version, name: str) -> str:
    text = escape(value(version.values[name]))
    return f"[bold yellow]{text} *[/]" if name in version.changed else text
