"""The landing area: manifests, their one commit, markers, and what a killed run leaves behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidemark.base import aws, storage
from tidemark.base.errors import LandingError
from tidemark.landing.area import Landing
from tidemark.landing.manifest import KeyList, Manifest, TableEntry
from tidemark.source.cut import Cut, Identity

BUCKET = "s3://lake/landing-tests"
URI = f"{BUCKET}/area"


def manifest(batch: int = 1, execution: str = "run") -> Manifest:
    return Manifest(
        batch=batch,
        execution=execution,
        lake_id="lake",
        model="shop",
        model_digest="d",
        landing_format="parquet",
        identity=Identity(system_identifier="7", timeline="00000001", started="2026", database="shop"),
        cut=Cut(xmin=10, xmax=12, time="2026-11-22T10:00:00.000000+00:00", lsn="0/1", visible_xids=(11,)),
        tables={"item": TableEntry(mode="none", why="no row written", rows=0, count=3, fingerprint="f")},
        full_compare_at="2026-11-22T10:00:00.000000+00:00",
    )


text = st.text(max_size=12)
number = st.integers(-(2**70), 2**70)
key_lists = st.builds(
    KeyList,
    files=st.lists(text).map(tuple),
    rows=number,
    groups=st.none() | st.lists(number).map(tuple),
    shift=st.integers(0, 63),
)
entries = st.builds(
    TableEntry,
    mode=st.sampled_from(["full", "delta", "none"]),
    why=text,
    rows=number,
    count=number,
    fingerprint=text,
    files=st.lists(text).map(tuple),
    columns=st.dictionaries(text, text),
    keys=st.none() | key_lists,
    key_hash=number.map(str),
    shift=st.integers(0, 63),
    groups=st.none() | st.dictionaries(number.map(str), st.tuples(number, number.map(str))),
    content_hash=st.none() | text,
    cursor=st.none() | text,
)
manifests = st.builds(
    Manifest,
    batch=number,
    execution=text,
    lake_id=text,
    model=text,
    model_digest=text,
    landing_format=text,
    identity=st.builds(Identity, system_identifier=text, timeline=text, started=text, database=text),
    cut=st.builds(
        Cut,
        xmin=number,
        xmax=number,
        time=text,
        lsn=st.none() | text,
        visible_xids=st.none() | st.lists(number).map(tuple),
    ),
    tables=st.dictionaries(text, entries, max_size=3),
    full_compare_at=text,
    format=st.just(1),
)


@given(manifests)
def test_a_manifest_reads_back_as_it_was(written: Manifest) -> None:
    found = Manifest.from_json(written.to_json(), "here")
    assert found == written
    for name, entry in written.tables.items():
        assert list(found.tables[name].columns) == list(entry.columns), "CSV files are read by position"


def test_a_manifest_of_before_widths_were_known_says_of_none() -> None:
    data = json.loads(manifest().to_json())
    for entry in data["tables"].values():
        del entry["widest"]
    found = Manifest.from_json(json.dumps(data).encode(), "here")
    assert [entry.widest for entry in found.tables.values()] == [0] * len(data["tables"])


WIDTHS = {"a": 5, "b": 7, "c": 3}


def test_a_row_that_is_made_of_several_tables_is_as_wide_as_theirs_together() -> None:
    (some,) = manifest().tables.values()
    found = replace(manifest(), tables={name: replace(some, widest=width) for name, width in WIDTHS.items()})
    assert found.widest([]) == 7
    assert found.widest([["a", "b"], ["a", "c", "b", "unknown"], []]) == 15


def change(name: str, value: Any) -> bytes:
    data = json.loads(manifest().to_json())
    if value is None:
        del data[name]
    else:
        data[name] = value
    return json.dumps(data).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"^s3://x/1 is not a manifest \(JSONDecodeError: .*; to do: restore the object"),
        (b"[]", r"^s3://x/1 is not a manifest \(TypeError: "),
        (b"{}", r"^s3://x/1 is not a manifest \(KeyError: 'format'\)"),
        (change("cut", None), r"^s3://x/1 is not a manifest \(KeyError: 'cut'\)"),
        (change("batch", None), r"^s3://x/1 is not a manifest \(TypeError: .*'batch'"),
        (change("surplus", 1), r"^s3://x/1 is not a manifest \(TypeError: .*'surplus'"),
        (change("format", 99), r"^s3://x/1 has manifest format 99; expected: 1; to do: run the version"),
    ],
)
def test_what_is_no_manifest_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(LandingError, match=message):
        Manifest.from_json(content, "s3://x/1")


@pytest.fixture
def landing(aws: None) -> Iterator[Landing]:
    yield Landing(f"{URI}/")
    for name in objects():
        storage.delete(f"{BUCKET}/{name}")


def objects() -> list[str]:
    return storage.names(BUCKET)


def test_nothing_is_there_before_the_first_commit(landing: Landing) -> None:
    assert landing.latest() is None
    assert landing.after(0) == []
    assert landing.published() == 0
    assert landing.last_heartbeat() is None
    landing.restore_marker(None)
    landing.publish(0)
    assert objects() == []


def test_a_commit_is_a_manifest_and_then_its_marker(landing: Landing) -> None:
    landing.commit(manifest(1))
    assert objects() == ["area/manifests/0000000001.json", "area/pending/0000000001"]
    assert landing.latest() == manifest(1)
    assert landing.after(0) == [1]


def test_the_newest_of_many_is_the_latest_and_all_are_in_order(landing: Landing) -> None:
    for batch in range(1, 13):
        landing.commit(manifest(batch))
    latest = landing.latest()
    assert latest is not None
    assert latest.batch == 12
    assert landing.after(0) == list(range(1, 13))
    assert landing.after(9) == [10, 11, 12]
    landing.publish(11)
    assert landing.latest() == manifest(12)
    landing.publish(12)
    assert landing.latest() == manifest(12)
    assert landing.after(12) == []


def test_a_gap_stops_everything(landing: Landing) -> None:
    for batch in (1, 2, 3, 5, 6, 8):
        landing.commit(manifest(batch))
    with pytest.raises(
        LandingError, match=r"manifests lacks 0000000004\.json, 0000000007\.json; expected: an unbroken"
    ):
        landing.after(3)
    with pytest.raises(LandingError, match=r"manifests lacks 0000000004\.json, 0000000007\.json"):
        landing.after(0)
    with pytest.raises(LandingError, match=r"manifests lacks 0000000007\.json;"):
        landing.after(5)
    assert landing.after(7) == [8]


def test_old_batches_go_with_their_files_and_the_area_says_where_it_begins(landing: Landing) -> None:
    for batch in range(1, 5):
        file, keys = (f"{URI}/data/{batch}/{name}.parquet" for name in ("part", "keys"))
        storage.put(file, b"rows")
        storage.put(keys, b"keys")
        entry = replace(manifest().tables["item"], mode="delta", files=(file,), keys=KeyList(files=(keys,), rows=1))
        landing.commit(replace(manifest(batch), tables={"item": entry}))
    landing.publish(4)
    assert landing.begins() == 1
    assert landing.remove_before(3) == 2
    assert (landing.begins(), Landing(URI).after(2)) == (3, [3, 4])
    assert storage.names(f"{URI}/manifests") == ["0000000003.json", "0000000004.json"]
    assert {name.partition("/")[0] for name in storage.names(f"{URI}/data")} == {"3", "4"}
    with pytest.raises(LandingError, match="begins with batch 3: older ones were removed by the maintenance"):
        landing.after(0)
    assert landing.remove_before(3) == 0


def test_a_removal_that_was_killed_is_finished_by_the_next(landing: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    for batch in range(1, 4):
        landing.commit(manifest(batch))

    def dies(uri: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(storage, "delete", dies)
        with pytest.raises(KeyboardInterrupt):
            landing.remove_before(3)
    assert landing.begins() == 3, "nobody rebuilds from what is half gone"
    assert landing.remove_before(3) == 2
    assert landing.after(2) == [3]


def test_a_missing_manifest_is_named(landing: Landing) -> None:
    with pytest.raises(
        LandingError, match=r"^s3://lake/landing-tests/area/manifests/0000000007\.json is missing; to do: restore"
    ):
        landing.read(7)


def test_a_manifest_is_never_overwritten(landing: Landing) -> None:
    landing.commit(manifest(1, "first"))
    with pytest.raises(LandingError, match=r"0000000001\.json was committed by another run meanwhile; to do: nothing"):
        landing.commit(manifest(1, "second"))
    assert landing.read(1).execution == "first"


def test_of_runs_that_race_one_wins(landing: Landing) -> None:
    def commit(number: int) -> int | None:
        try:
            landing.commit(manifest(1, f"batch {number}"))
        except LandingError:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        won = [number for number in pool.map(commit, range(8)) if number is not None]
    assert len(won) == 1
    assert landing.read(1).execution == f"batch {won[0]}"


def test_a_commit_whose_answer_was_lost_is_a_commit(landing: Landing) -> None:
    """The SDK tries again by itself, and finds the object of its first try."""
    sent: list[int] = []

    def lose_first_answer(request: Any, **_: Any) -> None:
        sent.append(1)
        if len(sent) == 1:
            storage.put(f"{URI}/manifests/0000000001.json", manifest(1).to_json())

    events = aws.client("s3").meta.events
    events.register("before-sign.s3.PutObject", lose_first_answer)
    landing.commit(manifest(1))
    events.unregister("before-sign.s3.PutObject", lose_first_answer)
    assert len(sent) > 1
    assert landing.read(1) == manifest(1)
    assert "area/pending/0000000001" in objects()


def test_a_run_killed_between_commit_and_marker_is_mended(landing: Landing) -> None:
    landing.commit(manifest(1))
    landing.publish(1)
    storage.put_new(f"{URI}/manifests/0000000002.json", manifest(2).to_json())
    landing.restore_marker(landing.latest())
    assert [name for name in objects() if "pending" in name] == ["area/pending/0000000002"]
    landing.publish(2)
    landing.restore_marker(landing.latest())
    assert [name for name in objects() if "pending" in name] == []


def test_publishing_removes_markers_up_to_its_seq_and_never_goes_back(landing: Landing) -> None:
    for batch in (1, 2, 3):
        landing.commit(manifest(batch))
    landing.publish(2)
    assert landing.published() == 2
    assert [name for name in objects() if "pending" in name] == ["area/pending/0000000003"]
    landing.mark_pending(1)
    landing.publish(1)
    assert landing.published() == 2
    assert [name for name in objects() if "pending" in name] == ["area/pending/0000000003"]


def test_the_heartbeat_reads_back(landing: Landing) -> None:
    landing.heartbeat({"time": "t", "batch": 3})
    assert landing.last_heartbeat() == {"time": "t", "batch": 3}
    assert objects() == ["area/heartbeat.json"]


CUT = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
LATER, SOONER = "2026-11-22T12:15:00+02:00", "2026-11-22T09:00:00+00:00"


def test_nothing_is_fresh_before_the_first_load(landing: Landing) -> None:
    assert landing.fresh_at() is None
    landing.commit(manifest(1))
    landing.heartbeat({"time": LATER, "batch": 1})
    assert landing.fresh_at() is None


def test_the_warehouse_is_as_fresh_as_the_published_cut(landing: Landing) -> None:
    landing.commit(manifest(1))
    landing.publish(1)
    assert landing.fresh_at() == CUT


@pytest.mark.parametrize(
    ("beat", "pending", "expected"),
    [
        ({"time": LATER, "batch": 1}, None, CUT + timedelta(minutes=15)),
        ({"time": SOONER, "batch": 1}, None, CUT),
        ({"time": LATER, "batch": 2}, None, CUT),
        ({"time": LATER, "batch": 1}, 2, CUT),
    ],
    ids=[
        "a later look found nothing new",
        "an earlier look",
        "a look at another cut",
        "changes are still on their way",
    ],
)
def test_a_look_that_found_nothing_new_keeps_it_fresh(
    landing: Landing, beat: dict[str, object], pending: int | None, expected: datetime
) -> None:
    landing.commit(manifest(1))
    landing.publish(1)
    landing.heartbeat(beat)
    if pending:
        landing.commit(manifest(pending))
    found = landing.fresh_at()
    assert found == expected
    assert found is not None
    assert found.tzinfo is UTC


def test_areas_of_one_bucket_do_not_see_each_other(landing: Landing) -> None:
    landing.commit(manifest(1))
    assert Landing(f"{BUCKET}/area2").latest() is None
    assert Landing(BUCKET).latest() is None


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("s3://bucket/a/b#c?d", ("bucket", "a/b#c?d")),
        ("s3://bucket", ("bucket", "")),
        ("s3://bucket/a b%20c", ("bucket", "a b%20c")),
    ],
)
def test_an_uri_is_bucket_and_key(uri: str, parts: tuple[str, str]) -> None:
    assert storage.split(uri) == parts
