"""The command ``tidemark``: all its commands, in the order in which its help shows them.

Promises: no command writes a password anywhere.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import typer

from tidemark_cli import model_commands, pipeline_commands, stack_commands
from tidemark_cli.app import Commands, choose_stage

# Each with an example.
_COMMANDS: Final[tuple[tuple[Any, str], ...]] = (
    (stack_commands.up, "tidemark up --source postgresql://reader@db.example.org/shop --model model/shop"),
    (pipeline_commands.tick, "tidemark tick --accept-deletes sales_order,payment"),
    (stack_commands.simulate, "tidemark simulate --days 3"),
    (pipeline_commands.history, "tidemark history fact_payment 13959"),
    (pipeline_commands.reconcile, "tidemark reconcile && echo all equal"),
    (pipeline_commands.redrive, "tidemark redrive"),
    (pipeline_commands.rebuild, "tidemark rebuild --yes && tidemark reconcile --deep"),
    (pipeline_commands.maintain, "tidemark maintain && tidemark reconcile"),
    (pipeline_commands.status, "tidemark status --state .tidemark"),
    (stack_commands.down, "tidemark down"),
    (stack_commands.demo, "tidemark demo --json figures.json"),
)

app = typer.Typer(
    cls=Commands,
    help="A PostgreSQL database into an Iceberg lake and a star-schema warehouse with full fact history.",
    epilog="Begin with: tidemark demo. Or step by step: tidemark up, tidemark tick, tidemark simulate, tidemark tick, "
    "tidemark reconcile, tidemark down. On AWS: tidemark --stage dev status.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.callback()(choose_stage)
app.add_typer(model_commands.app, name="model")
for _command, _example in _COMMANDS:
    app.command(epilog=f"Example: {_example}")(_command)


def main() -> None:
    """Run the command; a terminal that lacks a character gets a question mark, not an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app(prog_name="tidemark")
