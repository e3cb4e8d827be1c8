"""The lake's maintenance seen by a person: run it, then read what it did to each table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tidemark.operations.executions import start_execution, wait

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tidemark.operations.executions import Execution, Notification
    from tidemark.operations.pipeline import Pipeline


@dataclass(frozen=True, kw_only=True)
class Maintenance:
    """One execution of the maintenance.

    Parameters
    ----------
    execution
        The execution itself.
    tables
        What was done, by ``database.table``, for every table that was looked at; empty text if nothing.
    notifications
        What people were told meanwhile.
    log
        Where the log is, if it failed.
    """

    execution: Execution
    tables: Mapping[str, str] = field(default_factory=dict)
    notifications: Sequence[Notification] = ()
    log: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the execution ended well (a skipped one does)."""
        return self.execution.status == "SUCCEEDED"


def run_upkeep(pipeline: Pipeline, on_progress: Callable[[Execution], None] | None = None) -> Maintenance:
    """Run the maintenance and wait for its end."""
    before = len(pipeline.notifications())
    arn = start_execution(pipeline.states, pipeline.upkeep_machine)
    execution = wait(pipeline.states, arn, on_progress)
    if execution.status != "SUCCEEDED":
        told = pipeline.notifications()[before:]
        return Maintenance(execution=execution, notifications=told, log=pipeline.log_of(execution))
    noted = pipeline.landing.last_maintenance()
    if noted is None or noted["execution"] != execution.name:
        return Maintenance(execution=execution)
    now = {at: table["words"] for at, table in noted["tables"].items() if table["at"] == noted["time"]}
    return Maintenance(execution=execution, tables=now)
