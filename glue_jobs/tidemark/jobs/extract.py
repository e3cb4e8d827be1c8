"""One tick of the extract: from the previous manifest and a new cut to the next manifest.

The way of a tick: open the cut; choose the baseline; scan every table; plan the reads; read; wait until the cut is
safe; commit the manifest. Promises: a tick that finds no change leaves nothing but a heartbeat; whatever happens
before the commit, nothing is visible and the next tick starts from the same baseline.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tidemark.base.errors import ContractError, ShrinkError, SourceError
from tidemark.base.giving_way import try_again
from tidemark.base.metrics import CUT_AGE, FRESHNESS, FULL_COMPARE_AGE, ROWS_READ, Metrics
from tidemark.base.progress import counted
from tidemark.base.spark import spark_session
from tidemark.landing.area import Landing
from tidemark.landing.manifest import KeyList, Manifest, TableEntry
from tidemark.landing.plan import TablePlan, plan_table
from tidemark.landing.writer import Landed, read_all
from tidemark.source.cut import Identity
from tidemark.source.queries import xids_comparable
from tidemark.source.snapshot import SourceSnapshot, open_snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tidemark.base.credentials import Credentials
    from tidemark.model.definition import Fact, Model, SourceTable

FRESH_MANIFEST_EVERY = timedelta(days=1)
_log = logging.getLogger("tidemark.extract")


@dataclass(frozen=True, kw_only=True)
class ExtractRequest:
    """What one run of the extract is asked to do.

    ``accept_deletes`` names tables that may shrink beyond their guard; ``*`` stands for all. ``restored`` says that a
    person knows that the source was set back.
    """

    execution: str
    landing_format: str
    accept_deletes: frozenset[str] = frozenset()
    full_compare: bool = False
    restored: bool = False


def extract(
    model: Model, source: Credentials, landing: Landing, request: ExtractRequest, metrics: Metrics
) -> Manifest | None:
    """Take one cut of the source into the landing area; return its manifest, or None if nothing had changed.

    The warehouse's freshness is measured before anything can fail: when ticks fail, it is seen to grow.

    Raises
    ------
    SourceError, ContractError, ShrinkError
        If the source cannot be reached, read or trusted; nothing was committed.
    LandingError
        If another run committed first.
    """
    previous = landing.latest()
    landing.restore_marker(previous)
    fresh = landing.fresh_at()
    if fresh is not None:
        metrics.age(FRESHNESS, fresh)
    return try_again(lambda: _take_cut(model, source, landing, request, previous, metrics))


def _take_cut(
    model: Model,
    source: Credentials,
    landing: Landing,
    request: ExtractRequest,
    previous: Manifest | None,
    metrics: Metrics,
) -> Manifest | None:
    with open_snapshot(source, model, "tidemark-extract", _copied_columns) as snapshot:
        if not request.restored:
            _refuse_older(previous, snapshot)
        reason = _full_reason(previous, snapshot, request)
        scanned = counted("scans", model.tables.items())
        plans = {name: plan_table(snapshot, table, previous, reason) for name, table in scanned}
        _report_surroundings(model, snapshot)
        _guard_shrinking(model, previous, plans, request.accept_deletes)
        _guard_keys(model, snapshot, plans)
        idle = not reason and not any(plan.changed for plan in plans.values())
        if previous is not None and idle and not _is_stale(previous, model, snapshot):
            _log.info("nothing has changed since manifest %d", previous.batch)
            landing.heartbeat({"time": snapshot.cut.time, "execution": request.execution, "batch": previous.batch})
            _measure(metrics, snapshot.cut.time, previous.full_compare_at, dict.fromkeys(model.tables, 0))
            return None
        manifest = _land(model, snapshot, landing, previous, plans, request, reason)
        snapshot.wait_durable()
        landing.commit(manifest)
    _log.info("committed manifest %d", manifest.batch)
    read = {name: entry.rows for name, entry in manifest.tables.items()}
    _measure(metrics, manifest.cut.time, manifest.full_compare_at, read)
    return manifest


def _copied_columns(model: Model, fact: Fact) -> Mapping[str, str]:
    from tidemark.star.lineage import copied_columns  # noqa: PLC0415 - few models need it, and an idle tick no Spark

    return copied_columns(model, fact)


def _measure(metrics: Metrics, cut: str, full_compare: str, read: dict[str, int]) -> None:
    metrics.age(CUT_AGE, cut)
    metrics.age(FULL_COMPARE_AGE, full_compare)
    metrics.rows(ROWS_READ, read)


def _refuse_older(previous: Manifest | None, snapshot: SourceSnapshot) -> None:
    """Stop if this server has not yet seen, or no longer has, all that the last cut showed.

    Read all the same, what it lacks would become deletes and changes that never happened.
    """
    expected = previous and snapshot.server.behind(previous.identity, previous.cut, snapshot.cut)
    if previous is None or not expected:
        return
    raise SourceError(
        f"source {snapshot.credentials.place} is behind what manifest {previous.batch} showed at {previous.cut.time}",
        expected=expected,
        do="if it is a standby that lags, wait, or read from the primary; if the source was really set back or moved "
        "(restored from a backup, failed over with a loss), start one execution with input "
        '{"full_compare": "restored"} (locally: tidemark tick --restored); '
        "nothing was landed",
    )


def _full_reason(previous: Manifest | None, snapshot: SourceSnapshot, request: ExtractRequest) -> str:
    """Why every table must be read in full, or an empty text if the difference to ``previous`` is enough."""
    if previous is None:
        return "first run"
    if request.full_compare or request.restored:
        return "full compare asked for"
    if previous.identity != snapshot.identity:
        return f"another server than before: {_difference(previous.identity, snapshot.identity)}"
    if not xids_comparable(previous.cut, snapshot.cut):
        return f"transaction ids cannot be compared ({previous.cut.xmin} to {snapshot.cut.xmax})"
    return ""


def _difference(before: Identity, now: Identity) -> str:
    names = ("system_identifier", "timeline", "started", "database")
    return ", ".join(name for name in names if getattr(before, name) != getattr(now, name)) + " changed"


def _is_stale(previous: Manifest, model: Model, snapshot: SourceSnapshot) -> bool:
    """Whether a manifest is due although nothing changed: the model did, or the last one is a day old."""
    if previous.model_digest != model.digest:
        return True
    age = datetime.fromisoformat(snapshot.cut.time) - datetime.fromisoformat(previous.cut.time)
    return age >= FRESH_MANIFEST_EVERY


def _report_surroundings(model: Model, snapshot: SourceSnapshot) -> None:
    for name, found in snapshot.tables.items():
        if found.extra_columns:
            _log.info("%s has columns the model does not name, ignored: %s", name, ", ".join(found.extra_columns))
        if found.row_security:
            _log.warning("row-level security of %s: only the rows that the source user is shown are moved", name)
    writable = [name for name in model.tables if snapshot.tables[name].writable]
    if writable:
        user = snapshot.credentials.username
        _log.warning("source user %s may write to %d tables; SELECT is all that is needed", user, len(writable))


def _guard_shrinking(
    model: Model, previous: Manifest | None, plans: dict[str, TablePlan], accepted: frozenset[str]
) -> None:
    """Stop before anything lands if a table lost more than its guard allows, or everything."""
    if previous is None or "*" in accepted:
        return
    losses = []
    for name, plan in plans.items():
        before = previous.tables[name].count if name in previous.tables else 0
        lost = before - plan.scan.count
        guard = model.tables[name].shrink_guard
        if lost > 0 and name not in accepted and (plan.scan.count == 0 or lost > guard * before):
            losses.append(f"{name} fell from {before} to {plan.scan.count} rows")
    if losses:
        tables = ",".join(loss.split(" ", 1)[0] for loss in losses)
        raise ShrinkError(
            f"source tables shrank beyond their guard: {'; '.join(losses)}",
            expected="fewer deletes in one tick",
            do=f'if they are meant, start an execution with input {{"accept_deletes": "{tables}"}} '
            f"(locally: tidemark tick --accept-deletes {tables}); nothing was landed",
        )


def _guard_keys(model: Model, snapshot: SourceSnapshot, plans: dict[str, TablePlan]) -> None:
    """Stop before anything lands if the model's key is not a key: mirrors and history depend on it."""
    changed = [table for name, table in model.tables.items() if plans[name].changed]
    repeated = [found for found in map(snapshot.repeated_key, changed) if found]
    if repeated:
        raise ContractError(
            "the source does not fit the model: " + "; ".join(repeated),
            expected="columns that are unique and never NULL",
            do=f"name such columns under key in model {model.name}'s source.yml, or fix the rows; nothing was landed",
        )


