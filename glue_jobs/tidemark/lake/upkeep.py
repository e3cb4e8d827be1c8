"""The upkeep of one Iceberg table: few and sorted files, the snapshots that are kept and no others, no lost files.

Promises: no row changes, and nothing that a reader may still need goes: what a tag names, what is younger than a day,
and the files of both. Each step is one commit of Iceberg's own, so it may be killed anywhere and done again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from tidemark.base import quoting as names
from tidemark.base.errors import LakeError
from tidemark.base.spark import CATALOG, java_class
from tidemark.lake import retention

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyiceberg.table import Table

    from tidemark.lake.tables import Lake

# A query that runs now goes on reading what it began with.
YOUNG: Final = timedelta(days=1)
# Nothing writes for so long: a file that no snapshot knows was left by a job that died.
_LOST: Final = timedelta(days=3)
_MANY_FILES: Final = 5
# So that a large file is not written again for few of its rows: the delete files of one, its part of deleted rows.
_REWRITE: Final = {
    "min-input-files": str(_MANY_FILES),
    "delete-file-threshold": "10",
    "delete-ratio-threshold": "0.1",
    "remove-dangling-deletes": "true",
    # A large table is written part by part, each committed: whoever is killed has done something.
    "max-file-group-size-bytes": str(2 * 2**30),
    "partial-progress.enabled": "true",
    # What is written again is newer than every delete file, so those that it has applied are seen to be of no use.
    "use-starting-sequence-number": "false",
}


@dataclass(frozen=True, kw_only=True)
class Done:
    """What the upkeep did to a table: how many files and snapshots."""

    rewritten: int = 0
    written: int = 0
    expired: int = 0
    lost: int = 0

    @property
    def words(self) -> str:
        """The work for people; empty if there was none."""
        said = {
            f"{self.rewritten:,} files made {self.written:,}": self.rewritten,
            f"{self.expired:,} snapshots expired": self.expired,
            f"{self.lost:,} lost files removed": self.lost,
        }
        return ", ".join(text for text, number in said.items() if number)


def is_worth_compacting(table: Table) -> bool:
    """Whether a table has many files, or files that take rows from others."""
    snapshot = table.current_snapshot()
    if snapshot is None or snapshot.summary is None:
        return False
    counts = {name: int(snapshot.summary[f"total-{name}-files"] or 0) for name in ("data", "delete")}
    return counts["delete"] > 0 or counts["data"] >= _MANY_FILES


def rows(table: Table) -> int:
    """How many rows a table's data files have."""
    snapshot = table.current_snapshot()
    return int(snapshot.summary["total-records"] or 0) if snapshot is not None and snapshot.summary is not None else 0


def compact(lake: Lake, name: str, key: Sequence[str]) -> Done:
    """Write many small files, and those that lost many rows, as few that are sorted by the table's key, if it has one.

    Sorted, because a tick looks rows up by their keys, and reads the files and row groups whose range has one.

    Raises
    ------
    LakeError
        If some could not be written.
    """
    order = ", ".join(f"{names.spark(column)} ASC" for column in key)
    sorting = f"strategy => 'sort', sort_order => {names.spark_literal(order)}, " if key else ""
    options = ", ".join(f"'{option}', '{value}'" for option, value in _REWRITE.items())
    (told,) = lake.spark.sql(
        f"CALL {CATALOG}.system.rewrite_data_files("
        f"table => {names.spark_literal(name)}, {sorting}options => map({options}))"
    ).collect()
    if told["failed_data_files_count"]:
        raise LakeError(
            f"{told['failed_data_files_count']:,} files of lake table {name} could not be written again",
            expected="that nobody else writes it meanwhile",
            do="see the job's log; the next maintenance tries again, and ticks go on",
        )
    return Done(rewritten=told["rewritten_data_files_count"], written=told["added_data_files_count"])


def tag_and_expire(lake: Lake, name: str, table: Table, wanted: Mapping[str, int], now: datetime) -> int:
    """Give a table's snapshots the tags that they are to have; let go of those without one that are older than a day.

    Parameters
    ----------
    wanted
        Tag -> snapshot; own tags that are not among them go.

    Returns
    -------
    int
        How many snapshots went, with all files that only they had.
    """
    java, here = lake.iceberg(name).java, table.metadata
    java.refresh()
    known = {snapshot.snapshot_id for snapshot in here.snapshots}
    has = {tag: ref.snapshot_id for tag, ref in here.refs.items() if retention.is_own(tag)}
    new = {tag: snapshot for tag, snapshot in wanted.items() if tag not in has and snapshot in known}
    old = [tag for tag in has if tag not in wanted]
    if new or old:
        change = java.manageSnapshots()
        for tag, snapshot in new.items():
            change.createTag(tag, snapshot)
        for tag in old:
            change.removeTag(tag)
        change.commit()
    limit = int((now - YOUNG).timestamp() * 1000)
    if all(snapshot.timestamp_ms >= limit for snapshot in here.snapshots):
        return 0
    expiry = java.expireSnapshots().expireOlderThan(limit).retainLast(1)
    if found := int(expiry.apply().size()):
        expiry.commit()
    return found


def remove_lost_files(lake: Lake, name: str, now: datetime) -> int:
    """Remove files below a table's folder that none of its snapshots knows and that have lain there for days."""
    actions: Any = java_class(lake.spark, "org.apache.iceberg.spark.actions.SparkActions")
    action = actions.get(lake.spark._jsparkSession).deleteOrphanFiles(lake.iceberg(name).java)  # noqa: SLF001
    action = action.usePrefixListing(True).olderThan(int((now - _LOST).timestamp() * 1000))
    return sum(1 for _ in action.execute().orphanFileLocations())
