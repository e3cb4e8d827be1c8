"""Commands for a pipeline, on this machine or, with ``--stage``, on AWS."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from local_stack.aws.state_dir import DEFAULT_STATE
from tidemark_cli.app import State, pipeline_of

if TYPE_CHECKING:
    from tidemark.operations.pipeline import Pipeline
    from tidemark.operations.tick import Tick
    from tidemark.operations.upkeep import Maintenance

_INTERRUPTED = 130


def tick(
    ctx: typer.Context,
    full: Annotated[bool, typer.Option("--full", help="Compare every row, as the nightly run does.")] = False,
    restored: Annotated[
        bool, typer.Option("--restored", help="The source was set back to an earlier state: take it as it is now.")
    ] = False,
    accept_deletes: Annotated[
        str, typer.Option(metavar="TABLES", help="Tables that may shrink beyond their guard: a,b or * for all.")
    ] = "",
    state: State = DEFAULT_STATE,
) -> None:
    """Run one execution of the state machine and wait for its end."""
    _run(pipeline_of(ctx, state), full=full, restored=restored, accept_deletes=accept_deletes)


def _run(pipeline: Pipeline, *, full: bool = False, restored: bool = False, accept_deletes: str = "") -> None:
    """Run a tick and show what it did."""
    from tidemark.operations import tick as ticks

    from tidemark_cli import show

    out = show.console()
    try:
        with show.progress(out, pipeline.progress_of) as update:
            done = ticks.run_tick(
                pipeline, full=full, restored=restored, accept_deletes=accept_deletes, on_progress=update
            )
    except KeyboardInterrupt:
        out.print("no longer waiting, but the execution goes on; see: tidemark status")
        raise typer.Exit(_INTERRUPTED) from None
    _stop_if_failed(done)
    if done.manifest or done.batches:
        out.print(show.landed(done, pipeline.model))
    title = f"Execution {done.execution.name} (seconds)"
    out.print(show.executions([("full" if full or restored else "usual", done.execution)], title))
    out.print(show.ended(done))


def history(
    ctx: typer.Context,
    fact: Annotated[str, typer.Argument(metavar="FACT", help="A fact of the model, with or without fact_.")],
    key: Annotated[
        list[str],
        typer.Argument(metavar="KEY…", help="Its natural key, for example a payment_id; each column's value."),
    ],
    state: State = DEFAULT_STATE,
) -> None:
    """Show all versions of one fact row, side by side, with what changed."""
    from tidemark.operations.history import find_fact, read_versions

    from tidemark_cli import show

    pipeline, out = pipeline_of(ctx, state), show.console()
    wanted = find_fact(pipeline.model, fact)
    with pipeline.warehouse.reader() as warehouse:
        found = read_versions(warehouse, pipeline.model, wanted, key)
    named, given = ", ".join(wanted.key), ", ".join(key)
    if not found:
        show.console(stderr=True).print(
            f"[bold red]Error:[/] {wanted.name} never had a row with {named} {escape(given)}"
        )
        raise typer.Exit(1)
    for shown in show.versions(wanted.name, given, found):
        out.print(shown)


def reconcile(
    ctx: typer.Context,
    deep: Annotated[
        bool, typer.Option("--deep", help="Compare contents too, row by row, and print the rows that differ.")
    ] = False,
    state: State = DEFAULT_STATE,
) -> None:
    """Compare source, lake and warehouse, table by table; exit code 1 if anything differs."""
    from tidemark.operations.compare_rows import compare_contents
    from tidemark.operations.reconcile import reconcile as compare

    from tidemark_cli import show

    pipeline, out = pipeline_of(ctx, state), show.console()
    found = compare(pipeline)
    out.print(show.reconciliation(found))
    for line in show.verdict(found):
        out.print(line, soft_wrap=True)
    differing = list(compare_contents(pipeline)) if deep else []
    if deep:
        out.print(show.differences(differing))
    if differing or not found.agrees:
        raise typer.Exit(1)


def redrive(ctx: typer.Context, state: State = DEFAULT_STATE) -> None:
    """Try everything in quarantine again, with the model and the source as they are now.

    A change of the model or of the row does that by itself at the next tick; this is for all at once, and shows what
    is left.
    """
    from tidemark_cli import show

    pipeline, out = pipeline_of(ctx, state), show.console()
    before = sum(pipeline.lake.open_quarantine().values())
    _run(pipeline, full=True)
    left = pipeline.lake.quarantined()
    out.print(f"{before} rows were in quarantine before, {len(left)} are now")
    for line in show.quarantined(left):
        out.print(line, soft_wrap=True)


def rebuild(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    state: State = DEFAULT_STATE,
) -> None:
    """Rebuild lake and warehouse from scratch, from the landing area alone: the same history, row by row.

    The model's schema in the warehouse is dropped first, with grants, columns, indexes and the like that were added to
    its tables by hand. Other people's tables in it, and views anywhere on top of it, are named, and nothing is dropped.
    """
    from tidemark.operations.rebuild import rebuild as make_anew

    from tidemark_cli import show

    pipeline, out = pipeline_of(ctx, state), show.console()
    if not yes:
        schema = f"schema {pipeline.model.name} of the warehouse, with all grants and columns added to it by hand,"
        typer.confirm(f"Drop {schema} and the whole lake?", abort=True)
    with show.progress(out, pipeline.progress_of) as update:
        done = make_anew(pipeline, update)
    _stop_if_failed(done)
    out.print(f"rebuilt up to batch {pipeline.landing.published()}; check with: tidemark reconcile --deep")


def maintain(ctx: typer.Context, state: State = DEFAULT_STATE) -> None:
    """Look after the lake, as every night: few files, old states let go, lost files removed. No row changes."""
    from tidemark.operations.upkeep import run_upkeep

    from tidemark_cli import show

    pipeline, out = pipeline_of(ctx, state), show.console()
    try:
        with show.progress(out, pipeline.progress_of) as update:
            done = run_upkeep(pipeline, update)
    except KeyboardInterrupt:
        out.print("no longer waiting, but the maintenance goes on")
        raise typer.Exit(_INTERRUPTED) from None
    _stop_if_failed(done)
    out.print(show.maintained(done))


def status(ctx: typer.Context, state: State = DEFAULT_STATE) -> None:
    """Show what runs, how fresh the warehouse is, what is pending and what went wrong."""
    from tidemark.operations.status import read_status

    from tidemark_cli import show

    pipeline, out = pipeline_of(ctx, state), show.console()
    out.print(show.status(pipeline, read_status(pipeline), datetime.now(UTC)))


def _stop_if_failed(done: Tick | Maintenance) -> None:
    from tidemark_cli import show

    if not done.succeeded:
        for line in show.failure(done):
            show.console(stderr=True).print(line, soft_wrap=True)
        raise typer.Exit(1)
