"""Each commit boundary of each job: a death there, and a recovery by the next run that leaves no trace.

The deaths of one test follow each other along the way of one manifest, so that every one but the last meets what its
predecessors have left; the oracle of the fuzz says in the end what lake and warehouse must hold. With commits one after
the other, dying after one is dying before the next. ``test_extract``, ``test_transform`` and ``test_load`` kill between
the jobs' steps and say what one sees; here it is the writes themselves.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError
from botocore.retries.standard import ExponentialBackoff
from tidemark.base import concurrency
from tidemark.base.errors import SourceError, WarehouseError

from tests.fuzz.sabotage import BadNetwork, Sabotage, terminator
from tests.fuzz.scene import Scene
from tests.fuzz.shop import grow
from tests.integration.conftest import Harness, by_spark_alone

# Rows that are all new: a customer, an order of a year not seen before, and one of a customer who is not there.
NEW_ROWS = (
    "INSERT INTO tag VALUES ('brand', 'new')",
    "INSERT INTO customer VALUES (21, 'customer 21', 1, '21')",
    "INSERT INTO orders VALUES (101, 21, 1, '2031-05-05', NULL, '2026-02-02', '2026-02-02')",
    "INSERT INTO orders VALUES (102, 77, 1, '2026-05-05', NULL, '2026-02-02', '2026-02-02')",
)
# Every kind of change: seen and unseen, gone, bad, another key, a reference to a customer who is not there.
CHANGES = (
    "UPDATE orders SET note = 'seen', last_updated = clock_timestamp() AT TIME ZONE 'UTC' WHERE order_id = 1",
    "UPDATE orders SET amount = amount + 1 WHERE order_id IN (2, 101)",
    "UPDATE orders SET due = '2026-02-30' WHERE order_id = 3",
    "INSERT INTO orders VALUES (103, 1, 1, 'soon', NULL, '2026-02-02', '2026-02-02')",
    "DELETE FROM orders WHERE order_id IN (4, 102)",
    "UPDATE orders SET order_id = 104, customer_id = 78 WHERE order_id = 5",
    "UPDATE customer SET name = 'renamed' WHERE customer_id = 1",
    "UPDATE customer SET code = 'no number' WHERE customer_id = 2",
    "DELETE FROM customer WHERE customer_id = 21",
    "UPDATE stock SET place = 'moved' WHERE item = 3 AND place = 'north'",
)


@pytest.fixture(scope="module")
def scene(module_pipelines: Callable[[], Harness]) -> Scene:
    """One shop for all tests, published once; each test leaves it published."""
    shop = module_pipelines()
    with shop.source.connect() as connection:
        grow(connection, shop.folder)
    scene = Scene(shop)
    scene.tick()
    return scene


def test_an_extract_dies_at_each_of_its_writes(scene: Scene) -> None:
    scene.shop.execute("UPDATE orders SET note = 'extract' WHERE order_id = 9")
    for point in ("before data files", "after data files", "before put manifests"):
        scene.dies(scene.shop.extract, point)
        assert scene.shop.landing.after(scene.oracle.batch) == [], point
    # From here on the manifest is there. Every later run, idle itself, first puts the marker that is missing.
    scene.dies(scene.shop.extract, "after put manifests")
    assert scene.shop.pending() == []
    scene.dies(scene.shop.extract, "before put pending")
    scene.dies(scene.shop.extract, "after put pending")
    assert scene.shop.landing.after(scene.oracle.batch) == [scene.oracle.batch + 1]
    scene.tick()


def test_a_transform_dies_at_each_of_its_commits(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a run that died reaches the warehouse; the run that comes through repeats nothing."""
    monkeypatch.setattr(concurrency, "AT_A_TIME", 1)
    before = scene.oracle.batch
    for done, statements, boundaries, by_spark in (
        (
            0,
            NEW_ROWS,
            ("merge orders", "append fact_order", "append dim_date", "append dim_customer", "append etl_batches"),
            ("append orders", "append etl_batches"),
        ),
        (
            1,
            CHANGES,
            ("merge orders", "merge dim_customer", "merge fact_order", "merge quarantine"),
            ("merge orders", "merge fact_order"),
        ),
    ):
        scene.shop.execute(*statements)
        scene.shop.must_extract()
        scene.observe()
        with by_spark_alone():
            scene.dies(scene.shop.transform, f"before {by_spark[0]}")
        for boundary in boundaries:
            scene.dies(scene.shop.transform, f"before {boundary}")
        with by_spark_alone():  # the mirrors are as they are to be by now
            scene.dies(scene.shop.transform, f"before {by_spark[1]}")
        assert scene.shop.load() == before + done
        scene.dies(scene.shop.transform, "after append etl_batches")
    assert scene.shop.transform() == []
    assert scene.shop.load() == before + 2
    scene.check()


