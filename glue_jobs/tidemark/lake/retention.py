"""Which states of the lake are kept: every batch's for some days, then the last one of each day for some more.

Promises: the last batch is always among them, whatever its age: the next one starts from its state, and the load reads
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date, datetime

    from tidemark.lake.batches import AppliedBatch

DEFAULT_BATCHES_DAYS: Final = 7
DEFAULT_DAILY_DAYS: Final = 90
_TAG: Final = "batch_"


@dataclass(frozen=True)
class Retention:
    """What is kept.

    Parameters
    ----------
    batches_days, daily_days
        For so many days every batch's state of the lake; after that, for so many days, the last one of a day (UTC).
    landing_days
        For so many days the files of the landing area; 0: for ever.
    """

    batches_days: int = DEFAULT_BATCHES_DAYS
    daily_days: int = DEFAULT_DAILY_DAYS
    landing_days: int = 0

    def kept(self, batches: Sequence[AppliedBatch], now: datetime) -> list[AppliedBatch]:
        """Return the batches to keep, in the order given: that of their numbers."""
        # By the cuts' times: a lake that was made anew from its landing area has applied them all today.
        every = now - timedelta(days=self.batches_days)
        daily = every - timedelta(days=self.daily_days)
        last_of_day: dict[date, int] = {batch.cut_time.astimezone(UTC).date(): batch.batch for batch in batches}
        newest = {batches[-1].batch} if batches else set()
        lasting = newest | set(last_of_day.values())
        return [
            batch
            for batch in batches
            if batch.cut_time >= every
            or (batch.batch in lasting and (batch.cut_time >= daily or batch.batch in newest))
        ]


def tags(table: str, batches: Iterable[AppliedBatch], kept: Iterable[AppliedBatch]) -> Mapping[str, int]:
    """Return the tags that a table's snapshots are to have: ``batch_17`` -> the snapshot that batch 17 left.

    Parameters
    ----------
    batches
        All, in the order of their numbers.
    kept
        Those whose state is kept. A batch that left the table as it was has the tag of the one that did not.
    """
    first: dict[int, int] = {}
    for batch in batches:
        if (snapshot := batch.snapshots.get(table)) is not None:
            first.setdefault(snapshot, batch.batch)
    wanted = {snapshot for batch in kept if (snapshot := batch.snapshots.get(table)) is not None}
    return {f"{_TAG}{number}": snapshot for snapshot, number in first.items() if snapshot in wanted}


def is_own(tag: str) -> bool:
    """Whether a tag is one of :func:`tags`; others are left to whoever made them."""
    return tag.startswith(_TAG) and tag.removeprefix(_TAG).isdecimal()
