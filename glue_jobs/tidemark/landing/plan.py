"""What one table needs this tick: nothing, its changed rows, its keys as well, or everything.

Owns the decision, made from one scan (two, where keys changed) on the tick's snapshot against the baseline of the
previous manifest. Promises: the rows to read include every row whose contents may have changed since the baseline,
and whenever the set of keys can have lost one, the key list with which the transform finds it.

Deletes: keys before + keys of rows written since = keys now, in number and in hash sum, means that every written row
is new and none is gone; equal number and hash to before means that the keys are the same. Anything else is looked at
per key range, by the same two rules, and the ranges that neither explains land their keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemark.landing.manifest import Manifest, TableEntry
from tidemark.source import queries as sql
from tidemark.source.queries import PlannedRead

if TYPE_CHECKING:
    from tidemark.model.definition import SourceTable
    from tidemark.source.cut import Cut
    from tidemark.source.snapshot import Scan, SourceSnapshot


@dataclass(frozen=True)
class TablePlan:
    """The reads one table needs, and its manifest entry without files."""

    entry: TableEntry
    scan: Scan
    reads: tuple[PlannedRead, ...] = ()
    listed_groups: tuple[int, ...] | None = None

    @property
    def changed(self) -> bool:
        """Whether the transform will have anything to do."""
        return self.entry.changed


@dataclass(frozen=True)
class Baseline:
    """What a table is compared with: its entry in the last manifest, and that one's cut."""

    entry: TableEntry
    cut: Cut


def plan_table(snapshot: SourceSnapshot, table: SourceTable, previous: Manifest | None, full_reason: str) -> TablePlan:
    """Scan one table and decide.

    Parameters
    ----------
    previous
        The last manifest, or None before the first.
    full_reason
        Why all tables are read in full this time, or an empty text.
    """
    base, why = _baseline(snapshot, table, previous, full_reason)
    if table.strategy != "snapshot":
        return _plan_without_xmin(snapshot, table, base, why)
    return _plan_full(snapshot, table, why) if base is None else _plan_difference(snapshot, table, base)


def _baseline(
    snapshot: SourceSnapshot, table: SourceTable, previous: Manifest | None, full_reason: str
) -> tuple[Baseline | None, str]:
    """Return what the table is compared with; None, and why, if it is to be read in full."""
    if full_reason:
        return None, full_reason
    entry = previous.tables.get(table.name) if previous else None
    if previous is None or entry is None:
        return None, "new in the model"
    if entry.fingerprint != snapshot.tables[table.name].fingerprint:
        return None, "its definition changed in the source"
    return Baseline(entry, previous.cut), ""


def _plan_full(snapshot: SourceSnapshot, table: SourceTable, why: str) -> TablePlan:
    scan = snapshot.scan(table, "true")
    shift, groups = 0, None
    if table.integer_key:
        shift = snapshot.key_shift(table)
        groups = _groups(snapshot.grouped_scan(table, shift, "false"))
    entry = TableEntry(
        mode="full",
        why=why,
        rows=0,
        count=scan.count,
        fingerprint=snapshot.tables[table.name].fingerprint,
        key_hash=str(scan.key_hash),
        shift=shift,
        groups=groups,
        widest=scan.widest,
    )
    return TablePlan(entry, scan, (_rows(table, scan, (), scan.count),))


def _plan_difference(snapshot: SourceSnapshot, table: SourceTable, base: Baseline) -> TablePlan:
    before, changed = base.entry, sql.changed_since(base.cut, snapshot.cut)
    scan = snapshot.scan(table, changed)
    shift, groups = before.shift, before.groups
    listed: tuple[int, ...] | None = ()
    now: dict[int, tuple[int, int, int, int]] = {}
    old = (before.count, int(before.key_hash))
    same_keys = (scan.count, scan.key_hash) == old
    if not same_keys:
        if table.integer_key and groups is not None:
            now = snapshot.grouped_scan(table, shift, changed)
            listed = _unexplained(groups, now)
            groups = _groups(now)
        else:
            listed = () if (scan.count - scan.changed, scan.key_hash - scan.changed_hash) == old else None
    reads: list[PlannedRead] = []
    if scan.changed:
        reads.append(_rows(table, scan, (changed,), scan.changed))
    if listed is None:
        reads.append(_keys(table, scan, (), scan.count))
    elif listed:
        there = sum(now[group][0] for group in listed if group in now)
        reads.append(_keys(table, scan, (sql.in_groups(table, shift, listed),), there))
    entry = TableEntry(
        mode="delta" if reads else "none",
        why=_words(scan, before, bool(reads)),
        rows=0,
        count=scan.count,
        fingerprint=snapshot.tables[table.name].fingerprint,
        key_hash=str(scan.key_hash),
        shift=shift,
        groups=groups,
        widest=max(before.widest, scan.widest),
    )
    return TablePlan(entry, scan, tuple(reads), listed)


