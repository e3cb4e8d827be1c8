"""``tidemark demo``: a business day from a real database into a real warehouse, every figure checked.

The story is told in the order in which the data flows; the figures come from :mod:`tidemark_cli.demo.figures`, the day
from :mod:`tidemark_cli.demo.day`. Promises: whatever happens, all that was started is stopped and removed, and the
figures gathered so far are written where they were asked for; the demo succeeds only if every figure agrees.
"""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from tidemark.base.errors import TidemarkError
from tidemark.operations.tick import IDLE, PUBLISHED, Tick, run_tick

from local_stack import lifecycle
from local_stack.lifecycle import UpOptions
from local_stack.stack import Stack
from tidemark_cli import errors as complaints
from tidemark_cli import show
from tidemark_cli.demo import day as demo_day
from tidemark_cli.demo.day import Day
from tidemark_cli.demo.figures import Checks, one, source_counts
from tidemark_cli.demo.results import Results

_FACTS = ("fact_sales_order", "fact_purchase_order", "fact_payment")
_LOG_LINES = 15


@dataclass
class Story:
    """One run of the demo: where it runs, what it has seen, and what it has checked."""

    stack: Stack
    out: Console
    checks: Checks
    figures: dict[str, Any]
    ticks: list[tuple[str, Tick]] = field(default_factory=list)

    def tick(self, label: str, end: str = PUBLISHED) -> Tick:
        """Run one tick.

        Raises
        ------
        TidemarkError
            If it fails: there is nothing more to show then.
        """
        with show.progress(self.out, self.stack.pipeline.progress_of) as update:
            done = run_tick(self.stack.pipeline, on_progress=update)
        self.ticks.append((label, done))
        self.figures["executions"] = [_execution(name, tick) for name, tick in self.ticks]
        if not done.succeeded:
            for line in show.failure(done):
                self.out.print(line, soft_wrap=True)
            if Path(done.log).is_file():
                for line in Path(done.log).read_text(errors="replace").splitlines()[-_LOG_LINES:]:
                    self.out.print(f"  | {escape(line)}", soft_wrap=True)
            raise TidemarkError(f"the {label} tick failed, see above")
        self.checks.equal(f"{label} tick ends at", done.execution.final_state, end)
        return done

    def heading(self, text: str) -> None:
        """Begin a chapter."""
        self.out.print(f"\n[bold cyan]{text}[/]")


def run_demo(state_dir: Path | None, json_file: Path | None, out: Console) -> bool:
    """Run the demo; tell whether every figure agreed.

    Parameters
    ----------
    state_dir
        Where the logs are kept; a temporary directory, removed at the end, unless given.
    json_file
        Where to write the figures.
    out
        Where to tell the story.

    Raises
    ------
    TidemarkError, LocalStackError, DatabaseError
        If it cannot go on; everything is stopped and the figures so far are written.
    """
    started = time.monotonic()
    checks, figures = Checks(), dict[str, Any]()
    error = ""
    try:
        with _stops_on_signals(), _stack(state_dir, out, figures) as running:
            _tell(Story(running, out, checks, figures))
        figures["stopped"] = True
    except (KeyboardInterrupt, SystemExit):
        error = "interrupted"
        out.print("interrupted; stopped and removed what was started")
        raise
    except BaseException as problem:
        error = complaints.sentence(problem) or type(problem).__name__
        raise
    finally:
        figures["seconds"] = round(time.monotonic() - started, 1)
        figures |= _outcome(checks, error)
        if json_file is not None:
            json_file.write_text(json.dumps(figures, indent=1, default=str) + "\n", encoding="utf-8")
    for check in checks.disagreeing:
        out.print(f"[bold red]differs:[/] {escape(str(check))}", soft_wrap=True)
    verdict = "[bold green]all agree[/]" if figures["ok"] else f"[bold red]{len(checks.disagreeing)} differ[/]"
    out.print(f"stopped and removed. {len(checks.made)} figures checked: {verdict}. {figures['seconds']:.0f} seconds.")
    return bool(figures["ok"])


def _outcome(checks: Checks, error: str) -> dict[str, Any]:
    return {
        "ok": not error and bool(checks.made) and not checks.disagreeing,
        "error": error,
        "checks": len(checks.made),
        "disagreeing": [str(check) for check in checks.disagreeing],
    }


def _tell(story: Story) -> None:
    owner = story.stack.source_owner
    with owner.connect() as source:
        _first_tick(story, source)
        story.heading("3  A business day")
        day = demo_day.live_a_day(owner, source)
        with day.late:
            for line in day.happened():
                story.out.print(f"  {escape(line)}", soft_wrap=True)
            _day_tick(story, day)
            day.late.commit()
        _late_tick(story, day)
        _idle_tick(story)
        story.heading("6  What the warehouse knows")
        Results(story.stack, story.out, story.checks, story.figures).show(source, day)
    story.out.print(show.executions([(label, tick.execution) for label, tick in story.ticks]))


