"""One tick seen by a person: run an execution, then gather what it landed, applied and told.

Promises: a tick's figures are those of that very execution (its run id), read from the manifest that it committed and
the lake's run ledger; a tick that failed says which step, why, and where its log is.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local_stack.aws.client import STATE_MACHINE_FILE, Notification
from local_stack.stack import Stack
from tidemark.lake.batches import Run, TableChange
from tidemark.landing.manifest import Manifest
from tidemark.operations.executions import Execution, StateRun, start_execution, wait

IDLE: Final = "NothingToDo"
PUBLISHED: Final = "Published"


@dataclass(frozen=True, kw_only=True)
class Tick:
    """What one execution did.

    Parameters
    ----------
    execution
        The execution itself.
    manifest
        What it landed, None if nothing.
    runs
        The manifests that it applied to the lake.
    notifications
        What people were told meanwhile.
    log
        Log file of the step that failed, if one did.
    """

    execution: Execution
    manifest: Manifest | None = None
    runs: tuple[Run, ...] = ()
    notifications: tuple[Notification, ...] = ()
    log: Path | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the execution ended well (idle and skipped ones do)."""
        return self.execution.status == "SUCCEEDED"

    @property
    def changes(self) -> dict[str, TableChange]:
        """What all its runs together did to each star table."""
        changes: dict[str, TableChange] = {}
        for run in self.runs:
            for name, change in run.changes.items():
                changes[name] = changes[name] + change if name in changes else change
        return changes

    @property
    def inferred_members(self) -> dict[str, int]:
        """Rows that its runs added per dimension because facts refer to them, the calendar included."""
        return dict(sum((Counter(run.inferred_members) for run in self.runs), Counter()))


def run_tick(
    stack: Stack,
    *,
    full: bool = False,
    restored: bool = False,
    accept_deletes: str = "",
    on_progress: Callable[[Execution], None] | None = None,
) -> Tick:
    """Run one execution and wait for its end.

    Parameters
    ----------
    stack
        Where.
    full
        Compare everything instead of what was written since the last cut.
    restored
        Go on although the source was set back; compare everything.
    accept_deletes
        Tables, separated by commas, that may shrink beyond their guard.
    on_progress
        Called whenever a state begins or ends.
    """
    given = {"full_compare": "restored" if restored else "true"} if full or restored else {}
    given |= {"accept_deletes": accept_deletes} if accept_deletes else {}
    before = len(stack.aws.notifications())
    execution = wait(stack.aws, start_execution(stack.aws, given), on_progress)
    told = tuple(stack.aws.notifications()[before:])
    if execution.status != "SUCCEEDED":
        return Tick(execution=execution, notifications=told, log=failed_log(stack.state_dir, execution))
    if execution.final_state != PUBLISHED:
        return Tick(execution=execution, notifications=told)
    latest = stack.landing.latest()
    landed = latest if latest is not None and latest.run_id == execution.name else None
    runs = tuple(run for run in stack.lake.runs() if run.run_id == execution.name)
    return Tick(execution=execution, manifest=landed, runs=runs, notifications=told)


def failed_log(state_dir: Path, execution: Execution) -> Path | None:
    """Return the log of the step that failed; the execution's folder if that step has none; None if there is none."""
    folder = state_dir / "logs" / execution.name
    jobs = {"ExtractSource": "extract", "TransformToLake": "transform", "LoadWarehouse": "load"}
    for state in execution.states:
        log = folder / f"{jobs.get(state.name, '')}.log"
        if state.status == "FAILED" and log.is_file():
            return log
    return folder if folder.is_dir() else None


def task_states() -> tuple[str, ...]:
    """Names of the state machine's states that do work, in the order of the file."""
    states = json.loads(STATE_MACHINE_FILE.read_text(encoding="utf-8"))["States"]
    return tuple(name for name, state in states.items() if state["Type"] == "Task")


def worked(execution: Execution) -> tuple[StateRun, ...]:
    """Return the states that did work; deciding and passing takes no time worth showing."""
    tasks = task_states()
    return tuple(state for state in execution.states if state.name in tasks)
