"""The lake and the warehouse once more, from the landing area alone.

The landing area keeps every manifest and every file that a manifest names, so the same history comes out again, row by
row (only the warehouse's identity keys are numbered anew). Promises: the landing area is never written, but for its
note of what is published; killed anywhere, the next rebuild or tick goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemark.lake.removal import forget_lake
from tidemark.operations import tick as ticks

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidemark.operations.executions import Execution
    from tidemark.operations.pipeline import Pipeline
    from tidemark.operations.tick import Tick


def rebuild(pipeline: Pipeline, on_progress: Callable[[Execution], None] | None = None) -> Tick:
    """Forget lake and warehouse, then tick until all that was landed has gone through again; return the last tick.

    A long history may take longer than a step's limit: what such a tick has applied stays, and the next one goes on.
    """
    pipeline.warehouse.forget()
    forget_lake(pipeline.lake, pipeline.deployment.processed_uri)
    pipeline.landing.forget_published()
    applied = -1
    while True:
        done = ticks.run_tick(pipeline, on_progress=on_progress)
        run = pipeline.lake.last_run()
        reached = run.seq if run else 0
        if done.succeeded or reached <= applied:
            return done
        applied = reached