def _rows(table: SourceTable, scan: Scan, conditions: tuple[str, ...], expected: int) -> PlannedRead:
    return PlannedRead(table=table, conditions=conditions, expected_rows=expected, widest=scan.widest)


def _keys(table: SourceTable, scan: Scan, conditions: tuple[str, ...], expected: int) -> PlannedRead:
    widest = scan.widest_key
    return PlannedRead(table=table, keys_only=True, conditions=conditions, expected_rows=expected, widest=widest)


def _words(scan: Scan, before: TableEntry, any_read: bool) -> str:
    if not any_read:
        return "no row written"
    gone = before.count - scan.count
    return f"{scan.changed} rows written" + (f", {gone} fewer rows" if gone > 0 else "")


def _groups(found: dict[int, tuple[int, int, int, int]]) -> dict[str, tuple[int, str]]:
    return {str(group): (count, str(hashed)) for group, (count, hashed, _, _) in sorted(found.items())}


def _unexplained(before: dict[str, tuple[int, str]], now: dict[int, tuple[int, int, int, int]]) -> tuple[int, ...]:
    """Key ranges that lost keys, or may have."""
    result = []
    for group in {int(name) for name in before} | set(now):
        old_count, old_hash = before.get(str(group), (0, "0"))
        count, hashed, changed, changed_hash = now.get(group, (0, 0, 0, 0))
        same = (count, hashed) == (old_count, int(old_hash))
        only_new = (count - changed, hashed - changed_hash) == (old_count, int(old_hash))
        if not same and not only_new:
            result.append(group)
    return tuple(sorted(result))


def _plan_without_xmin(snapshot: SourceSnapshot, table: SourceTable, base: Baseline | None, why: str) -> TablePlan:
    """Plan a ``full`` or ``cursor`` table: contents' hash says whether anything changed."""
    before = base.entry if base else None
    window = "true"
    if table.strategy == "cursor" and before is not None and before.cursor is not None:
        window = sql.since_cursor(table, before.cursor)
    scan = snapshot.scan(table, window, content_from=window)
    # The hash the next tick compares with: over that tick's own window, which begins at this tick's last cursor.
    ahead = scan
    if table.strategy == "cursor" and scan.cursor is not None:
        ahead = snapshot.scan(table, "true", content_from=sql.since_cursor(table, scan.cursor))
    unchanged = before is not None and (before.content_hash, before.count, before.key_hash) == (
        scan.content_hash,
        scan.count,
        str(scan.key_hash),
    )
    reads: list[PlannedRead] = []
    delta = window != "true"
    if not unchanged:
        reads.append(_rows(table, scan, (window,) if delta else (), scan.changed))
        if delta and before is not None and (before.count, before.key_hash) != (scan.count, str(scan.key_hash)):
            reads.append(_keys(table, scan, (), scan.count))
    entry = TableEntry(
        mode="none" if unchanged else "delta" if delta else "full",
        why=why or ("contents as before" if unchanged else "contents changed"),
        rows=0,
        count=scan.count,
        fingerprint=snapshot.tables[table.name].fingerprint,
        key_hash=str(scan.key_hash),
        content_hash=ahead.content_hash,
        cursor=scan.cursor,
        widest=max(before.widest if delta and before else 0, scan.widest),
    )
    return TablePlan(entry, scan, tuple(reads), None)
