"""The command ``tidemark``: thin commands over the local stack.

Promises: an error that a person can mend is one sentence on stderr and exit code 1 (2 for wrong usage), never a stack
trace; no command writes a password anywhere.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape
from tidemark.base import database_url as connections
from tidemark.base.sessions import open_session
from tidemark.operations import tick as ticks
from tidemark.operations.compare_rows import compare_contents
from tidemark.operations.history import find_fact, read_versions
from tidemark.operations.rebuild import rebuild as make_anew
from tidemark.operations.reconcile import reconcile as compare
from tidemark.operations.status import read_status
from typer.core import TyperGroup

from local_stack import databases as own_databases
from local_stack import lifecycle
from local_stack.lifecycle import Wanted
from local_stack.simulator.day import BusinessDay, run
from local_stack.stack import DEFAULT_STATE, Stack
from local_stack.writer import open_writer
from tidemark_cli import errors as complaints
from tidemark_cli import model_commands as model_init_cli
from tidemark_cli.demo.story import run_demo
from tidemark_cli.show import pages as show
from tidemark_cli.show import rows as show_rows

_INTERRUPTED = 130
_AS_READER = "a role with SELECT only is enough"


class _Commands(TyperGroup):
    """All commands, with one end for every error."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; turn what a person can mend into a sentence."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            text = complaints.sentence(error)
            if text is None:
                raise
            show.console(stderr=True).print(f"[bold red]Error:[/] {escape(text)}", soft_wrap=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=_Commands,
    help="A PostgreSQL database into an Iceberg lake and a star-schema warehouse with full fact history.",
    epilog="Begin with: tidemark demo. Or step by step: tidemark up, tidemark tick, tidemark simulate, tidemark tick, "
    "tidemark reconcile, tidemark down.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(model_init_cli.app, name="model")

State = Annotated[Path, typer.Option("--state", metavar="DIR", help="Directory of the stack: logs and what runs.")]


@app.command(epilog="Example: tidemark up --source postgresql://reader@db.example.org/shop --model model/shop")
def up(
    source: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="TIDEMARK_SOURCE_URL",
            help=f"Your own source database; {_AS_READER}. Leave the password to PGPASSWORD or ~/.pgpass. "
            "Without it: an embedded PostgreSQL with a simulated business.",
        ),
    ] = None,
    warehouse: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="TIDEMARK_WAREHOUSE_URL",
            help="Your own warehouse database; the role must be allowed to create schemas. "
            "Without it: a database of the embedded PostgreSQL, which goes with the stack.",
        ),
    ] = None,
    model: Annotated[Path | None, typer.Option(metavar="DIR", help="Model folder; model/totesys by default.")] = None,
    landing_format: Annotated[
        Literal["parquet", "csv"] | None, typer.Option(help="Format of the landing files; parquet by default.")
    ] = None,
    state: State = DEFAULT_STATE,
) -> None:
    """Start the local AWS and the databases, and deploy the pipeline there.

    The lake lives in the memory of the local AWS: it lasts until `tidemark down` or a reboot, not longer.
    """
    out = show.console()
    wanted = Wanted(
        model_dir=model,
        landing_format=landing_format,
        source=connections.resolve(source) if source else None,
        warehouse=connections.resolve(warehouse) if warehouse else None,
    )
    running = lifecycle.up(state, wanted, lambda line: out.print(escape(line), soft_wrap=True))
    _warn_of_foreign_lake(running)
    option = "" if state == DEFAULT_STATE else f" --state {state}"
    out.print(f"[green]ready[/]; next: tidemark tick{escape(option)}", soft_wrap=True)


def _warn_of_foreign_lake(running: Stack) -> None:
    """Say at once what the load would refuse later."""
    if running.record.warehouse.embedded or running.landing.published():
        return
    seq = own_databases.loaded_before(running.warehouse, running.record.model_name)
    if seq:
        show.console(stderr=True).print(
            f"[yellow]Note:[/] schema {running.record.model_name} of your warehouse was loaded from another lake "
            f"(up to run {seq}); the load will refuse it until you drop that schema and its rows in etl.load_ledger.",
            soft_wrap=True,
        )


