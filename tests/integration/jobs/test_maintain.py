"""The maintenance between ticks: no row changes, and the next tick goes on, whatever was killed before or in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from tidemark.base import storage
from tidemark.jobs import transform as transform_job
from tidemark.jobs.maintain import read_maintenance
from tidemark.lake import upkeep
from tidemark.lake.retention import Retention

from tests.integration.conftest import PROCESSED, Harness, by_spark_alone

if TYPE_CHECKING:
    from tidemark.jobs.maintain import Maintained

STAR = ("fact_order", "dim_customer", "dim_date")
MIRRORS = ("orders", "customer", "country")
LAST_ONLY = Retention(1, 0)


class KilledError(BaseException):
    pass


def small_ticks(shop: Harness, number: int) -> None:
    """Ticks that leave small files, and files that take rows from others, as they do in large tables."""
    for n in range(number):
        shop.execute(
            f"UPDATE orders SET amount = amount + 1 WHERE order_id % 7 = {n} AND order_id <= 300",
            "DELETE FROM orders WHERE order_id = (SELECT max(order_id) FROM orders)",
            f"UPDATE customer SET name = name || '!' WHERE customer_id = {1 + n}",
        )
        with by_spark_alone():
            shop.tick()


def contents(shop: Harness) -> dict[str, Counter[str]]:
    """Every row of the lake."""
    tables = [(name, False) for name in (*STAR, "etl_batches")] + [(name, True) for name in MIRRORS]
    return {name: Counter(map(repr, shop.lake(name, source=source))) for name, source in tables}


def files(shop: Harness, name: str, *, source: bool = False) -> tuple[int, int]:
    """Data files and delete files of a table."""
    snapshot = shop.lake_table(name, source=source).current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    return int(snapshot.summary["total-data-files"] or 0), int(snapshot.summary["total-delete-files"] or 0)


def tags(shop: Harness, name: str) -> dict[str, int]:
    return {tag: ref.snapshot_id for tag, ref in shop.lake_table(name).metadata.refs.items() if tag != "main"}


def later(**ago: float) -> datetime:
    return datetime.now(UTC) + timedelta(**ago)


def goes_on(shop: Harness) -> None:
    """A further tick finds everything as it left it."""
    (gone,) = shop.query("SELECT min(order_id) FROM orders WHERE order_id > 800")[0]
    before = {key: len(shop.versions(key)) for key in (3, 700, gone)}
    shop.execute(
        "UPDATE orders SET amount = amount + 1 WHERE order_id IN (3, 700)",
        f"DELETE FROM orders WHERE order_id = {gone}",
    )
    shop.tick()
    after = {key: len(shop.versions(key)) for key in before}
    assert after == {3: before[3] + 1, 700: before[700] + 1, gone: before[gone]}
    assert shop.versions(gone)[-1]["is_deleted"]
    assert shop.differences() == []


@pytest.fixture(autouse=True)
def _two_files_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(upkeep._REWRITE, "min-input-files", "2")


@pytest.fixture(scope="module")
def lived(module_pipelines: Callable[[], Harness]) -> Harness:
    """A shop that has ticked; each test goes on from where another left it."""
    shop = module_pipelines()
    shop.tick()
    return shop


def words(done: Mapping[str, Maintained], shop: Harness, name: str) -> str:
    return next(one.words for at, one in done.items() if at.endswith(f"_star.{name}"))


def test_files_become_few_states_go_and_no_row_changes(shop: Harness) -> None:
    assert shop.maintain() == {}, "there is no lake yet"
    shop.tick()
    small_ticks(shop, 2)
    before, last = contents(shop), shop.reader_of_the_lake().last_batch()
    assert last is not None
    assert files(shop, "fact_order")[0] + files(shop, "fact_order")[1] > 2

    done = shop.maintain()
    assert contents(shop) == before
    assert files(shop, "fact_order") == (1, 0)
    # Without partitions, Iceberg drops what no file needs any more with the next commit.
    assert files(shop, "orders", source=True)[0] == 1
    assert sorted(tags(shop, "fact_order")) == ["batch_1", "batch_2", "batch_3"]
    assert tags(shop, "fact_order")["batch_3"] == last.snapshots["fact_order"]
    assert not [one.words for one in done.values() if "expired" in one.words], "nothing is a day old"
    assert {one.words for one in shop.maintain().values()} == {""}, "nothing is done twice"
    assert shop.differences() == []

    done = shop.maintain(LAST_ONLY, now=later(days=2))
    assert contents(shop) == before
    assert tags(shop, "fact_order") == {"batch_3": last.snapshots["fact_order"]}
    # What the compaction wrote, and what the next tick starts from.
    assert len(shop.lake_table("fact_order").metadata.snapshots) == 2
    assert len(shop.lake_table("orders", source=True).metadata.snapshots) == 1
    assert "snapshots expired" in words(done, shop, "fact_order")
    assert read_maintenance(shop.landing) == done
    goes_on(shop)


@contextmanager
def killed_after(target: str, calls: int) -> Iterator[None]:
    """Die after so many calls of a function of the upkeep."""
    real, left = getattr(upkeep, target), [calls]

    def dying(*arguments: Any) -> Any:
        found = real(*arguments)
        left[0] -= 1
        if left[0] <= 0:
            raise KilledError
        return found

    with mock.patch.object(upkeep, target, dying), pytest.raises(KilledError):
        yield


def test_killed_anywhere_the_next_one_and_the_next_tick_go_on(lived: Harness) -> None:
    shop = lived
    small_ticks(shop, 1)
    before = contents(shop)
    for target, calls in (("compact", 1), ("tag_and_expire", 2), ("remove_lost_files", 1)):
        with (
            killed_after(target, calls),
            mock.patch("tidemark.jobs.maintain._is_its_day", return_value=True),
        ):
            shop.maintain(LAST_ONLY, now=later(days=2))
        assert contents(shop) == before
    goes_on(shop)
    shop.maintain(LAST_ONLY, now=later(days=3))
    goes_on_again = contents(shop)
    shop.maintain(LAST_ONLY, now=later(days=4))
    assert contents(shop) == goes_on_again


def test_what_a_dead_tick_left_is_undone_though_it_was_maintained_meanwhile(lived: Harness) -> None:
    shop = lived
    small_ticks(shop, 1)
    before = {name: Counter(map(repr, shop.lake(name))) for name in STAR}
    shop.execute(
        "UPDATE orders SET note = 'lost' WHERE order_id <= 50", "INSERT INTO customer VALUES (77, 'new', 1, '7')"
    )
    shop.must_extract()
    with mock.patch.object(transform_job, "commit_batch", side_effect=KilledError), pytest.raises(KilledError):
        shop.transform()
    shop.maintain(LAST_ONLY, now=later(days=2))
    with mock.patch.object(transform_job, "_apply", side_effect=KilledError), pytest.raises(KilledError):
        shop.transform()  # it sets the tables back, and dies
    assert {name: Counter(map(repr, shop.lake(name))) for name in STAR} == before
    shop.transform()
    shop.load()
    assert [row["version"] for row in shop.versions(50)] == list(range(1, len(shop.versions(50)) + 1))
    assert shop.differences() == []


def test_lost_files_go_and_nothing_else(lived: Harness) -> None:
    shop = lived
    small_ticks(shop, 1)
    before = contents(shop)
    folder = shop.lake_table("fact_order").location()
    lost, of_another = f"{folder}/data/lost.parquet", f"{folder}_too/data/mine.parquet"
    storage.put(lost, b"lost")
    storage.put(of_another, b"mine")
    with mock.patch("tidemark.jobs.maintain._is_its_day", return_value=True):
        shop.maintain(now=later(days=2))
        assert storage.get(lost) == b"lost", "a job may be about to commit it"
        done = shop.maintain(now=later(days=5))
    assert storage.get(lost) is None
    assert storage.get(of_another) == b"mine"
    assert "lost files removed" in words(done, shop, "fact_order")
    assert contents(shop) == before
    storage.delete(of_another)
    goes_on(shop)


@pytest.mark.parametrize("dies", [False, True])
def test_glues_own_optimizers_may_compact_and_expire_between_ticks(
    lived: Harness, monkeypatch: pytest.MonkeyPatch, dies: bool
) -> None:
    """They know no tag of ours before the first night, and keep the last state only; an attempt may die after that."""
    shop = lived
    small_ticks(shop, 1)
    for name in ("fact_order", "dim_customer"):
        table = f"`{shop.model.star_database}`.`{name}`"
        shop.spark.sql(
            f"CALL lake.system.rewrite_data_files(table => '{table}', options => map('rewrite-all', 'true'))"
        )
        shop.spark.sql(
            f"CALL lake.system.expire_snapshots(table => '{table}', older_than => TIMESTAMP '{later(hours=1):%F %T}', "
            "retain_last => 1)"
        )
    if dies:
        shop.execute("UPDATE orders SET note = 'written twice' WHERE order_id = 5")
        shop.must_extract()
        with monkeypatch.context() as patched:
            patched.setattr("tidemark.jobs.transform.commit_batch", mock.Mock(side_effect=KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                shop.transform()
    goes_on(shop)
    assert [version["note"] for version in shop.versions(5)].count("written twice") == dies


def test_landed_batches_go_when_they_are_old_and_in_the_warehouse(lived: Harness) -> None:
    shop = lived
    shop.execute("UPDATE orders SET note = 'published' WHERE order_id = 1")
    last = shop.tick().batch
    shop.execute("UPDATE orders SET note = 'pending' WHERE order_id = 1")
    shop.must_extract()
    before = contents(shop)
    ten_days = Retention(landing_days=10)
    shop.maintain(ten_days, now=later(days=9))
    assert shop.landing.begins() == 1
    shop.maintain(ten_days, now=later(days=11))
    assert shop.landing.begins() == last, "the next cut is compared with the last one that is published"
    assert storage.names(f"{shop.landing.uri}/manifests") == [f"{batch:010d}.json" for batch in (last, last + 1)]
    assert contents(shop) == before
    shop.transform()
    shop.load()
    goes_on(shop)


def test_what_there_was_no_time_for_comes_first_in_the_next_run(lived: Harness) -> None:
    assert lived.maintain(budget_seconds=-1) == {}
    every = set(lived.maintain())
    assert every == {at for at in every if storage.names(f"{PROCESSED}/{at.replace('.', '.db/')}")}
    assert {at.partition(".")[2] for at in every} >= {*STAR, *MIRRORS, "etl_batches"}


def test_a_table_that_is_not_well_does_not_stop_the_others(lived: Harness) -> None:
    real = upkeep.tag_and_expire

    def sick(lake: Any, name: str, *given: Any) -> int:
        if "dim_customer" in name:
            raise ValueError("not well")
        return real(lake, name, *given)

    with mock.patch.object(upkeep, "tag_and_expire", sick), pytest.raises(ValueError, match="not well"):
        lived.maintain(now=later(days=20))
    looked_at = {at.rpartition(".")[2]: one.at for at, one in read_maintenance(lived.landing).items()}
    assert len(looked_at) > 5
    assert max(looked_at.values()) == looked_at["orders"] > looked_at["dim_customer"]
