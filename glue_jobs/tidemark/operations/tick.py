"""One tick seen by a person: run an execution, then gather what it landed, applied and told.

Promises: a tick's figures are those of that very execution (its name), read from the manifest that it committed and
the lake's ledger; a tick that failed says which step, why, and where its log is.
"""

from __future__ import annotations

import importlib
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tidemark.jobs.definitions import STEPS
from tidemark.lake.batches import AppliedBatch, TableChange
from tidemark.landing.manifest import Manifest
from tidemark.operations.executions import Execution, Notification, StateRun, start_execution, wait
from tidemark.operations.pipeline import Pipeline

IDLE: Final = "NothingToDo"
PUBLISHED: Final = "Published"
OVERLAP: Final = "SkippedOverlap"


@dataclass(frozen=True, kw_only=True)
class Tick:
    """What one execution did.

    Parameters
    ----------
    execution
        The execution itself.
    manifest
        What it landed, None if nothing.
    batches
        The manifests that it applied to the lake.
    notifications
        What people were told meanwhile.
    log
        Where the log of the step that failed is; empty if none did.
    """

    execution: Execution
    manifest: Manifest | None = None
    batches: tuple[AppliedBatch, ...] = ()
    notifications: tuple[Notification, ...] = ()
    log: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the execution ended well (idle and skipped ones do)."""
        return self.execution.status == "SUCCEEDED"

    @property
    def changes(self) -> dict[str, TableChange]:
        """What all its batches together did to each star table."""
        changes: dict[str, TableChange] = {}
        for applied in self.batches:
            for name, change in applied.changes.items():
                changes[name] = changes[name] + change if name in changes else change
        return changes

    @property
    def inferred_members(self) -> dict[str, int]:
        """Rows that its batches added per dimension because facts refer to them, the calendar included."""
        return dict(sum((Counter(applied.inferred_members) for applied in self.batches), Counter()))


def run_tick(
    pipeline: Pipeline,
    *,
    full: bool = False,
    restored: bool = False,
    accept_deletes: str = "",
    on_progress: Callable[[Execution], None] | None = None,
) -> Tick:
    """Run one execution and wait for its end.

    Parameters
    ----------
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
    before = len(pipeline.notifications())
    arn = start_execution(pipeline.states, pipeline.machine, given)
    execution = wait(pipeline.states, arn, _Watcher(on_progress))
    told = tuple(pipeline.notifications()[before:])
    if execution.status != "SUCCEEDED":
        return Tick(execution=execution, notifications=told, log=pipeline.log_of(execution))
    if execution.final_state != PUBLISHED:
        return Tick(execution=execution, notifications=told)
    latest = pipeline.landing.latest()
    landed = latest if latest is not None and latest.execution == execution.name else None
    batches = tuple(applied for applied in pipeline.lake.batches() if applied.execution == execution.name)
    return Tick(execution=execution, manifest=landed, batches=batches, notifications=told)


class _Watcher:
    """Passes progress on, and loads what reads the lake while the lake is being written: it takes a second or two."""

    def __init__(self, on_progress: Callable[[Execution], None] | None) -> None:
        self._on_progress = on_progress
        self._loads = threading.Thread(target=importlib.import_module, args=("tidemark.lake.reader",), daemon=True)

    def __call__(self, execution: Execution) -> None:
        if self._loads.ident is None and any(state.name == STEPS["transform"] for state in execution.states):
            self._loads.start()
        if self._on_progress:
            self._on_progress(execution)


def worked(execution: Execution) -> tuple[StateRun, ...]:
    """Return the states that did work; deciding and passing takes no time worth showing."""
    return tuple(state for state in execution.states if state.is_task)
