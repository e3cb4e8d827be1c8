"""The commands ``tidemark model init``, ``check`` and ``dictionary``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlencode

import typer
from rich.markup import escape

if TYPE_CHECKING:
    from collections.abc import Sized

    from tidemark.base.credentials import Credentials
    from tidemark.drafting.draft import Draft

_MOST_NOTES: Final = 40
_IN_THE_ADDRESS: Final = ("host", "port", "dbname", "username", "password")

app = typer.Typer(help="Draft a model of your own database, and check one.", no_args_is_help=True)


@app.command(
    epilog="Example: tidemark model init --database postgresql://reader@db.example.org/shop --output model/shop"
)
def init(
    database: Annotated[
        str,
        typer.Option(
            metavar="URL",
            envvar="TIDEMARK_SOURCE_URL",
            help="The database; a role with SELECT only is enough. Leave the password to PGPASSWORD or ~/.pgpass.",
        ),
    ],
    schema: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Schema to read, may be given several times; all but the system's by default."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the model; after the database by default.")] = None,
    output: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder to write; model/NAME by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the model that is there.")] = False,
) -> None:
    """Draft source.yml and a starter star from any PostgreSQL database.

    Tables without a key are left out and listed, with what to do. The database is only read.
    """
    from tidemark.base import database_url as connections
    from tidemark.drafting.draft import draft_model

    from tidemark_cli import show

    credentials = connections.resolve(database)
    made = draft_model(credentials, schemas=schema or (), name=name, output=output, force=force)
    _report(made)
    out = show.console()
    out.print(f"[green]drafted[/] {escape(_summary(made))}", soft_wrap=True)
    words = ("tidemark", "up", "--source", _address(credentials), "--model", str(made.folder))
    out.print(f"next: look through it, then: {escape(shlex.join(words))}", soft_wrap=True)


@app.command(epilog="Example: tidemark model check model/shop")
def check(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Model folder.")]) -> None:
    """Read a model folder as every job does, and say what is in it; the SQL is only run by a tick."""
    from tidemark.model.loader import load_model

    from tidemark_cli import show

    model = load_model(str(folder))
    columns = sum(len(table.columns) for table in model.tables.values())
    show.console().print(
        f"[green]valid[/]: model {model.name}: {len(model.tables)} source tables with {columns} columns, "
        f"{len(model.dimensions)} dimensions, {len(model.facts)} facts",
        soft_wrap=True,
    )


@app.command(epilog="Example: tidemark model dictionary model/totesys --output docs/data-dictionary.md")
def dictionary(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Model folder.")],
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Page to write; stdout by default.")] = None,
    check_only: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 if the page is out of date.")
    ] = False,
) -> None:
    """Write the data dictionary of a model: every table and column, as the model describes them."""
    from tidemark.base.errors import TidemarkError
    from tidemark.model.loader import load_model
    from tidemark.operations.data_dictionary import markdown

    text = markdown(load_model(str(folder)))
    if output is None:
        typer.echo(text, nl=False)
    elif not check_only:
        output.write_text(text, encoding="utf-8")
    elif not output.is_file() or output.read_text(encoding="utf-8") != text:
        raise TidemarkError(
            f"{output} is not what {folder} says now", do=f"run: tidemark model dictionary {folder} --output {output}"
        )


def _address(credentials: Credentials) -> str:
    """Return the database's URL with all that was chosen, without the password."""
    chosen = {name: value for name, value in credentials.secret().items() if name not in _IN_THE_ADDRESS}
    return f"{credentials}?{urlencode(chosen, safe='/')}" if chosen else str(credentials)


def _report(made: Draft) -> None:
    """Print what is read, and what is not."""
    from tidemark_cli import show

    out = show.console()
    listed = show.table(
        f"Model {made.model.name}",
        "Source table",
        "Rows, about",
        "Key",
        "Strategy",
        "In the star",
        right=["Rows, about"],
    )
    for table in made.source.tables:
        rows = "?" if table.relation.rows is None else f"{table.relation.rows:,}"
        cells = (table.where, rows, ", ".join(table.key), table.strategy, made.star.role(table) or "-")
        listed.add_row(*map(escape, cells))
    out.print(listed)
    if made.source.left_out:
        out.print("[bold]Left out[/] (also at the end of source.yml)")
    for left in made.source.left_out[:_MOST_NOTES]:
        out.print(f"  {escape(left.where)}: {escape(left.why)}. [dim]To do: {escape(left.do)}[/]", soft_wrap=True)
    if len(made.source.left_out) > _MOST_NOTES:
        out.print(f"  and {len(made.source.left_out) - _MOST_NOTES} more")
    for note in made.source.notes:
        out.print(f"[yellow]Note:[/] {escape(note)}", soft_wrap=True)


def _summary(made: Draft) -> str:
    model = made.model
    counts: dict[str, Sized] = {"source table": model.tables, "dimension": model.dimensions, "fact": model.facts}
    found = ", ".join(f"{len(many)} {noun}{'' if len(many) == 1 else 's'}" for noun, many in counts.items())
    return f"{made.folder}: {found}; {len(made.source.left_out)} left out"
