"""What a person wants to know first: does it run, how fresh is the warehouse, what waits, what went wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from tidemark.base import storage
from tidemark.landing.area import PENDING_PREFIX
from tidemark.operations.executions import Execution, Notification, last_execution

if TYPE_CHECKING:
    from tidemark.operations.pipeline import Pipeline


@dataclass(frozen=True, kw_only=True)
class Status:
    """The state of one pipeline.

    Parameters
    ----------
    last
        The last execution, None before the first.
    published
        The last batch that is in the warehouse, 0 before the first.
    fresh
        The time at which the source was last seen to be as the warehouse shows it; None before the first.
    pending
        Landed batches that are not in the warehouse yet.
    quarantined
        Open quarantine entries per star table.
    notifications
        Everything that people were told.
    maintained
        When the lake was maintained last; None if never.
    """

    last: Execution | None
    published: int
    fresh: datetime | None
    pending: tuple[int, ...]
    quarantined: dict[str, int]
    notifications: tuple[Notification, ...]
    maintained: datetime | None = None

    def age(self, now: datetime) -> float | None:
        """Seconds between `fresh` and `now`."""
        return max(0.0, (now - self.fresh).total_seconds()) if self.fresh else None


def read_status(pipeline: Pipeline) -> Status:
    """Ask Step Functions, the landing area and the lake."""
    published, noted = pipeline.landing.published(), pipeline.landing.last_maintenance()
    pending = tuple(sorted(int(name) for name in storage.names(f"{pipeline.landing.uri}/{PENDING_PREFIX}")))
    return Status(
        last=last_execution(pipeline.states, pipeline.machine),
        published=published,
        fresh=pipeline.landing.fresh_at(),
        pending=pending,
        quarantined=pipeline.lake.open_quarantine() if published else {},
        notifications=tuple(pipeline.notifications()),
        maintained=datetime.fromisoformat(noted["time"]) if noted else None,
    )
