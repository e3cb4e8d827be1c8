"""The command's frame: one end for every error, and where a pipeline is looked for.

Promises: an error that a person can fix is one sentence on stderr and exit code 1 (2 for wrong usage), never a stack
trace.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from local_stack.aws.state_dir import DEFAULT_STATE

if TYPE_CHECKING:
    from tidemark.operations.pipeline import Pipeline

State = Annotated[Path, typer.Option("--state", metavar="DIR", help="Directory of the stack: logs and what runs.")]


@dataclass(frozen=True)
class Stage:
    """The stage on AWS that was asked for, if one was."""

    name: str = ""
    model: str = ""
    ca_file: str = "system"


class Commands(TyperGroup):
    """All commands, with one end for every error."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; turn what a person can fix into a sentence."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            from tidemark_cli import errors, show

            text = errors.sentence(error)
            if text is None:
                raise
            show.console(stderr=True).print(f"[bold red]Error:[/] {escape(text)}", soft_wrap=True)
            raise typer.Exit(1) from None


def choose_stage(
    ctx: typer.Context,
    stage: Annotated[
        str, typer.Option(metavar="STAGE", help="Work with this stage on AWS instead of the laptop's stack.")
    ] = "",
    model: Annotated[
        str, typer.Option(metavar="NAME", help="With --stage: the model, where the stage has several.")
    ] = "",
    ca_file: Annotated[
        str, typer.Option(metavar="FILE", help="With --stage: the authorities that signed the databases' certificates.")
    ] = "system",
) -> None:
    """Note which stage the command is for."""
    if not stage and (model or ca_file != "system"):
        raise typer.BadParameter("--model and --ca-file go with --stage", param_hint="'--stage'")
    ctx.obj = Stage(stage, model, ca_file)


def pipeline_of(ctx: typer.Context, state: Path) -> Pipeline:
    """Find the pipeline that a command is for."""
    stage: Stage = ctx.obj or Stage()
    if not stage.name:
        from local_stack.stack import Stack

        return Stack.attach(state).pipeline
    if state != DEFAULT_STATE:
        raise typer.BadParameter("give --stage or --state, not both", param_hint="'--state'")
    from tidemark.operations.pipeline import of_stage

    return of_stage(stage.name, stage.model, stage.ca_file)


def local_only(ctx: typer.Context) -> None:
    """Refuse ``--stage`` for what only a laptop has."""
    if ctx.obj and ctx.obj.name:
        raise typer.BadParameter(
            f"{ctx.info_name} works with the laptop's stack only; a stage is deployed with: make deploy",
            param_hint="'--stage'",
        )