def test_a_load_dies_at_each_of_its_writes(scene: Scene) -> None:
    scene.shop.execute(
        "UPDATE customer SET name = 'loaded' WHERE customer_id = 8",
        "UPDATE orders SET note = 'loaded' WHERE order_id IN (8, 10)",
    )
    before = scene.oracle.batch
    scene.shop.must_extract()
    scene.observe()
    scene.shop.execute(
        "UPDATE orders SET note = 'loaded twice' WHERE order_id = 8", "DELETE FROM orders WHERE order_id = 10"
    )
    scene.shop.must_extract()
    scene.observe()
    scene.shop.transform()
    for point in (
        *("before stage dim_customer", "after stage dim_customer", "after load dim_customer"),
        *("after stage fact_order", "after load fact_order", "after ledger", "before warehouse commit"),
    ):
        scene.dies(scene.shop.load, point)
        assert scene.ledger() == before, point
    scene.dies(scene.shop.load, "after warehouse commit")
    assert scene.ledger() == before + 2
    for point in ("before put published", "after put published", "after delete pending"):
        scene.dies(scene.shop.load, point)
    assert scene.shop.load() == before + 2
    scene.check()


def test_a_session_that_is_ended_by_an_administrator_costs_one_tick(scene: Scene) -> None:
    """Whatever the job was doing: nothing is committed, and its error says what to do."""
    scene.shop.execute("UPDATE orders SET note = 'ended' WHERE order_id = 11")
    with Sabotage("data files", "before", terminator(scene.shop.source)).armed(), pytest.raises(SourceError):
        scene.shop.extract()
    assert scene.shop.landing.after(scene.oracle.batch) == []
    scene.shop.must_extract()
    scene.observe()
    scene.shop.transform()
    for boundary in ("load fact_order", "warehouse commit"):
        with Sabotage(boundary, "before", terminator(scene.shop.warehouse())).armed(), pytest.raises(WarehouseError):
            scene.shop.load()
    scene.shop.load()
    scene.check()


def test_a_manifest_is_committed_once_whatever_becomes_of_the_answers(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 fulfils a request and its answer is lost: the SDK asks again and is told that the manifest is there already."""
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.0)  # the SDK's pauses before it tries again
    batch = scene.oracle.batch
    scene.shop.execute("UPDATE orders SET note = 'lost' WHERE order_id = 12")
    with network(budget=1, kind="lost").armed() as bad:
        manifest = scene.shop.must_extract()
    assert (len(bad.suffered), manifest.batch) == (1, batch + 1)
    scene.observe()

    # Every answer is lost: the run fails, and yet the manifest is there.
    scene.shop.execute("UPDATE orders SET note = 'all lost' WHERE order_id = 12")
    with network(budget=99, kind="lost").armed(), pytest.raises(ClientError, match="InternalError"):
        scene.shop.extract()
    assert scene.shop.landing.after(batch) == [batch + 1, batch + 2]
    scene.observe()

    # S3 is out of order: nothing is committed.
    scene.shop.execute("UPDATE orders SET note = 'refused' WHERE order_id = 12")
    with network(budget=99, kind="refused").armed(), pytest.raises(ClientError, match="InternalError"):
        scene.shop.extract()
    assert scene.shop.landing.after(batch) == [batch + 1, batch + 2]
    scene.tick()
    assert [row["note"] for row in scene.shop.versions(12)][1:] == ["lost", "all lost", "refused"]


def network(*, budget: int, kind: str) -> BadNetwork:
    """A network that spoils the writing of manifests alone."""
    unused = random.Random(1)  # noqa: S311 - decides nothing here
    return BadNetwork(unused, budget, share=1.0, kinds=(kind,), requests="PUT .*/manifests/")
