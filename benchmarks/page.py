"""What was measured, as a page: per size and work one line, per tool one column; then where Tidemark's time goes."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psutil  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.measure import Cost

_OURS: Final = "Tidemark"
_HEAD: Final = """\
# Performance

Tidemark beside tools that also bring PostgreSQL tables into a PostgreSQL warehouse: one table of twelve columns, and a
database of many small tables. Every tool reads the same source and writes to a database of its own; all of them run in
turn, in one run of one command:

    {command}

It ran on a machine with {cores} cores and {memory:.0f} GiB. Seconds depend on the machine, ratios less so; a fixed
piece of pure Python took {yardstick:.2f} s. *CPU* is that of the tool's own processes, *database* that of the two
servers, *MB* the memory of its largest process. *Cold*: no job process was kept from the tick before
(`TIDEMARK_KEEP_WARM_SECONDS=0`). Of what was done several times, the last counts. Scan, lake, history and warehouse
are all in Tidemark's figures. *All again*: the many tables have no column that tells when a row was changed, so the
first load is what each run costs.

| Tool | Keeps of former versions |
| --- | --- |
"""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a tool, on a source of some ``size``: a table of so many rows, or so many tables."""

    size: str
    work: str
    tool: str
    keeps: str
    cost: Cost

    def line(self) -> str:
        """Say it in one line."""
        cost = self.cost
        steps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in cost.steps.items() if seconds >= 0.1)  # noqa: PLR2004
        return (
            f"{self.size:>14}  {self.work:16} {self.tool:15} {cost.seconds:6.1f} s  CPU {cost.cpu:6.1f}  "
            f"database {cost.database_cpu:6.1f}  {cost.peak_mb:6.0f} MB  {steps}"
        )


def say(line: str) -> None:
    """Print a line at once, also into a file."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def markdown(runs: Sequence[Run], command: str, yardstick: float) -> str:
    """Write the page.

    Parameters
    ----------
    runs
        All of them, in their order.
    command
        What made them.
    yardstick
        Seconds of the fixed computation.
    """
    memory = psutil.virtual_memory().total / 2**30
    text = _HEAD.format(command=command, cores=os.cpu_count(), memory=memory, yardstick=yardstick)
    text += "".join(f"| {tool} | {keeps} |\n" for tool, keeps in {run.tool: run.keeps for run in runs}.items())
    last = {(run.size, run.work, run.tool): run for run in runs}
    for size in dict.fromkeys(run.size for run in runs):
        text += f"\n## {size}\n\n" + _table([run for run in last.values() if run.size == size])
    return (
        text
        + "\n## Where Tidemark's time goes\n\nSeconds; the rest is the command itself and the state machine.\n\n"
        + _steps(run for run in last.values() if run.cost.steps)
    )


def _table(runs: Sequence[Run]) -> str:
    tools = list(dict.fromkeys(run.tool for run in runs))
    text = _row("Work", *tools) + _row(*["---"] * (len(tools) + 1))
    for work in dict.fromkeys(run.work for run in runs):
        found = {run.tool: run.cost for run in runs if run.work == work}
        text += _row(work, *(_cell(found[tool], found.get(_OURS)) if tool in found else "all again" for tool in tools))
    return text


def _cell(cost: Cost, ours: Cost | None) -> str:
    ratio = f" ({cost.seconds / ours.seconds:.2f}x)" if ours and cost is not ours else ""
    return (
        f"**{cost.seconds:.1f} s**{ratio}; CPU {cost.cpu:.1f}, database {cost.database_cpu:.1f}; {cost.peak_mb:.0f} MB"
    )


def _steps(runs: Iterable[Run]) -> str:
    found = list(runs)
    names = list(dict.fromkeys(name for run in found for name in run.cost.steps))
    heads = ("Source", "Work", "", *names, "the rest", "S3 requests", "MB written", "MB read")
    text = _row(*heads) + _row(*["---"] * len(heads))
    for run in found:
        rest = run.cost.seconds - sum(run.cost.steps.values())
        steps = (f"{run.cost.steps.get(name, 0.0):.1f}" for name in names)
        seen = run.cost.traffic
        s3 = (f"{seen.requests}", f"{seen.written_mb:.1f}", f"{seen.read_mb:.1f}")
        text += _row(run.size, run.work, run.tool, *steps, f"{rest:.1f}", *s3)
    return text


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"
