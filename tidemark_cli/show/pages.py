"""How Tidemark's figures look in a terminal: pure functions from figures to rich tables and lines.

Promises: nothing here reads or decides anything; without a terminal the output has no control codes and is 100 columns
wide, and no meaning hangs on colour alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from tidemark.model.definition import Model
from tidemark.operations.executions import Execution
from tidemark.operations.history import Version
from tidemark.operations.pipeline import Pipeline
from tidemark.operations.reconcile import Line, Reconciliation
from tidemark.operations.status import Status
from tidemark.operations.tick import IDLE, PUBLISHED, Tick, worked

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


@contextmanager
def progress(out: Console) -> Iterator[Callable[[Execution], None]]:
    """Show which state runs and for how long, while the block lasts; nothing without a terminal."""
    if not out.is_terminal:
        yield lambda _: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=out, transient=True) as bar:
        shown = bar.add_task("starting")

        def update(execution: Execution) -> None:
            running = [state.name for state in worked(execution) if state.status == "RUNNING"]
            if running and running[-1] != bar.tasks[0].description:
                bar.reset(shown, description=running[-1])

        yield update


def ended(tick: Tick) -> str:
    """Say how a tick that did not fail ended."""
    end = tick.execution.final_state
    if end == IDLE:
        return "nothing had changed in the source, and nothing was pending"
    if end == PUBLISHED:
        applied = ", ".join(str(run.seq) for run in tick.runs)
        return f"[green]published[/] run {applied}" if applied else "[green]published[/] what was pending in the lake"
    return f"{end}: another execution is still running; what is pending stays pending"


def executions(ran: Sequence[tuple[str, Execution]], title: str = "Executions (seconds)") -> Table:
    """One row for each execution: its label, how it ended, and the seconds of each of its steps."""
    steps: list[str] = []
    for _, execution in ran:
        steps += [state.name for state in worked(execution) if state.name not in steps]
    made = table(title, "tick", "ended at", *steps, "total", right=(*steps, "total"))
    for label, execution in ran:
        seconds: dict[str, float] = {}
        for state in worked(execution):
            seconds[state.name] = seconds.get(state.name, 0) + state.seconds
        cells = [f"{seconds[step]:.1f}" if step in seconds else "" for step in steps]
        made.add_row(label, execution.final_state or execution.status, *cells, f"{execution.seconds:.1f}")
    return made


def landed(tick: Tick, model: Model) -> Table:
    """One row for each source table that had something new: rows landed, and what became of them in the star."""
    made = table("Rows", "source table", "in source", "landed", "star table", "change", right=("in source", "landed"))
    changes = tick.changes
    for name in model.tables:
        entry = tick.manifest.tables.get(name) if tick.manifest else None
        stars = [star.name for star in model.star_tables if star.driver == name]
        said = {star: changes[star].words for star in stars if star in changes}
        if (entry is None or not entry.changed) and not any(said.values()):
            continue
        count, rows = (f"{entry.count:,}", f"{entry.rows:,}") if entry else ("", "")
        users = [star.name for star in model.star_tables if name in star.joins]
        for number, star in enumerate(stars or [f"(part of {', '.join(users)})" if users else "(not in the star)"]):
            first = (name, count, rows) if number == 0 else ("", "", "")
            made.add_row(*first, star, said.get(star) or "")
    for name, number in tick.inferred_members.items():
        made.add_row("", "", "", name, f"{number:,} added for facts that refer to them")
    return made


def failure(tick: Tick) -> list[str]:
    """Say in a few lines why a tick failed, where to look and who was told."""
    execution = tick.execution
    failed = next((state.name for state in execution.states if state.status == "FAILED"), execution.final_state)
    cause = reason(execution) or execution.error or execution.status
    lines = [f"[bold red]{failed} failed[/] in run {execution.name} after {execution.seconds:.1f} s", escape(cause)]
    if tick.log:
        lines.append(f"log: {escape(tick.log)}")
    lines += [f"notification sent: {escape(note.subject)}" for note in tick.notifications]
    if not tick.notifications:
        lines.append("no notification was sent")
    return lines


def reason(execution: Execution) -> str:
    """Return the cause of a failure without the report's other lines: which step and run, and where to look."""
    lines = [line.strip() for line in execution.cause.splitlines() if line.strip()]
    own = [line for line in lines if f"failed in run {execution.name}" not in line and not line.startswith("Look at ")]
    return "\n".join(own or lines)


