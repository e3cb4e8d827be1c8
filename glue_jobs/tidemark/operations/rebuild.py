"""The lake and the warehouse once more, from the landing area alone.

The landing area keeps every manifest and every file that a manifest names, so the same history comes out again, row by
row (only the warehouse's identity keys are numbered anew). Promises: the landing area is never written, but for its
note of what is published; killed anywhere, the next rebuild or tick goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from tidemark.base import storage
from tidemark.base.sessions import open_session
from tidemark.lake.removal import forget_lake
from tidemark.operations import tick as ticks

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from local_stack.stack import Stack
    from tidemark.landing.area import Landing
    from tidemark.model.definition import Model
    from tidemark.operations.executions import Execution
    from tidemark.operations.tick import Tick


def rebuild(stack: Stack, on_progress: Callable[[Execution], None] | None = None) -> Tick:
    """Forget lake and warehouse, then tick until all that was landed has gone through again; return the last tick.

    A long history may take longer than a step's limit: what such a tick has applied stays, and the next one goes on.
    """
    with open_session(stack.warehouse, "tidemark").connection as warehouse:
        forget_warehouse(warehouse, stack.model)
    forget_lake(stack.lake, stack.deployment.processed_uri)
    forget_published(stack.landing)
    applied = -1
    while True:
        done = ticks.run_tick(stack, on_progress=on_progress)
        run = stack.lake.last_run()
        reached = run.seq if run else 0
        if done.succeeded or reached <= applied:
            return done
        applied = reached


def forget_warehouse(warehouse: psycopg.Connection, model: Model) -> None:
    """Drop a model's star and its rows in the ledger, in one transaction."""
    with warehouse.transaction():
        warehouse.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(model.name)))
        found = warehouse.execute("SELECT to_regclass('etl.load_ledger') IS NOT NULL").fetchone()
        if found and found[0]:
            warehouse.execute("DELETE FROM etl.load_ledger WHERE model = %s", [model.name])


def forget_published(landing: Landing) -> None:
    """Let the landing area's last manifest, and with it all before it, be pending again."""
    storage.delete(f"{landing.uri}/published.json")
    landing.mend_pending(landing.latest())
