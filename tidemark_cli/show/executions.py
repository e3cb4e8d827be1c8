"""Executions: progress while one runs, how it ended, what it landed, why it failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from tidemark.model.definition import Model
from tidemark.operations.executions import Execution
from tidemark.operations.tick import IDLE, OVERLAP, PUBLISHED, Tick, worked
from tidemark.operations.upkeep import Maintenance

from tidemark_cli.show.layout import table

_WORTH_SHOWING: Final = 0.05  # seconds; less is shown as 0.0


class _Said(ProgressColumn):
    """How far the running step has come, asked for once a second."""

    max_refresh = 1.0

    def __init__(self, said: Callable[[], str]) -> None:
        super().__init__()
        self._said = said

    def render(self, _: Task) -> Text:
        return Text(self._said())


@contextmanager
def progress(out: Console, progress_of: Callable[[Execution], str]) -> Iterator[Callable[[Execution], None]]:
    """Show which state runs, for how long and how far it is, while the block lasts; nothing without a terminal."""
    if not out.is_terminal:
        yield lambda _: None
        return
    last: list[Execution] = []
    said = _Said(lambda: progress_of(last[0]) if last else "")
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), said)
    with Progress(*columns, console=out, transient=True) as bar:
        shown = bar.add_task("starting")

        def update(execution: Execution) -> None:
            last[:] = [execution]
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
        numbers = ", ".join(str(applied.batch) for applied in tick.batches)
        return f"[green]published[/] batch {numbers}" if numbers else "[green]published[/] what was pending in the lake"
    return f"{end}: another execution is still running; what is pending stays pending"


def executions(ran: Sequence[tuple[str, Execution]], title: str = "Executions (seconds)") -> Table:
    """One row for each execution: its label, how it ended, and the seconds of each of its steps that took any."""
    steps: list[str] = []
    for _, execution in ran:
        took_time = [state.name for state in worked(execution) if state.seconds >= _WORTH_SHOWING]
        steps += [name for name in took_time if name not in steps]
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


def maintained(done: Maintenance) -> str | Table:
    """One row for each table that something was done to."""
    if done.execution.final_state == OVERLAP:
        return f"{OVERLAP}: a tick, or another maintenance, is still running; try again when it has ended"
    worked_at = {at: words for at, words in done.tables.items() if words}
    if not worked_at:
        return f"looked at {len(done.tables)} tables; there was nothing to do"
    made = table(f"Maintenance of {len(done.tables)} tables", "table", "done")
    for at, words in sorted(worked_at.items()):
        made.add_row(at, words)
    return made


def failure(tick: Tick | Maintenance) -> list[str]:
    """Say in a few lines why an execution failed, where to look and who was told."""
    execution = tick.execution
    failed = next((state.name for state in execution.states if state.status == "FAILED"), execution.final_state)
    cause = reason(execution) or execution.error or execution.status
    lines = [
        f"[bold red]{failed} failed[/] in execution {execution.name} after {execution.seconds:.1f} s",
        escape(cause),
    ]
    if tick.log:
        lines.append(f"log: {escape(tick.log)}")
    lines += [f"notification sent: {escape(note.subject)}" for note in tick.notifications]
    if not tick.notifications:
        lines.append("no notification was sent")
    return lines


def reason(execution: Execution) -> str:
    """Return the cause of a failure without the report's other lines: which step and execution, and where to look."""
    lines = [line.strip() for line in execution.cause.splitlines() if line.strip()]
    own = [
        line
        for line in lines
        if f"failed in execution {execution.name}" not in line and not line.startswith("Look at ")
    ]
    return "\n".join(own or lines)
