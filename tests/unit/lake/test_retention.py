"""Which batches' states are kept, and under which tags."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from tidemark.lake.batches import BEFORE_FIRST, AppliedBatch
from tidemark.lake.retention import Retention, is_own, tags

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)


def batches(*hours_ago: float, snapshots: tuple[int | None, ...] = ()) -> list[AppliedBatch]:
    """Batches 1, 2, … that were cut so many hours before NOW; each left its own snapshot, unless they are given."""
    left = snapshots or tuple(range(101, 101 + len(hours_ago)))
    return [
        replace(BEFORE_FIRST, batch=n, cut_time=NOW - timedelta(hours=ago), snapshots={"fact": snapshot})
        for n, (ago, snapshot) in enumerate(zip(hours_ago, left, strict=True), start=1)
    ]


def kept(keep: Retention, given: list[AppliedBatch]) -> list[int]:
    return [batch.batch for batch in keep.kept(given, NOW)]


def test_every_batch_of_some_days_then_the_last_of_each_day() -> None:
    made = batches(90, 89, 66, 65, 42, 41, 18, 17, 3, 2)
    assert kept(Retention(1, 2), made) == [4, 6, 7, 8, 9, 10], "batch 2's day is too long ago"
    assert kept(Retention(1, 0), made) == [7, 8, 9, 10]
    assert kept(Retention(7, 90), made) == list(range(1, 11))


def test_the_last_batch_stays_however_old() -> None:
    assert kept(Retention(1, 0), batches(10_000, 9_000)) == [2]
    assert kept(Retention(1, 0), []) == []


def test_a_tag_names_the_batch_that_left_the_snapshot() -> None:
    made = batches(50, 40, 30, 20, 10, snapshots=(None, 7, 7, 8, 8))
    assert tags("fact", made, made) == {"batch_2": 7, "batch_4": 8}
    assert tags("fact", made, made[2:3]) == {"batch_2": 7}, "the same name, whichever of its batches is kept"
    assert tags("fact", made, made[4:]) == {"batch_4": 8}
    assert tags("another", made, made) == {}


def test_tags_of_others_are_theirs() -> None:
    assert [name for name in ("batch_1", "batch_", "batch_x", "main", "end_of_year") if is_own(name)] == ["batch_1"]


@given(
    st.lists(st.floats(0, 4000), min_size=1, max_size=40).map(lambda ages: sorted(ages, reverse=True)),
    st.integers(1, 30),
    st.integers(0, 120),
    st.integers(0, 500),
)
def test_time_only_takes_away_and_keeps_a_state_of_each_day(
    ages: list[float], every: int, daily: int, hours_later: int
) -> None:
    keep, made = Retention(every, daily), batches(*ages)
    now = {batch.batch for batch in keep.kept(made, NOW)}
    then = {batch.batch for batch in keep.kept(made, NOW + timedelta(hours=hours_later))}
    assert then <= now
    assert made[-1].batch in then
    assert now >= {batch.batch for batch in made if NOW - batch.cut_time <= timedelta(days=every)}
    within = [batch for batch in made if NOW - batch.cut_time <= timedelta(days=every + daily)]
    assert {batch.cut_time.date() for batch in within} == {
        batch.cut_time.date() for batch in within if batch.batch in now
    }
