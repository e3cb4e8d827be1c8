"""Commands for what only a laptop has: its stack, the simulated business, the demo."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape

from local_stack.aws.state_dir import DEFAULT_STATE
from tidemark_cli.app import State, local_only

if TYPE_CHECKING:
    from local_stack.stack import Stack

_AS_READER = "a role with SELECT only is enough"


def up(
    ctx: typer.Context,
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

    The lake lasts until `tidemark down` or a reboot, not longer.
    """
    from tidemark_cli import show

    local_only(ctx)
    _warn_of_foreign_lake(_bring_up(state, model, landing_format, source, warehouse))
    option = "" if state == DEFAULT_STATE else f" --state {state}"
    show.console().print(f"[green]ready[/]; next: tidemark tick{escape(option)}", soft_wrap=True)


def _bring_up(
    state: Path, model: Path | None, landing_format: str | None, source: str | None, warehouse: str | None
) -> Stack:
    """Start the stack, and say each thing that is done."""
    from tidemark.base import database_url

    from local_stack import lifecycle
    from tidemark_cli import show

    out = show.console()
    wanted = lifecycle.UpOptions(
        model_dir=model,
        landing_format=landing_format,
        source=database_url.resolve(source) if source else None,
        warehouse=database_url.resolve(warehouse) if warehouse else None,
    )
    return lifecycle.up(state, wanted, lambda line: out.print(escape(line), soft_wrap=True))


def _warn_of_foreign_lake(running: Stack) -> None:
    """Say at once what the load would refuse later."""
    from tidemark.base.errors import WarehouseError

    from tidemark_cli import show

    if running.record.warehouse.embedded or running.landing.published():
        return
    note, name = "", running.record.model_name
    try:
        with running.pipeline.warehouse.reader() as warehouse:
            batch = warehouse.loaded_through()
    except WarehouseError as error:  # perhaps a role that may not look
        note = str(error)
    else:
        if batch:
            note = (
                f"schema {name} of your warehouse was loaded from another lake (up to batch {batch}); "
                "the load will refuse it until you drop that schema and its rows in etl.load_ledger."
            )
    if note:
        show.console(stderr=True).print(f"[yellow]Note:[/] {escape(note)}", soft_wrap=True)


def simulate(
    ctx: typer.Context,
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
    local_only(ctx)
    if days is not None and events is not None:
        raise typer.BadParameter("give --days or --events, not both")
    from local_stack.simulator.day import run
    from local_stack.stack import Stack
    from local_stack.writer import open_writer
    from tidemark_cli import show

    running, out = Stack.attach(state), show.console()
    with closing(open_writer(running, writer)) as connection:
        happened = islice(run(connection, seed=seed), events) if events else _days(connection, days or 1, seed)
        count = 0
        for count, event in enumerate(happened, 1):  # noqa: B007 - the count outlives the loop
            out.print(escape(str(event)))
    out.print(f"{count} events; next: tidemark tick")


def _days(connection: Any, days: int, seed: int) -> Iterator[Any]:
    from local_stack.simulator.day import BusinessDay

    for _ in range(days):
        yield from BusinessDay(connection, seed=seed).work()


def down(ctx: typer.Context, state: State = DEFAULT_STATE) -> None:
    """Stop everything and remove the embedded databases; the logs stay.

    The lake is gone then. Your own databases keep what they have.
    """
    local_only(ctx)
    from local_stack import lifecycle
    from tidemark_cli import show

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


def demo(
    ctx: typer.Context,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all figures there too, also on failure.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the logs there; a temporary directory by default.")
    ] = None,
) -> None:
    """Run a business day from a real database into a real warehouse, and check every figure.

    Starts everything from scratch, needs about three minutes, stops and removes all that it started.
    """
    local_only(ctx)
    from tidemark_cli import show
    from tidemark_cli.demo.story import run_demo

    if not run_demo(state, json_file, show.console()):
        raise typer.Exit(1)
