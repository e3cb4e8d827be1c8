"""Counts of source, lake and warehouse, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from tidemark_cli.show.layout import moment, table

if TYPE_CHECKING:
    from tidemark.operations.reconcile import Reconciliation, TableCounts


def reconciliation(found: Reconciliation) -> Table:
    """One row for each source table and star table: rows in source, lake and warehouse, and whether they agree."""
    title = f"Reconciliation at batch {found.batch} (cut {moment(found.cut_time)} UTC)"
    numbers = ("source now", "at cut", "mirror", "lake", "warehouse", "held")
    made = table(title, "source table", *numbers[:3], "star table", *numbers[3:], "", right=numbers)
    for line in found.lines:
        made.add_row(*_reconciled(line))
    return made


def _reconciled(line: TableCounts) -> tuple[str, ...]:
    star = line.star or (f"(in {', '.join(line.part_of)})" if line.part_of else "(none)")
    figures = [
        line.source_now,
        line.at_cut,
        line.mirror,
        star,
        line.star_lake,
        line.warehouse,
        line.held if line.star else None,
    ]
    cells = ["" if figure is None else f"{figure:,}" if isinstance(figure, int) else figure for figure in figures]
    verdict = "[green]equal[/]" if line.agrees else f"[bold red]{escape(line.difference)}[/]"
    return (line.source, *cells, verdict)


def verdict(found: Reconciliation) -> list[str]:
    """Say in words what the table shows."""
    lines = []
    if found.ledger_batch != found.batch:
        lines.append(
            f"[bold red]the warehouse is at batch {found.ledger_batch}, the lake at batch {found.batch}[/]; "
            "next: tidemark tick"
        )
    differing = [line for line in found.lines if not line.agrees]
    lines += [
        f"[bold red]{escape(line.source)}{f' -> {line.star}' if line.star else ''}: {escape(line.difference)}[/]"
        for line in differing
    ]
    if found.moved_on:
        lines.append(f"the source has moved on since the cut: {escape(', '.join(found.moved_on))}; next: tidemark tick")
    if found.agrees:
        lines.append(
            "[green]all equal[/]: rows of source (at the cut), lake and warehouse, and every version of the facts"
        )
    return lines
