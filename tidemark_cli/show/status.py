"""The status page."""

from __future__ import annotations

from datetime import datetime

from rich.markup import escape
from rich.table import Table
from tidemark.operations.pipeline import Pipeline
from tidemark.operations.status import Status

from tidemark_cli.show.executions import reason
from tidemark_cli.show.layout import age, moment


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
        "published": f"batch {found.published}" if found.published else "nothing yet",
        "freshness": f"the warehouse shows the source as of {moment(found.fresh)} UTC, {age(seconds)} ago"
        if seconds is not None
        else "",
        "pending": ", ".join(f"batch {batch}" for batch in found.pending) or "nothing",
        "quarantine": ", ".join(f"{number:,} {name}" for name, number in found.quarantined.items()) or "empty",
        "maintained": f"{moment(found.maintained)} UTC, {age((now - found.maintained).total_seconds())} ago"
        if found.maintained
        else "",
        "logs": pipeline.logs + (f", last run in {run.name}" if run else ""),
    }
    for name, text in rows.items():
        if text:
            made.add_row(name, escape(text))
    for note in found.notifications[-3:]:
        made.add_row("notification", escape(f"{moment(note.time)} {note.subject}"))
    return made