def versions(fact: str, key: str, found: Sequence[Version], per_table: int = 3) -> list[Table]:
    """Versions side by side, one row for each column; a changed value is bold and has a star."""
    made: list[Table] = []
    for start in range(0, len(found), per_table):
        part = found[start : start + per_table]
        title = f"{fact} {key}: {len(found)} version{'s' if len(found) > 1 else ''}"
        shown = table(title, "", *(f"version {version.number}" for version in part))
        shown.add_row("valid from (UTC)", *(moment(version.valid_from) for version in part))
        shown.add_row("valid to (UTC)", *(version.end for version in part))
        shown.add_row("written by run", *(str(version.recorded_seq) for version in part))
        shown.add_row("closed by run", *(str(version.closed_seq or "-") for version in part), end_section=True)
        for name in part[0].values:
            shown.add_row(name, *(_cell(version, name) for version in part))
        made.append(shown)
    return made


def version_list(title: str, found: Sequence[Version]) -> Table:
    """One row for each version: when it was true, which runs wrote and closed it, and what changed."""
    made = table(title, "version", "valid from (UTC)", "valid to (UTC)", "runs", "changed")
    before: Version | None = None
    for version in found:
        changes = [
            f"{name}: {value(before.values[name])} -> {value(version.values[name])}"
            for name in version.changed
            if before is not None
        ]
        # When the source says that it changed, it says so in two columns that add nothing to valid_from.
        telling = [text for text in changes if not text.startswith("last_updated_")] or changes
        runs = str(version.recorded_seq) + (f", closed by {version.closed_seq}" if version.closed_seq else "")
        made.add_row(str(version.number), moment(version.valid_from), version.end, runs, escape(", ".join(telling)))
        before = version
    return made


def _cell(version: Version, name: str) -> str:
    text = escape(value(version.values[name]))
    return f"[bold yellow]{text} *[/]" if name in version.changed else text


def value(found: Any) -> str:
    """Write one value; NULL is told apart from an empty text."""
    return "NULL" if found is None else str(found).lower() if isinstance(found, bool) else str(found)


def reconciliation(found: Reconciliation) -> Table:
    """One row for each source table and star table: rows in source, lake and warehouse, and whether they agree."""
    title = f"Reconciliation at run {found.seq} (cut {moment(found.cut_time)} UTC)"
    numbers = ("source now", "at cut", "mirror", "lake", "warehouse", "held")
    made = table(title, "source table", *numbers[:3], "star table", *numbers[3:], "", right=numbers)
    for line in found.lines:
        made.add_row(*_reconciled(line))
    return made


def _reconciled(line: Line) -> tuple[str, ...]:
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
    if found.ledger_seq != found.seq:
        lines.append(
            f"[bold red]the warehouse is at run {found.ledger_seq}, the lake at run {found.seq}[/]; next: tidemark tick"
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


def status(pipeline: Pipeline, found: Status, now: datetime) -> Table:
    """All of a pipeline's state as names and values."""
    made = Table(box=None, show_header=False, pad_edge=False)
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    seconds = found.age(now)
    run = found.last
    rows = {
        **pipeline.about,
        "last execution": "none yet; start one with: tidemark tick"
        if run is None
        else f"{run.name}: {run.status}, {run.final_state}, {run.seconds:.1f} s",
        "cause": reason(run) if run else "",
        "published": f"run {found.published}" if found.published else "nothing yet",
        "freshness": f"the warehouse shows the source as of {moment(found.fresh)} UTC, {age(seconds)} ago"
        if seconds is not None
        else "",
        "pending": ", ".join(f"run {seq}" for seq in found.pending) or "nothing",
        "quarantine": ", ".join(f"{number:,} {name}" for name, number in found.quarantined.items()) or "empty",
        "logs": pipeline.logs + (f", last run in {run.name}" if run else ""),
    }
    for name, text in rows.items():
        if text:
            made.add_row(name, escape(text))
    for note in found.notifications[-3:]:
        made.add_row("notification", escape(f"{moment(note.time)} {note.subject}"))
    return made
