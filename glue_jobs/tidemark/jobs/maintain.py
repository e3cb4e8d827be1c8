"""One run of the maintenance: every table of the lake compacted, old states let go, lost files removed.

Never beside a tick (the two machines look for each other), for both write the same tables. Promises: whatever a tick
may still need stays (:mod:`tidemark.lake.upkeep`); killed anywhere, the next run goes on; what there was no time for
comes first in the next one.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from tidemark.base import quoting as names
from tidemark.base.concurrency import by_item
from tidemark.base.spark import CATALOG, activate, spark_session
from tidemark.lake import retention, upkeep
from tidemark.lake.reader import LakeReader
from tidemark.lake.tables import KEY_PROPERTY, Lake
from tidemark.model.added_columns import BATCHES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyiceberg.table import Table

    from tidemark.lake.batches import AppliedBatch
    from tidemark.lake.retention import Retention
    from tidemark.landing.area import Landing
    from tidemark.model.definition import Model

# No table is begun later than that: the maintenance is to cost one tick, not several.
BUDGET_SECONDS: Final = 10 * 60.0
_WEEK: Final = 7
_log = logging.getLogger("tidemark.maintain")


@dataclass(frozen=True, kw_only=True)
class Maintained:
    """One table after its last maintenance: when that was, the snapshot that it left, and what it did, in words."""

    at: str
    snapshot: int | None
    words: str


def maintain(
    model: Model,
    landing: Landing,
    processed_uri: str,
    execution: str,
    keep: Retention,
    *,
    now: datetime | None = None,
    budget_seconds: float = BUDGET_SECONDS,
) -> dict[str, Maintained]:
    """Maintain the tables of a lake, those first that were not looked at for longest.

    Parameters
    ----------
    keep
        What stays, of the lake and of the landing area.
    now
        The time by which ages are counted.
    budget_seconds
        No table is begun after so many.

    Returns
    -------
    dict
        Table, as ``database.table`` -> what was done to it now.
    """
    now, end = now or datetime.now(UTC), time.monotonic() + budget_seconds
    reader = LakeReader(model, processed_uri)
    batches = reader.batches()
    if not batches:
        _log.info("nothing to maintain: no batch was applied yet")
        return {}
    lake = Lake(spark_session("tidemark-maintain", processed_uri), model)
    if (newest := landing.latest()) is not None:
        lake.expect(0, newest.widest(table.inputs for table in model.star_tables))
    before, kept = read_maintenance(landing), keep.kept(batches, now)

    def look_after(at: str) -> Maintained | Exception | None:
        if time.monotonic() > end:
            return None
        database, _, name = at.partition(".")
        try:
            table = reader.catalog.load_table((database, name))
            wanted = retention.tags(name, batches, kept) if database == model.star_database else {}
            return _look_after(lake, at, table, wanted, before.get(at), now)
        except Exception as error:  # noqa: BLE001 - raised later; a table that is not well must not stop the others
            return error

    tables = sorted(_tables(reader, batches[-1]), key=lambda at: before[at].at if at in before else "")
    done = _noted(landing, execution, now, before, by_item(tables, look_after))
    if keep.landing_days:
        limit = now - timedelta(days=keep.landing_days)
        removed = landing.remove_before(_first_to_keep(landing, batches[-1], limit, end))
        _log.info("%-40s %d batches removed", landing.uri, removed)
    return done


def _noted(
    landing: Landing,
    execution: str,
    now: datetime,
    before: Mapping[str, Maintained],
    ended: Mapping[str, Maintained | Exception | None],
) -> dict[str, Maintained]:
    """Keep what was done to the tables, return it, and raise what went wrong first."""
    done = {at: one for at, one in ended.items() if isinstance(one, Maintained)}
    known = {at: one for at, one in before.items() if at in ended} | done
    tables = {at: asdict(one) for at, one in known.items()}
    landing.note_maintenance({"execution": execution, "time": now.isoformat(), "tables": tables})
    if left := [at for at, one in ended.items() if one is None]:
        _log.warning("%d of %d tables were left for the next run: there was no time", len(left), len(ended))
    for error in ended.values():
        if isinstance(error, Exception):
            raise error
    return done


def _first_to_keep(landing: Landing, last: AppliedBatch, limit: datetime, end: float) -> int:
    """Return the first batch that was cut after ``limit``, or else the last one that is in lake and warehouse."""
    batch, newest = landing.begins(), min(landing.published(), last.batch)
    while batch < newest and time.monotonic() < end:
        if datetime.fromisoformat(landing.read(batch).cut.time) >= limit:
            break
        batch += 1
    return batch


def read_maintenance(landing: Landing) -> dict[str, Maintained]:
    """Return what the last maintenance of each table did, by ``database.table``."""
    noted: dict[str, Any] = landing.last_maintenance() or {"tables": {}}
    return {at: Maintained(**one) for at, one in noted["tables"].items()}


def _tables(reader: LakeReader, last: AppliedBatch) -> list[str]:
    """List the tables that ticks write, as ``database.table``; what a dead attempt left is the next tick's to drop."""
    star, named = reader.model.star_database, {BATCHES, *last.snapshots}
    return [f"{database}.{name}" for database, name in reader.tables() if database != star or name in named]


def _look_after(
    lake: Lake, at: str, table: Table, wanted: Mapping[str, int], before: Maintained | None, now: datetime
) -> Maintained:
    """Do for one table what there is to do."""
    activate(lake.spark)
    database, _, name = at.partition(".")
    spark_name = names.spark(CATALOG, database, name)
    snapshot = table.metadata.current_snapshot_id
    done = upkeep.Done()
    if (before is None or before.snapshot != snapshot) and upkeep.is_worth_compacting(table):
        lake.expect(upkeep.rows(table))
        done = upkeep.compact(lake, spark_name, _key(lake.model, database, name, table))
        written = lake.iceberg(spark_name)
        written.java.refresh()
        snapshot = written.snapshot_id
    done = replace(done, expired=upkeep.tag_and_expire(lake, spark_name, table, wanted, now))
    if _is_its_day(at, now):
        done = replace(done, lost=upkeep.remove_lost_files(lake, spark_name, now))
    _log.info("%-40s %s", at, done.words or "as before")
    return Maintained(at=now.isoformat(), snapshot=snapshot, words=done.words)


def _is_its_day(at: str, now: datetime) -> bool:
    """Whether a table's lost files are looked for today: that lists its whole folder, so it is done once a week."""
    return (now.toordinal() + sum(at.encode())) % _WEEK == 0


def _key(model: Model, database: str, name: str, table: Table) -> Sequence[str]:
    """Return the columns by which a tick looks a table's rows up; none if it does not."""
    if database == model.source_database:
        key: list[str] = json.loads(table.properties.get(KEY_PROPERTY, "[]"))
        return key
    return next((star.key for star in model.star_tables if star.name == name), ())