@app.command(epilog="Example: tidemark tick --accept-deletes sales_order,payment")
def tick(
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
    running, out = Stack.attach(state), show.console()
    try:
        with show.progress(out) as update:
            done = ticks.run_tick(
                running, full=full, restored=restored, accept_deletes=accept_deletes, on_progress=update
            )
    except KeyboardInterrupt:
        out.print("no longer waiting, but the execution goes on; see: tidemark status")
        raise typer.Exit(_INTERRUPTED) from None
    if not done.succeeded:
        for line in show.failure(done):
            show.console(stderr=True).print(line, soft_wrap=True)
        raise typer.Exit(1)
    if done.manifest or done.runs:
        out.print(show.landed(done, running.model))
    title = f"Execution {done.execution.name} (seconds)"
    out.print(show.executions([("full" if full or restored else "usual", done.execution)], title))
    out.print(show.ended(done))


@app.command(epilog="Example: tidemark simulate --days 3")
def simulate(
    days: Annotated[int | None, typer.Option(min=1, help="Whole working days; one by default.")] = None,
    events: Annotated[int | None, typer.Option(min=1, help="Stop after so many events instead.")] = None,
    seed: Annotated[int, typer.Option(help="Chance: the same seed does the same on the same data.")] = 1,
    writer: Annotated[
        str | None,
        typer.Option(metavar="URL", help="For your own source: a role that may write there. The jobs never use it."),
    ] = None,
    state: State = DEFAULT_STATE,
) -> None:
    """Let the simulated business work: orders, payments, silent updates, now and then a delete."""
    if days is not None and events is not None:
        raise typer.BadParameter("give --days or --events, not both")
    running, out = Stack.attach(state), show.console()
    with closing(open_writer(running, writer)) as connection:
        happened = islice(run(connection, seed=seed), events) if events else _days(connection, days or 1, seed)
        count = 0
        for count, event in enumerate(happened, 1):  # noqa: B007 - the count outlives the loop
            out.print(escape(str(event)))
    out.print(f"{count} events; next: tidemark tick")


def _days(connection: Any, days: int, seed: int) -> Iterator[Any]:
    for _ in range(days):
        yield from BusinessDay(connection, seed=seed).work()


@app.command(epilog="Example: tidemark history fact_payment 13959")
def history(
    fact: Annotated[str, typer.Argument(metavar="FACT", help="A fact of the model, with or without fact_.")],
    key: Annotated[
        list[str],
        typer.Argument(metavar="KEY…", help="Its natural key, for example a payment_id; each column's value."),
    ],
    state: State = DEFAULT_STATE,
) -> None:
    """Show all versions of one fact row, side by side, with what changed."""
    running, out = Stack.attach(state), show.console()
    wanted = find_fact(running.model, fact)
    with open_session(running.warehouse, "tidemark").connection as warehouse:
        found = read_versions(warehouse, running.model, wanted, key)
    named, given = ", ".join(wanted.key), ", ".join(key)
    if not found:
        show.console(stderr=True).print(
            f"[bold red]Error:[/] {wanted.name} never had a row with {named} {escape(given)}"
        )
        raise typer.Exit(1)
    for shown in show.versions(wanted.name, given, found):
        out.print(shown)


@app.command(epilog="Example: tidemark reconcile && echo all equal")
def reconcile(
    deep: Annotated[
        bool, typer.Option("--deep", help="Compare contents too, row by row, and print the rows that differ.")
    ] = False,
    state: State = DEFAULT_STATE,
) -> None:
    """Compare source, lake and warehouse, table by table; exit code 1 if anything differs."""
    running, out = Stack.attach(state), show.console()
    found = compare(running)
    out.print(show.reconciliation(found))
    for line in show.verdict(found):
        out.print(line, soft_wrap=True)
    differing = list(compare_contents(running)) if deep else []
    if deep:
        out.print(show_rows.differences(differing))
    if differing or not found.agrees:
        raise typer.Exit(1)


@app.command(epilog="Example: tidemark redrive")
def redrive(state: State = DEFAULT_STATE) -> None:
    """Try everything in quarantine again, with the model and the source as they are now.

    A change of the model or of the row does that by itself at the next tick; this is for all at once, and shows what
    is left.
    """
    running, out = Stack.attach(state), show.console()
    before = sum(running.lake.open_quarantine().values())
    tick(full=True, restored=False, accept_deletes="", state=state)
    left = running.lake.quarantined()
    out.print(f"{before} rows were in quarantine before, {len(left)} are now")
    for line in show_rows.quarantined(left):
        out.print(line, soft_wrap=True)


@app.command(epilog="Example: tidemark rebuild --yes && tidemark reconcile --deep")
def rebuild(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    state: State = DEFAULT_STATE,
) -> None:
    """Make lake and warehouse anew from the landing area alone: the same history, row by row.

    The model's schema in the warehouse is dropped first, with everything that was added to it by hand.
    """
    running, out = Stack.attach(state), show.console()
    if not yes:
        typer.confirm(f"Drop schema {running.model.name} of the warehouse and the whole lake?", abort=True)
    with show.progress(out) as update:
        done = make_anew(running, update)
    if not done.succeeded:
        for line in show.failure(done):
            show.console(stderr=True).print(line, soft_wrap=True)
        raise typer.Exit(1)
    out.print(f"rebuilt up to run {running.landing.published()}; check with: tidemark reconcile --deep")


@app.command(epilog="Example: tidemark status --state .tidemark")
def status(state: State = DEFAULT_STATE) -> None:
    """Show what runs, how fresh the warehouse is, what is pending and what went wrong."""
    running, out = Stack.attach(state), show.console()
    out.print(show.status(running.state_dir, running.aws, running.record, read_status(running), datetime.now(UTC)))


@app.command(epilog="Example: tidemark down")
def down(state: State = DEFAULT_STATE) -> None:
    """Stop everything and remove the embedded databases; the logs stay.

    The lake was in the memory of the local AWS and is gone then. Your own databases keep what they have.
    """
    out = show.console()
    record = lifecycle.down(state)
    if record is None:
        out.print(f"nothing is running in {escape(str(state.resolve()))}", soft_wrap=True)
        return
    embedded = record.source.embedded or record.warehouse.embedded
    gone = (
        "the lake and the embedded databases are gone"
        if embedded
        else "the lake is gone, your databases are as they were"
    )
    out.print(f"stopped; {gone}; the logs stay in {escape(str(state / 'logs'))}", soft_wrap=True)
    if not record.warehouse.embedded:
        out.print(
            f"your warehouse {escape(record.warehouse.address)} keeps what was loaded. A new stack has a new lake, and "
            f"the load will refuse it there until you drop schema {record.model_name} and its rows in etl.load_ledger.",
            soft_wrap=True,
        )


@app.command(epilog="Example: tidemark demo --json figures.json")
def demo(
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all figures there too, also on failure.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the logs there; a temporary directory by default.")
    ] = None,
) -> None:
    """Run a business day from a real database into a real warehouse, and check every figure.

    Starts everything anew, needs about three minutes, stops and removes all that it started.
    """
    if not run_demo(state, json_file, show.console()):
        raise typer.Exit(1)


def main() -> None:
    """Run the command; a terminal that lacks a character gets a question mark, not an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app(prog_name="tidemark")