def _first_tick(story: Story, source: Any) -> None:
    story.heading("2  The first tick: everything")
    counts = source_counts(source)
    done = story.tick("first")
    story.out.print(show.landed(done, story.stack.model))
    landed = {name: entry.rows for name, entry in done.manifest.tables.items()} if done.manifest else {}
    story.checks.equal("rows landed by the first tick", landed, counts)
    with story.stack.warehouse.connect() as warehouse:
        for fact in _FACTS:
            found = one(warehouse, f"SELECT count(*) FROM totesys.{fact}")  # noqa: S608
            story.checks.equal(f"versions of {fact} after the first tick", found, counts[fact.removeprefix("fact_")])
    story.figures["first_tick"] = {"source": counts, "landed": landed}


def _day_tick(story: Story, day: Day) -> None:
    story.heading("4  The second tick: the day, but for the open transaction")
    done = story.tick("second")
    story.out.print(show.landed(done, story.stack.model))
    changes = _changes(done)
    story.checks.equal("changes by the second tick", changes, day.expected_changes())
    story.checks.equal("payments booked by the batch", sorted(day.booked.payment_ids), sorted(day.due))
    order = day.late.order.order_id
    query = "SELECT count(*) FROM totesys.fact_sales_order WHERE sales_order_id = %s"
    with story.stack.warehouse.connect() as warehouse:
        seen = one(warehouse, query, order)
    story.checks.equal(f"uncommitted order {order} seen by the second tick", seen, 0)
    story.figures["second_tick"] = {"changes": changes, "late_order_seen": seen}


def _late_tick(story: Story, day: Day) -> None:
    story.heading(f"5  Sales order {day.late.order.order_id} is committed at last; a third tick, and an idle one")
    done = story.tick("third")
    changes = _changes(done)
    expected = {"fact_sales_order": {"new": 1}, "fact_payment": {"new": 1}, "dim_transaction": {"new": 1}}
    story.checks.equal("changes by the third tick", changes, expected)
    said = "; ".join(f"{name}: {done.changes[name].words}" for name in changes)
    story.out.print(f"  third tick: {said}", soft_wrap=True)
    story.figures["third_tick"] = {"changes": changes}


def _idle_tick(story: Story) -> None:
    before = _totals(story.stack)
    done = story.tick("idle", IDLE)
    after = _totals(story.stack)
    beat = story.stack.landing.last_heartbeat() or {}
    story.checks.equal("objects and rows after the idle tick", after, before)
    story.checks.equal("heartbeat by the idle tick", beat.get("execution"), done.execution.name)
    end = done.execution.final_state
    story.out.print(f"  idle tick:  ended at {end}, nothing written but a heartbeat ({done.execution.seconds:.1f} s)")
    story.figures["idle_tick"] = {"ended_at": end, "before": before, "after": after}


def _changes(done: Tick) -> dict[str, dict[str, int]]:
    """Return what a tick changed in the star, without what stayed as it was."""
    return {name: change.counts for name, change in done.changes.items() if change.counts}


def _totals(running: Stack) -> dict[str, int]:
    """Count what an idle tick must leave alone: objects of the lake, manifests, and rows of the warehouse."""
    s3 = running.aws.client("s3").get_paginator("list_objects_v2")

    def objects(uri: str, folder: str = "") -> int:
        pages = s3.paginate(Bucket=uri.removeprefix("s3://"), Prefix=folder)
        return sum(page.get("KeyCount", 0) for page in pages)

    with running.warehouse.connect() as warehouse:
        rows = {
            name: one(warehouse, f"SELECT count(*) FROM {name}")  # noqa: S608
            for name in (*(f"totesys.{fact}" for fact in _FACTS), "etl.load_ledger")
        }
    landing, processed = running.deployment.landing_uri, running.deployment.processed_uri
    return {
        "manifests": objects(landing, "manifests/"),
        "data files": objects(landing, "data/"),
        "objects in the lake": objects(processed),
        **rows,
    }


def _execution(label: str, tick: Tick) -> dict[str, Any]:
    execution = tick.execution
    return {
        "tick": label,
        "name": execution.name,
        "status": execution.status,
        "ended_at": execution.final_state,
        "seconds": round(execution.seconds, 1),
        "states": {state.name: round(state.seconds, 1) for state in execution.states},
    }


@contextmanager
def _stack(state_dir: Path | None, out: Console, figures: dict[str, Any]) -> Iterator[Stack]:
    """Start a stack of its own; stop and remove it in any case."""
    folder = state_dir or Path(tempfile.mkdtemp(prefix="tidemark-demo-"))
    try:
        if lifecycle.is_running(folder):
            raise TidemarkError(
                f"a stack is running in {folder.resolve()}", do="stop it (tidemark down), or name another --state"
            )
        out.print("[bold cyan]1  Start: a local AWS, a source with a history, an empty warehouse[/]")
        running = lifecycle.up(folder, UpOptions(), lambda line: out.print(f"  {escape(line)}", soft_wrap=True))
        figures["endpoint"], figures["source"] = running.aws.endpoint, running.record.source.address
        try:
            yield running
        finally:
            lifecycle.down(folder)
    finally:
        if state_dir is None:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _stops_on_signals() -> Iterator[None]:
    """Let a polite kill or a closed terminal end the demo as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