def _land(
    model: Model,
    snapshot: SourceSnapshot,
    landing: Landing,
    previous: Manifest | None,
    plans: dict[str, TablePlan],
    request: ExtractRequest,
    reason: str,
) -> Manifest:
    """Read what the plans say and describe it in a manifest, not yet committed."""
    reads = [read for plan in plans.values() for read in plan.reads]
    landed: dict[tuple[str, bool], Landed] = {}
    if reads:
        folder = landing.data_uri(f"{request.execution}-{uuid.uuid4().hex[:8]}")
        landed = read_all(lambda: spark_session("tidemark-extract"), snapshot, reads, folder, request.landing_format)
    tables = {
        name: _entry(model.tables[name], plan, landed.get((name, False)), landed.get((name, True)))
        for name, plan in plans.items()
    }
    for name, entry in tables.items():
        _log.info("%-20s %8d rows, %s: %d landed (%s)", name, entry.count, entry.mode, entry.rows, entry.why)
    return Manifest.following(
        previous,
        at_full_compare=bool(reason),
        execution=request.execution,
        model=model.name,
        model_digest=model.digest,
        landing_format=request.landing_format,
        identity=snapshot.identity,
        cut=replace(snapshot.cut, visible_xids=snapshot.visible_xids(model)),
        tables=tables,
    )


def _entry(table: SourceTable, plan: TablePlan, rows: Landed | None, keys: Landed | None) -> TableEntry:
    return replace(
        plan.entry,
        rows=rows.rows if rows else 0,
        files=rows.files if rows else (),
        columns=rows.columns if rows else {},
        key=table.key,
        keys=KeyList(files=keys.files, rows=keys.rows, groups=plan.listed_groups, shift=plan.entry.shift)
        if keys
        else None,
    )
