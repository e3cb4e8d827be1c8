"""What a table needs, against a brute-force model of key sets: no lost key may go unlisted, no new one may be listed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tidemark.landing.manifest import Manifest, TableEntry
from tidemark.landing.plan import TablePlan, plan_table
from tidemark.model.definition import Column, SourceTable
from tidemark.model.types import PgType
from tidemark.source.cut import Cut, Identity
from tidemark.source.snapshot import Scan, SourceSnapshot

SHIFT = 2
CUT = Cut(xmin=10, xmax=12, time="2026-11-22T10:00:00.000000+00:00", lsn=None)
IDENTITY = Identity(system_identifier="1", timeline="1", started="s", database="d")


def hash_of(value: object) -> int:
    return int.from_bytes(sha256(repr(value).encode()).digest()[:8], "big", signed=True)


@dataclass
class FakeSource:
    """One table, as sets: key -> contents, and the keys whose rows were written since the previous cut."""

    rows: dict[Any, int] = field(default_factory=dict)
    written: set[Any] = field(default_factory=set)
    fingerprint: str = "f"
    widest: int = 0

    @property
    def tables(self) -> dict[str, Any]:
        return {"t": SimpleNamespace(fingerprint=self.fingerprint)}

    cut = replace(CUT, xmin=20, xmax=20)

    def scan(self, table: SourceTable, changed: str, content_from: str | None = None) -> Scan:
        written = set(self.rows) if changed == "true" else self.written
        content = None if content_from is None else str(sum(hash_of(item) for item in self.rows.items()))
        hashes = sum(map(hash_of, self.rows)), sum(map(hash_of, written))
        return Scan(len(self.rows), hashes[0], len(written), hashes[1], content, None, self.widest if written else 0)

    def grouped_scan(self, table: SourceTable, shift: int, changed: str) -> dict[int, tuple[int, int, int, int]]:
        result: dict[int, tuple[int, int, int, int]] = {}
        for key in self.rows:
            count, hashed, changes, changed_hash = result.get(key >> shift, (0, 0, 0, 0))
            new = key in self.written and changed != "false"
            result[key >> shift] = (
                count + 1,
                hashed + hash_of(key),
                changes + new,
                changed_hash + (hash_of(key) if new else 0),
            )
        return result

    def key_shift(self, table: SourceTable) -> int:
        return SHIFT


def spec(key_type: str = "integer", strategy: Any = "snapshot") -> SourceTable:
    column = Column(name="id", type=PgType.parse(key_type), nullable=False, description="x")
    return SourceTable(
        name="t", schema="s", relation="t", description="x", key=("id",), columns=(column,), strategy=strategy
    )


def plan(source: FakeSource, table: SourceTable, previous: Manifest | None, reason: str = "") -> TablePlan:
    return plan_table(cast("SourceSnapshot", source), table, previous, reason)


def manifest(entry: TableEntry) -> Manifest:
    return Manifest(
        batch=1,
        execution="r",
        lake_id="l",
        model="m",
        model_digest="d",
        landing_format="parquet",
        identity=IDENTITY,
        cut=CUT,
        tables={"t": entry},
        full_compare_at=CUT.time,
    )


def first(source: FakeSource, table: SourceTable) -> Manifest:
    return manifest(plan(source, table, None, "first run").entry)


keys = st.integers(-5, 11)
states = st.dictionaries(keys, st.integers(0, 3), max_size=25)
operations = st.lists(
    st.tuples(st.sampled_from(["insert", "update", "delete", "rekey"]), keys, keys), min_size=0, max_size=12
)


def apply(source: FakeSource, steps: list[tuple[str, int, int]]) -> None:
    for kind, key, other in steps:
        if kind == "insert" and key not in source.rows:
            source.rows[key] = 0
            source.written.add(key)
        elif kind == "update" and key in source.rows:
            source.rows[key] += 1
            source.written.add(key)
        elif kind == "delete":
            source.rows.pop(key, None)
            source.written.discard(key)
        elif kind == "rekey" and key in source.rows and other not in source.rows:
            source.rows[other] = source.rows.pop(key)
            source.written.discard(key)
            source.written.add(other)


def reads_of(found: TablePlan) -> list[tuple[bool, tuple[str, ...], int | None]]:
    return [(read.keys_only, read.conditions, read.expected_rows) for read in found.reads]


@given(rows=states, steps=operations, further=operations)
@example(rows={8: 0, 9: 0}, steps=[("rekey", 8, 10)], further=[("delete", 9, 0), ("insert", 11, 0)])
def test_every_lost_key_is_listed_and_new_ones_list_nothing(
    rows: dict[int, int], steps: list[tuple[str, int, int]], further: list[tuple[str, int, int]]
) -> None:
    table, source = spec(), FakeSource(dict(rows))
    previous = first(source, table)
    for part in (steps, further):  # the second time on the baseline that the first one left
        before = set(source.rows)
        source.written = set()
        apply(source, part)
        found = plan(source, table, previous)
        lost = before - set(source.rows)
        listed = set(found.listed_groups or ())
        assert found.listed_groups is not None
        assert {key >> SHIFT for key in lost} <= listed
        new, updated = source.written - before, source.written & before
        mixed = {key >> SHIFT for key in new} & {key >> SHIFT for key in updated}  # what counts cannot tell from a loss
        assert listed - {key >> SHIFT for key in lost} <= mixed
        assert found.changed is bool(lost or source.written)
        assert found.entry.mode == ("delta" if found.changed else "none")
        reads = {keys_only: (conditions, expected) for keys_only, conditions, expected in reads_of(found)}
        assert (False in reads) is bool(source.written)
        assert (True in reads) is bool(listed)
        if source.written:
            assert reads[False][1] == len(source.written)
        if listed:
            assert reads[True][0] == (f'("id"::bigint >> {SHIFT}) IN ({", ".join(map(str, sorted(listed)))})',)
        assert found.entry.count == len(source.rows)
        previous = manifest(found.entry)


@given(rows=states, steps=operations)
def test_without_ranges_all_keys_are_listed_unless_every_written_row_is_new(
    rows: dict[int, int], steps: list[tuple[str, int, int]]
) -> None:
    table, source = spec("text"), FakeSource(dict(rows))
    previous = first(source, table)
    before = set(source.rows)
    apply(source, steps)
    found = plan(source, table, previous)
    lost = before - set(source.rows)
    if lost:
        assert found.listed_groups is None
        assert (True, (), len(source.rows)) in reads_of(found)
    elif source.written <= before or not source.written & before:
        assert found.listed_groups == ()
        assert not any(read.keys_only for read in found.reads)


@pytest.mark.parametrize("strategy", ["snapshot", "full"])
def test_a_first_run_a_changed_definition_and_a_wish_read_everything(strategy: str) -> None:
    table, source = spec(strategy=strategy), FakeSource({1: 0, 2: 0})
    begun = plan(source, table, None, "first run")
    assert (begun.entry.mode, begun.entry.why) == ("full", "first run")
    assert reads_of(begun) == [(False, (), 2)]
    previous = manifest(begun.entry)
    assert plan(source, table, previous).entry.mode == "none"
    source.fingerprint = "g"
    assert plan(source, table, previous).entry.why == "its definition changed in the source"
    assert plan(source, table, previous).entry.mode == "full"
    assert plan(source, table, previous, "full compare asked for").entry.why == "full compare asked for"
    fresh = replace(previous, tables={})
    assert plan(source, table, fresh).entry.why == "new in the model"


@given(rows=states, steps=operations)
def test_without_xmin_the_contents_decide(rows: dict[int, int], steps: list[tuple[str, int, int]]) -> None:
    table, source = spec(strategy="full"), FakeSource(dict(rows))
    previous = first(source, table)
    apply(source, steps)
    found = plan(source, table, previous)
    changed = source.rows != rows
    assert found.entry.mode == ("full" if changed else "none")
    assert reads_of(found) == ([(False, (), len(source.rows))] if changed else [])


def test_the_widest_row_is_known_until_everything_is_read_again() -> None:
    """Narrower rows that are written later do not make those in the lake narrower."""
    table, source = spec(), FakeSource({1: 0, 2: 0}, widest=700)
    previous, found = first(source, table), []
    for written, widest, reason in ((set(), 0, ""), ({1}, 90, ""), ({2}, 800, ""), ({1}, 5, "full compare asked for")):
        source.written, source.widest = written, widest
        previous = manifest(plan(source, table, previous, reason).entry)
        found.append(previous.tables["t"].widest)
    assert found == [700, 700, 800, 5]
