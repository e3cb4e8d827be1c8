"""The lake and the warehouse once more, from the landing area alone.

The landing area keeps every manifest and every file that a manifest names, so the same history comes out again, row by
row (only the warehouse's identity keys are new numbers). Promises: the landing area is never written, but for its
note of what is published; killed anywhere, the next rebuild or tick goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemark.base.errors import TidemarkError
from tidemark.lake.removal import forget_lake
from tidemark.operations import tick as ticks
from tidemark.operations.executions import last_execution

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidemark.operations.executions import Execution
    from tidemark.operations.pipeline import Pipeline
    from tidemark.operations.tick import Tick


def rebuild(pipeline: Pipeline, on_progress: Callable[[Execution], None] | None = None) -> Tick:
    """Forget lake and warehouse, then tick until all that was landed has gone through again; return the last tick.

    A long history may take longer than a step's limit: what such a tick has applied stays, and the next one goes on.

    Raises
    ------
    TidemarkError
        If another execution, or the maintenance, runs, which would write to what is dropped here; if the landing area
        does not begin with the first batch; or if the warehouse cannot be dropped without something of others, or while
        somebody uses it. Then nothing is dropped, the lake neither.
    """
    for machine in (pipeline.machine, pipeline.upkeep_machine):
        _refuse_beside(last_execution(pipeline.states, machine))
    if pipeline.landing.begins() > 1:
        raise pipeline.landing.begins_later()
    pipeline.warehouse.forget()
    forget_lake(pipeline.lake, pipeline.deployment.processed_uri)
    pipeline.landing.forget_published()
    before = -1
    while True:
        done = ticks.run_tick(pipeline, on_progress=on_progress)
        if done.execution.final_state == ticks.OVERLAP:
            raise TidemarkError(
                "another execution began while lake and warehouse were dropped, so nothing was rebuilt yet",
                do="turn its schedule off, wait for its end, and tick: what was landed goes through again",
            )
        last = pipeline.lake.last_batch()
        reached = last.batch if last else 0
        if done.succeeded or reached <= before:
            return done
        before = reached


def _refuse_beside(last: Execution | None) -> None:
    if last is not None and last.status == "RUNNING":
        raise TidemarkError(
            f"execution {last.name} is running",
            expected="no execution while lake and warehouse are dropped",
            do="wait for its end, and turn schedules off until the rebuild is done; nothing was dropped",
        )
