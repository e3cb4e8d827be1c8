"""The rules of history: every rule as a short history of one key, then random ones against an oracle in plain Python."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import pytest
from pyspark.sql import functions as F  # noqa: N812
from tidemark.lake.changeset import FEW_ROWS, compute
from tidemark.star import versions

from tests.frames import frame_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# Times are microseconds since 1970; cuts are an hour apart.
HOUR: Final = 3_600_000_000
CUTS: Final = [1000 * HOUR + n * HOUR for n in range(20)]
NOW: Final = CUTS[0]


@dataclass(frozen=True)
class Row:
    """What the source holds for a key: a value (None is NULL), last_updated, and whether it breaks its contract."""

    value: str | None
    updated: int | None
    bad: bool = False


@dataclass(frozen=True)
class Version:
    value: str | None
    version: int
    valid_from: int
    valid_to: int | None
    is_deleted: bool
    recorded_batch: int
    closed_batch: int | None
    updated: int | None

    @property
    def is_current(self) -> bool:
        return self.valid_to is None


State = dict[tuple[str, int], Version]
FACT = (
    "k string, v string, version int, valid_from bigint, valid_to bigint, is_current boolean, is_deleted boolean, "
    "recorded_batch bigint, closed_batch bigint, _updated_at bigint"
)
TIMES = ("valid_from", "valid_to", "_updated_at")


def fact_frame(spark: SparkSession, state: State) -> DataFrame:
    rows = [
        (
            key,
            v.value,
            v.version,
            v.valid_from,
            v.valid_to,
            v.is_current,
            v.is_deleted,
            v.recorded_batch,
            v.closed_batch,
            v.updated,
        )
        for (key, _), v in state.items()
    ]
    frame = frame_of(spark, rows, FACT)
    return frame.withColumns({name: F.timestamp_micros(name) for name in TIMES})


def decide(spark: SparkSession, state: State, source: dict[str, Row], scope: Sequence[str] | None = None) -> DataFrame:
    keys = set(source) | {key for key, _ in state} if scope is None else set(scope)
    rows = [
        (key, row.value, row.updated, "v: bad" if row.bad else None, "{}" if row.bad else None, key)
        for key, row in source.items()
        if key in keys
    ]
    candidates = frame_of(
        spark, rows, "k string, v string, _updated_at bigint, _reason string, _row string, _key_text string"
    )
    candidates = candidates.withColumn("_updated_at", F.timestamp_micros("_updated_at"))
    history = fact_frame(spark, {key: version for key, version in state.items() if key[0] in keys})
    decided = versions.decide(candidates, versions.latest_versions(history, ["k"]), ["k"], ["k", "v"])
    lost = history.where("is_current").join(candidates.select("k"), "k", "left_anti")
    return decided.unionByName(versions.gone(versions.latest_versions(lost, ["k"]), decided))


def tick(spark: SparkSession, state: State, source: dict[str, Row], cut: int, batch: int) -> dict[str, str]:
    """Apply one cut to a fact, in place; return the decisions."""
    decided = decide(spark, state, source).localCheckpoint()
    outcomes = [(row._key0, row[versions.DECISION]) for row in decided.select("_key0", versions.DECISION).collect()]
    assert len({key for key, _ in outcomes}) == len(outcomes), "one decision per key"
    rows = versions.to_write(decided, ["k", "v"], f"timestamp_micros({cut})", batch)
    assert rows.columns == versions.column_names(["k", "v"])
    for row in rows.withColumns({name: F.unix_micros(name) for name in TIMES}).collect():
        assert row.is_current is (row.valid_to is None)
        known = state.get((row.k, row.version))
        written = Version(
            row.v,
            row.version,
            row.valid_from,
            row.valid_to,
            row.is_deleted,
            row.recorded_batch,
            row.closed_batch,
            row._updated_at,
        )
        if known is not None:
            assert not row.is_current, "a version is opened once"
            assert (
                replace(written, valid_to=known.valid_to, is_deleted=known.is_deleted, closed_batch=known.closed_batch)
                == known
            ), "closing a version changes nothing else of it"
        state[row.k, row.version] = written
    return dict(outcomes)


def oracle(state: dict[str, list[Version]], key: str, row: Row | None, cut: int, batch: int) -> str | None:
    """Do the same to a list of versions, straight from the rules."""
    chain = state.setdefault(key, [])
    last = chain[-1] if chain else None
    if row is None:
        if last is None or last.valid_to is not None:
            return None
        chain[-1] = replace(last, valid_to=max(cut, last.valid_from + 1), is_deleted=True, closed_batch=batch)
        return "gone"
    if row.bad:
        return "bad"
    if last is not None and last.valid_to is None and row.value == last.value:
        return None
    begin = cut
    moved_forward = row.updated is not None and (last is None or last.updated is None or row.updated > last.updated)
    if moved_forward:
        assert row.updated is not None
        begin = min(row.updated, cut)
    if last is not None:
        earliest = last.valid_to if last.valid_to is not None else last.valid_from + 1
        if begin < earliest:
            begin = max(cut, earliest)
    kind = "new"
    if last is not None and last.valid_to is None:
        chain[-1] = replace(last, valid_to=begin, closed_batch=batch)
        kind = "changed"
    chain.append(Version(row.value, len(chain) + 1, begin, None, False, batch, None, row.updated))
    return kind


A, B = Row("a", NOW - 5), Row("b", NOW - 5)
LATER = CUTS[1] - 7
# Name -> (the source's row at each cut, None where there is none; the versions in the end: value, from, to, deleted).
CASES: Final[dict[str, tuple[list[Row | None], list[tuple[str | None, int, int | None, bool]]]]] = {
    "new": ([A], [("a", NOW - 5, None, False)]),
    "new, and nothing happens": ([A, A, A], [("a", NOW - 5, None, False)]),
    "new without last_updated": ([Row("a", None)], [("a", NOW, None, False)]),
    "new with last_updated in the future": ([Row("a", NOW + HOUR)], [("a", NOW, None, False)]),
    "new at the second cut, committed late": ([None, A], [("a", NOW - 5, None, False)]),
    "visible change": ([A, Row("b", LATER)], [("a", NOW - 5, LATER, False), ("b", LATER, None, False)]),
    "silent change": ([A, B], [("a", NOW - 5, CUTS[1], False), ("b", CUTS[1], None, False)]),
    "last_updated moves alone": ([A, Row("a", LATER)], [("a", NOW - 5, None, False)]),
    "late commit with an older last_updated": (
        [A, Row("b", NOW - 9)],
        [("a", NOW - 5, CUTS[1], False), ("b", CUTS[1], None, False)],
    ),
    "last_updated moved forward, but not past the begin of the last version": (
        [A, B, Row("c", NOW + 8)],
        [("a", NOW - 5, CUTS[1], False), ("b", CUTS[1], CUTS[2], False), ("c", CUTS[2], None, False)],
    ),
    "last_updated in the future": (
        [A, Row("b", CUTS[5])],
        [("a", NOW - 5, CUTS[1], False), ("b", CUTS[1], None, False)],
    ),
    "last_updated in the future, twice": (
        [A, Row("b", CUTS[5]), Row("c", CUTS[5] + 1)],
        [("a", NOW - 5, CUTS[1], False), ("b", CUTS[1], CUTS[2], False), ("c", CUTS[2], None, False)],
    ),
    "last_updated became NULL": (
        [A, Row("b", None)],
        [("a", NOW - 5, CUTS[1], False), ("b", CUTS[1], None, False)],
    ),
    "last_updated was NULL": (
        [Row("a", None), Row("b", LATER)],
        [("a", NOW, LATER, False), ("b", LATER, None, False)],
    ),
    "value becomes NULL and comes back": (
        [A, Row(None, LATER), Row("a", CUTS[2] - 1)],
        [("a", NOW - 5, LATER, False), (None, LATER, CUTS[2] - 1, False), ("a", CUTS[2] - 1, None, False)],
    ),
    "delete": ([A, None], [("a", NOW - 5, CUTS[1], True)]),
    "delete, and nothing happens": ([A, None, None], [("a", NOW - 5, CUTS[1], True)]),
    "delete and back with the same last_updated": (
        [A, None, A],
        [("a", NOW - 5, CUTS[1], True), ("a", CUTS[2], None, False)],
    ),
    "delete and back with a newer last_updated": (
        [A, None, Row("a", CUTS[1] + 3)],
        [("a", NOW - 5, CUTS[1], True), ("a", CUTS[1] + 3, None, False)],
    ),
    "delete and back with a last_updated from before the delete": (
        [A, None, Row("a", CUTS[1] - 3)],
        [("a", NOW - 5, CUTS[1], True), ("a", CUTS[2], None, False)],
    ),
    "delete and back with the very moment of the delete": (
        [A, None, Row("z", CUTS[1])],
        [("a", NOW - 5, CUTS[1], True), ("z", CUTS[1], None, False)],
    ),
    "delete and back between two cuts, changed": (
        [A, Row("b", LATER)],
        [("a", NOW - 5, LATER, False), ("b", LATER, None, False)],
    ),
    "twice deleted": (
        [A, None, A, None, A],
        [("a", NOW - 5, CUTS[1], True), ("a", CUTS[2], CUTS[3], True), ("a", CUTS[4], None, False)],
    ),
    "bad from the start": ([Row("x", NOW, bad=True)], []),
    "bad, then fixed": ([Row("x", NOW, bad=True), Row("b", NOW)], [("b", NOW, None, False)]),
    "bad keeps the last good version": ([A, Row("x", LATER, bad=True)], [("a", NOW - 5, None, False)]),
    "bad, then as before": ([A, Row("x", LATER, bad=True), A], [("a", NOW - 5, None, False)]),
    "bad, then another value": (
        [A, Row("x", LATER, bad=True), Row("b", LATER)],
        [("a", NOW - 5, LATER, False), ("b", LATER, None, False)],
    ),
    "bad, then gone": ([A, Row("x", LATER, bad=True), None], [("a", NOW - 5, CUTS[2], True)]),
    "gone, then back bad": ([A, None, Row("x", LATER, bad=True)], [("a", NOW - 5, CUTS[1], True)]),
    "gone, back bad, fixed": (
        [A, None, Row("x", LATER, bad=True), Row("c", CUTS[3] - 1)],
        [("a", NOW - 5, CUTS[1], True), ("c", CUTS[3] - 1, None, False)],
    ),
}


@pytest.fixture(scope="module")
def histories(spark: SparkSession) -> State:
    """All cases at once: every case is a key, every step a cut."""
    state: State = {}
    for step in range(max(len(steps) for steps, _ in CASES.values())):
        source = {
            name: row for name, (steps, _) in CASES.items() if (row := steps[min(step, len(steps) - 1)]) is not None
        }
        tick(spark, state, source, CUTS[step], step + 1)
    return state


def test_what_says_that_it_changed_after_the_cut_is_counted(spark: SparkSession) -> None:
    state: State = {}
    minute = HOUR // 60
    known = {"as before": Row("a", NOW + 9 * HOUR), "gone": A}
    tick(spark, state, known, NOW - HOUR, 1)
    source = {
        "as before": known["as before"], "new": Row("a", NOW + 6 * minute), "little": Row("a", NOW + 4 * minute),
        "never": Row("a", None), "bad": Row("x", NOW + HOUR, bad=True), "past": A,
    }  # fmt: skip
    decided = decide(spark, state, source)
    marks = {"ahead": versions.ahead(F.timestamp_micros(F.lit(NOW)))}

    def counted(frame: DataFrame) -> int:
        return compute(frame, versions.DECISION, ["_key0"], marks)[1].marked["ahead"]

    assert counted(decided) == 1
    assert counted(decided.where("_key0 <> 'new'")) == 0
    assert counted(decided.crossJoin(spark.range(FEW_ROWS // 2))) == FEW_ROWS // 2


def test_only_rows_that_refer_to_something_else_than_before_are_looked_up(spark: SparkSession) -> None:
    state: State = {}
    tick(spark, state, {"same": A, "other": A, "gone": A, "back": A, "back otherwise": A}, NOW - 2 * HOUR, 1)
    tick(spark, state, {"same": A, "other": A, "gone": A}, NOW - HOUR, 2)
    source = {"new": A, "same": A, "other": B, "back": A, "back otherwise": B, "bad": Row("x", NOW, bad=True)}
    decided = decide(spark, state, source)
    found = decided.where(versions.refers_anew(["v"])).select("_key0").collect()
    assert sorted(row[0] for row in found) == ["back otherwise", "new", "other"]
    assert decided.where(versions.refers_anew(["k"])).count() == 1, "of what was there, none has another key"


def chain_of(state: State, key: str) -> list[Version]:
    return [version for (name, _), version in sorted(state.items()) if name == key]


@pytest.mark.parametrize("name", CASES)
def test_a_rule(histories: State, name: str) -> None:
    found = [(v.value, v.valid_from, v.valid_to, v.is_deleted) for v in chain_of(histories, name)]
    assert found == CASES[name][1]


@pytest.mark.parametrize("name", CASES)
def test_the_second_time_axis_says_which_run_wrote_and_which_closed(histories: State, name: str) -> None:
    expected: dict[str, list[Version]] = {}
    steps = CASES[name][0]
    for step in range(max(len(steps) for steps, _ in CASES.values())):
        oracle(expected, name, steps[min(step, len(steps) - 1)], CUTS[step], step + 1)
    assert chain_of(histories, name) == expected[name]


def test_a_clock_that_goes_back_makes_no_empty_and_no_overlapping_interval(spark: SparkSession) -> None:
    state: State = {}
    tick(spark, state, {"a": Row("1", NOW), "d": Row("1", NOW), "u": Row("1", None)}, CUTS[3], 1)
    tick(spark, state, {"a": Row("2", NOW), "u": Row("2", None)}, CUTS[1], 2)
    assert [(v.valid_from, v.valid_to) for v in chain_of(state, "a")] == [(NOW, CUTS[1]), (CUTS[1], None)]
    assert [(v.valid_from, v.valid_to) for v in chain_of(state, "d")] == [(NOW, CUTS[1])]
    assert [(v.valid_from, v.valid_to) for v in chain_of(state, "u")] == [(CUTS[3], CUTS[3] + 1), (CUTS[3] + 1, None)]
    tick(spark, state, {"a": Row("2", NOW)}, CUTS[2], 3)
    assert chain_of(state, "u")[-1].valid_to == CUTS[3] + 2
    tick(spark, state, {"a": Row("2", NOW), "u": Row("3", CUTS[2])}, CUTS[2], 4)
    assert chain_of(state, "u")[-1].valid_from == CUTS[3] + 2


def test_only_keys_in_scope_are_looked_at(spark: SparkSession) -> None:
    state: State = {}
    tick(spark, state, {"a": A, "b": A}, CUTS[0], 1)
    decided = decide(spark, state, {"a": B}, scope=["a"]).collect()
    assert [(row._key0, row[versions.DECISION]) for row in decided] == [("a", "changed")]


def test_random_histories_agree_with_the_oracle(spark: SparkSession) -> None:
    dice = random.Random(1)  # noqa: S311 - chance, not a secret
    keys = [f"k{number}" for number in range(400)]
    state: State = {}
    expected: dict[str, list[Version]] = {}
    source: dict[str, Row] = {}
    for batch in range(1, 9):
        cut = CUTS[batch] + dice.choice([0, 0, 0, -3 * HOUR, 1])  # now and then the clock goes back
        for key in keys:
            change_row(dice, source, key, cut)
        decisions = tick(spark, state, source, cut, batch)
        wanted = {key: oracle(expected, key, source.get(key), cut, batch) for key in keys}
        assert decisions == {key: kind for key, kind in wanted.items() if kind}
    found = {key: chain_of(state, key) for key in keys}
    assert found == {key: expected.get(key, []) for key in keys}
    for key, chain in found.items():
        check_chain(chain, source.get(key))
    again = decide(spark, state, {key: row for key, row in source.items() if not row.bad})
    assert again.where("_decision <> 'gone'").count() == 0, "deciding again gives nothing"


def change_row(dice: random.Random, source: dict[str, Row], key: str, cut: int) -> None:
    old = source.get(key)
    stamps: list[Any] = [old.updated if old else NOW, cut - 5, cut - 2 * HOUR, cut + HOUR, cut, None]
    match dice.randrange(6):
        case 0:
            source.pop(key, None)
        case 1:
            source[key] = Row(dice.choice(["a", "b", None]), dice.choice(stamps))
        case 2:
            source[key] = Row(dice.choice(["a", "b"]), old.updated if old else cut - 1)
        case 3:
            source[key] = Row("x", dice.choice(stamps), bad=True)


def check_chain(chain: list[Version], row: Row | None) -> None:
    assert [version.version for version in chain] == list(range(1, len(chain) + 1))
    for one, two in pairwise(chain):
        assert one.valid_to is not None
        assert one.valid_to <= two.valid_from
        assert one.closed_batch is not None
        assert one.closed_batch <= two.recorded_batch
    assert all(v.valid_to is None or v.valid_from < v.valid_to for v in chain)
    current = [version for version in chain if version.is_current]
    assert len(current) == (1 if chain and not chain[-1].is_deleted else 0)
    if row is not None and not row.bad:
        assert [version.value for version in current] == [row.value]
    if row is None:
        assert current == []


def test_a_column_that_was_not_known_is_filled_where_it_was_not_known(spark: SparkSession) -> None:
    """Column ``w`` was last held at batch 3: versions written since then are filled, older ones change."""
    now = [("older", "v", "new"), ("later", "v", "new"), ("both", "V", "new"), ("bad", "?", "new"), ("same", "v", "w")]
    candidates = frame_of(
        spark,
        [(key, v, w, 0, "v: bad" if v == "?" else None, None, key) for key, v, w in now],
        "k string, v string, w string, _updated_at bigint, _reason string, _row string, _key_text string",
    ).withColumn("_updated_at", F.timestamp_micros("_updated_at"))
    batches = {"older": 3, "later": 4, "both": 4, "bad": 4, "same": 3}
    state = {(key, 1): Version("v", 1, 0, None, False, batch, None, 0) for key, batch in batches.items()}
    history = fact_frame(spark, state).withColumn("w", F.expr("CASE WHEN k IN ('older', 'same') THEN 'w' END"))
    columns = ["k", "v", "w"]
    decided = versions.decide(candidates, versions.latest_versions(history, ["k"]), ["k"], columns, {"w": 3})
    found = sorted((row["k"], row["v"], row["w"], row[versions.DECISION]) for row in decided.collect())
    assert found == [
        ("bad", "?", "new", "bad"),
        ("bad", "v", "new", "filled"),
        ("both", "V", "new", "changed"),
        ("later", "v", "new", "filled"),
        ("older", "v", "new", "changed"),
    ]
    rows = versions.to_write(decided, columns, f"timestamp_micros({NOW})", 9).collect()
    written = sorted((row.k, row.version, row.v, row.w, row.recorded_batch, row.closed_batch) for row in rows)
    assert written == [
        ("bad", 1, "v", "new", 4, None),
        ("both", 1, "v", None, 4, 9),
        ("both", 2, "V", "new", 9, None),
        ("later", 1, "v", "new", 4, None),
        ("older", 1, "v", "w", 3, 9),
        ("older", 2, "v", "new", 9, None),
    ]


def test_many_rows_are_few_unless_they_are_wide(spark: SparkSession) -> None:
    narrow = spark.range(1500).selectExpr("id", f"'{versions.NEW}' AS {versions.DECISION}")
    assert compute(narrow, versions.DECISION, ["id"], {})[1].few
    wide = narrow.selectExpr("*", *(f"id AS c{number}" for number in range(1400)))
    assert not compute(wide, versions.DECISION, ["id"], {})[1].few
    texts = narrow.selectExpr("*", "repeat('x', 3000) AS long")
    assert not compute(texts, versions.DECISION, ["id"], {})[1].few
