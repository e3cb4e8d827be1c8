"""Nobody waits for us: statements that need a table for themselves, against an extract and a load that hold locks on it.

Each case lets the job hold its locks for far longer than anybody may wait. What is asserted is who gave way, that both
went through, at which look the watch did so, and a second of waiting on a machine that is as fast as a plain wait beside it
shows. The longest waits are printed at the end of the run.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from tidemark.base import giving_way
from tidemark.base.errors import GaveWayError, ReconcileError, SourceError, WarehouseError
from tidemark.jobs import extract as extraction
from tidemark.landing.plan import plan_table
from tidemark.source import server
from tidemark.source import snapshot as snapshots
from tidemark.warehouse.postgres import removal, short_tries
from tidemark.warehouse.postgres.load import PostgresLoad

from local_stack.postgres.server import EmbeddedPostgres
from tests.integration.conftest import Harness
from tests.waits import HOLD_SECONDS, Looks, Other, Waits, Yardstick

# By Spark: its sessions are what is tested here.
pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("by_spark")]


class Case(NamedTuple):
    """What the other one does while the job holds its locks, and what was done before the job began."""

    statement: str
    before: tuple[str, ...] = ()


AT_THE_SOURCE = {
    "ALTER TABLE": Case("ALTER TABLE customer ALTER COLUMN code TYPE varchar(300)"),
    "TRUNCATE": Case("TRUNCATE note_pad"),
    "VACUUM FULL": Case("VACUUM FULL customer"),
    "ATTACH PARTITION": Case("ALTER TABLE part ATTACH PARTITION part_2 FOR VALUES FROM (100) TO (200)"),
    # Its rows are looked through for those that belong into the new one, under a lock that nobody shares.
    "ATTACH PARTITION beside a default one": Case(
        "ALTER TABLE part ATTACH PARTITION part_3 FOR VALUES FROM (200) TO (300)",
        ("CREATE TABLE part_rest PARTITION OF part DEFAULT", "GRANT SELECT ON part_rest TO shop_reader"),
    ),
    "DETACH PARTITION": Case("ALTER TABLE part DETACH PARTITION part_1"),
    "CREATE INDEX CONCURRENTLY": Case("CREATE INDEX CONCURRENTLY ON customer (name)"),
}
# It locks the parent as a vacuum does, and the new partition, which no cut has read yet.
BESIDE = "ATTACH PARTITION"
# A star's table has no partitions; people may make it one of a table of theirs.
_THEIRS = "CREATE TABLE {star}.everybody (LIKE {star}.dim_customer) PARTITION BY LIST (country)"
_ATTACH = "ALTER TABLE {star}.everybody ATTACH PARTITION {star}.dim_customer DEFAULT"
AT_THE_WAREHOUSE = {
    "ALTER TABLE": Case("ALTER TABLE {star}.fact_order ADD COLUMN IF NOT EXISTS remark text"),
    "TRUNCATE": Case("TRUNCATE {star}.fact_order"),
    "VACUUM FULL": Case("VACUUM FULL {star}.fact_order"),
    "CREATE INDEX": Case("CREATE INDEX ON {star}.fact_order (due_date)"),
    "ATTACH PARTITION": Case(_ATTACH, (_THEIRS,)),
    "DETACH PARTITION": Case("ALTER TABLE {star}.everybody DETACH PARTITION {star}.dim_customer", (_THEIRS, _ATTACH)),
}


@pytest.fixture
def waits(record_property: Callable[[str, object], None]) -> Waits:
    return Waits(record_property)


@pytest.fixture(scope="module")
def partitioned(module_pipelines: Callable[[], Harness]) -> Harness:
    """One shop for all that waits at the source; each test reads all of it again."""
    shop = module_pipelines()
    shop.execute(
        "CREATE TABLE part (country_id int, label text NOT NULL, PRIMARY KEY (country_id)) PARTITION BY RANGE (country_id)",
        "CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (100)",
        "CREATE TABLE part_2 (country_id int PRIMARY KEY, label text NOT NULL)",
        "CREATE TABLE part_3 (country_id int PRIMARY KEY, label text NOT NULL)",
        "INSERT INTO part SELECT * FROM country",
        "CREATE TABLE note_pad (id int PRIMARY KEY, label text)",
        "GRANT SELECT ON part, part_1, part_2, part_3, note_pad TO shop_reader",
    )
    shop.edit("source.yml", "  country:\n", "  country:\n    relation: part\n")
    columns = (
        "  note_pad:\n    description: Notes\n    key: [id]\n    columns:\n"
        "      id: {type: integer, nullable: false, description: Key}\n"
        "      label: {type: text, nullable: true, description: Text}\n"
    )
    shop.edit("source.yml", "tables:\n", f"tables:\n{columns}")
    return shop


@pytest.mark.parametrize("what", AT_THE_SOURCE)
def test_an_extract_gives_way(
    partitioned: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, waits: Waits, what: str
) -> None:
    shop, other, looks = partitioned, Other(partitioned.source, AT_THE_SOURCE[what].statement), Looks(monkeypatch)
    shop.execute(*AT_THE_SOURCE[what].before)

    def hold(*arguments: Any) -> Any:
        other.begin()
        return plan_table(*arguments)

    monkeypatch.setattr(extraction, "plan_table", hold)
    monkeypatch.setattr(giving_way, "PAUSE_SECONDS", 0.2)
    manifest = shop.must_extract(accept="*", full=True)
    assert manifest.tables["customer"].rows == 20
    assert ("so it was given up" in caplog.text) is (what != BESIDE)
    assert (shop.extract() is None) is (what != BESIDE), "what was read is what the next cut starts from"
    if what == BESIDE:
        assert not any(looks.seen)
        waits.nothing_to_wait_for("extract", what)
    else:
        waits.judge("extract", what, other.seconds, other.slowness)
        looks.judge()


def test_an_extract_gives_way_to_who_waits_for_an_idle_reader_as_well(
    partitioned: Harness, monkeypatch: pytest.MonkeyPatch, waits: Waits
) -> None:
    """The reader and the cut share the table; who wants it alone waits for both, and soon for the reader only."""
    other = Other(partitioned.source, "ALTER TABLE customer ADD COLUMN IF NOT EXISTS beside int")
    looks, seconds, slowness = Looks(monkeypatch), -1.0, 1.0
    ours = (
        "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE granted "
        "AND relation = 'customer'::regclass AND application_name LIKE 'tidemark-%'"
    )
    with partitioned.source.connect(autocommit=False) as idle:
        idle.execute("SELECT count(*) FROM customer")

        def hold(*arguments: Any) -> Any:
            nonlocal seconds, slowness
            if not other.begun:
                other.begun = True
                with Yardstick(partitioned.source) as yardstick:
                    began = time.monotonic()
                    other.thread.start()
                    while partitioned.query(ours) != [(0,)] and time.monotonic() < began + HOLD_SECONDS:
                        time.sleep(0.01)
                    seconds = time.monotonic() - began
                slowness = yardstick.slowness
                assert other.thread.is_alive(), "it waits for the reader still"
                threading.Timer(1.0, idle.rollback).start()
            return plan_table(*arguments)

        monkeypatch.setattr(extraction, "plan_table", hold)
        monkeypatch.setattr(giving_way, "PAUSE_SECONDS", 0.2)
        assert partitioned.must_extract(accept="*", full=True).tables["customer"].rows == 20
    other.thread.join(HOLD_SECONDS)
    assert other.seconds >= 0
    waits.judge("extract", "ALTER TABLE behind a reader that idles in its transaction", seconds, slowness)
    looks.judge()


def test_an_extract_that_has_to_give_way_each_time_ends_with_a_sentence(
    partitioned: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = partitioned.landing.latest()

    def give_way(*_: Any) -> Any:
        other = Other(partitioned.source, "BEGIN; LOCK TABLE customer; COMMIT")
        other.begin()
        return plan_table(*_)

    monkeypatch.setattr(extraction, "plan_table", give_way)
    monkeypatch.setattr(giving_way, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(giving_way, "TRIES", 2)
    with pytest.raises(
        GaveWayError, match=r"session \d+( of postgres)? waited for the cut's locks, so it was given up"
    ):
        partitioned.extract(full=True)
    assert partitioned.landing.latest() == before


@pytest.fixture(scope="module")
def loaded_shop(module_pipelines: Callable[[], Harness]) -> Harness:
    """One shop for all that waits at its warehouse, which lacks a run of the lake."""
    shop = module_pipelines()
    shop.tick()
    shop.execute(
        "UPDATE orders SET amount = amount + 1 WHERE order_id = 1",
        "UPDATE customer SET name = 'another' WHERE customer_id = 1",
    )
    shop.must_extract()
    shop.transform()
    return shop


@pytest.fixture(scope="module")
def warehouse_template(loaded_shop: Harness) -> str:
    return loaded_shop.warehouse().dbname


@pytest.fixture
def loaded(loaded_shop: Harness, warehouse_template: str) -> Harness:
    """The shop, with a copy of that warehouse."""
    loaded_shop.warehouse_database = loaded_shop.new_database("warehouse", template=warehouse_template)
    return loaded_shop


def load_all(shop: Harness) -> None:
    latest = shop.landing.latest()
    assert latest is not None
    assert shop.load() == latest.batch


@pytest.mark.parametrize("what", AT_THE_WAREHOUSE)
def test_a_load_gives_way(
    loaded: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, waits: Waits, what: str
) -> None:
    *before, statement = (
        text.format(star=loaded.model.name)
        for text in (*AT_THE_WAREHOUSE[what].before, AT_THE_WAREHOUSE[what].statement)
    )
    with loaded.warehouse().connect() as connection:
        for text in before:
            connection.execute(text.encode())
    other, looks, count = Other(loaded.warehouse(), statement), Looks(monkeypatch), PostgresLoad.present_rows

    def hold(self: PostgresLoad, table: Any) -> int:
        other.begin()
        return count(self, table)

    monkeypatch.setattr(PostgresLoad, "present_rows", hold)
    monkeypatch.setattr(giving_way, "PAUSE_SECONDS", 0.2)
    with caplog.at_level(logging.WARNING):
        if what == "TRUNCATE":
            with pytest.raises(ReconcileError, match="fact_order"):  # it came through, and its rows are missed
                loaded.load()
        else:
            load_all(loaded)
            assert loaded.differences() == []
    assert "so it was given up" in caplog.text
    waits.judge("load", what, other.seconds, other.slowness)
    looks.judge()


@contextmanager
def reading(shop: Harness) -> Iterator[list[float]]:
    """Somebody who reads a fact, again and again; gives the seconds that each time took, complete when it ends."""
    waits: list[float] = []
    done = threading.Event()

    def read() -> None:
        with shop.warehouse().connect() as connection:
            while not done.wait(0.02):
                began = time.monotonic()
                connection.execute(f"SELECT count(*) FROM {shop.model.name}.fact_order".encode())
                waits.append(time.monotonic() - began)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield waits
    finally:
        done.set()
        thread.join()


def test_a_reader_that_idles_in_its_transaction_keeps_no_load_out_and_nobody_waits_behind_a_change(
    loaded: Harness, monkeypatch: pytest.MonkeyPatch, waits: Waits
) -> None:
    """Data goes in beside it; a change of the schema waits for it in short tries, between which others go on."""
    star, monkey = loaded.model.name, monkeypatch
    with loaded.warehouse().connect(autocommit=False) as idle:
        idle.execute(f"SELECT count(*) FROM {star}.fact_order".encode())
        load_all(loaded)
        text = "      note: {type: varchar, nullable: true, description: Note}\n"
        loaded.edit("star.yml", text, text.replace("note:", "note_2:") + text)
        loaded.edit("fact_order.sql", "    note,\n", "    note AS note_2,\n    note,\n")
        loaded.execute("UPDATE orders SET note = 'more' WHERE order_id = 2")
        loaded.must_extract()
        loaded.transform()
        monkey.setattr(short_tries, "LOCK_PATIENCE_SECONDS", 3.0)
        sentence = rf"schema {star} has to change, .* session \d+ of postgres \(idle in"
        with (
            reading(loaded) as took,
            pytest.raises(WarehouseError, match=sentence),
            Yardstick(loaded.warehouse()) as yardstick,
        ):
            loaded.load()
        assert len(took) > 10, "readers went on between the tries"
        what = "SELECT behind our change of a table that a reader idles on"
        waits.judge("load", what, max(took), yardstick.slowness)
    load_all(loaded)
    assert loaded.differences() == []


def test_a_reader_that_idles_in_its_transaction_keeps_a_rebuild_out_and_nobody_waits_behind_it(
    loaded: Harness, monkeypatch: pytest.MonkeyPatch, waits: Waits
) -> None:
    star = loaded.model.name
    monkeypatch.setattr(short_tries, "LOCK_PATIENCE_SECONDS", 3.0)
    count = f"SELECT count(*) FROM {star}.fact_order_current"
    with loaded.warehouse().connect(autocommit=False) as idle:
        idle.execute(f"SELECT count(*) FROM {star}.fact_order".encode())
        with (
            reading(loaded) as took,
            pytest.raises(
                WarehouseError,
                match=rf"schema {star} has to be dropped, .* session \d+ of postgres \(idle in .*nothing was",
            ),
            Yardstick(loaded.warehouse()) as yardstick,
        ):
            loaded.warehouse_in().forget()
        assert len(took) > 10, "readers went on between the tries"
        waits.judge("rebuild", "SELECT behind a drop that a reader idles on", max(took), yardstick.slowness)
        assert loaded.query(count, loaded.warehouse()) == [(3000,)], "nothing was dropped"
    loaded.warehouse_in().forget()
    assert loaded.query(f"SELECT to_regnamespace('{star}')", loaded.warehouse()) == [(None,)]
    load_all(loaded)
    assert loaded.differences() == []


def test_a_rebuild_gives_way(
    loaded: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, waits: Waits
) -> None:
    """To who waits for it all the same: it begins again, and the other one has read what was there before."""
    star = loaded.model.name
    other, drops = Other(loaded.warehouse(), f"SELECT count(*) FROM {star}.fact_order"), removal._statements

    def hold(connection: Any, model: Any) -> Any:
        found = drops(connection, model)
        if not other.begun:
            for statement in found:
                connection.execute(statement.encode())
            other.begin()
            return []
        return found

    monkeypatch.setattr(removal, "_statements", hold)
    monkeypatch.setattr(giving_way, "PAUSE_SECONDS", 0.2)
    loaded.warehouse_in().forget()
    waits.judge("rebuild", "SELECT", other.seconds, other.slowness)
    assert "waited for the rebuild's locks, so it was given up; to do: nothing was dropped" in caplog.text
    assert loaded.query(f"SELECT to_regnamespace('{star}')", loaded.warehouse()) == [(None,)]


def test_more_partitions_than_the_server_has_locks_for_are_refused(
    partitioned: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_SHARE_OF_LOCKS", 0.001)
    with pytest.raises(SourceError, match=r"one cut locks \d+ tables, partitions and indexes, .* max_locks_per_trans"):
        partitioned.extract(full=True)
    monkeypatch.undo()
    assert partitioned.must_extract(full=True, accept="*").tables["customer"].rows == 20


def test_a_table_that_is_locked_in_between_is_had_by_a_later_try(
    partitioned: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0
    with partitioned.source.connect(autocommit=False) as migration:
        migration.execute("LOCK TABLE customer IN ACCESS EXCLUSIVE MODE")

        def sleep(seconds: float) -> None:
            nonlocal tries
            tries += 1
            held = partitioned.query(
                "SELECT count(*) FROM pg_locks WHERE mode = 'AccessShareLock' AND relation = 'part'::regclass"
            )
            assert held == [(0,)], "a try that failed keeps no lock"
            if tries == 2:
                migration.rollback()
            time.sleep(seconds)

        monkeypatch.setattr(snapshots, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))
        assert partitioned.must_extract(full=True, accept="*").tables["customer"].rows == 20
    assert tries >= 2


def test_a_role_that_acts_as_another_gives_way_too(
    loaded: Harness, monkeypatch: pytest.MonkeyPatch, postgres: EmbeddedPostgres, waits: Waits
) -> None:
    """The usual way to give a warehouse's objects one owner."""
    database = loaded.warehouse()
    owner = postgres.create_reader(database.dbname, "the_owner", schemas=()).username
    with database.connect() as connection:
        connection.execute(f"ALTER ROLE {owner} SUPERUSER".encode())
        connection.execute(f"ALTER ROLE postgres IN DATABASE {database.dbname} SET role = {owner}".encode())
    other = Other(database, f"ALTER TABLE {loaded.model.name}.fact_order ADD COLUMN IF NOT EXISTS remark text")
    count = PostgresLoad.present_rows

    def hold(self: PostgresLoad, table: Any) -> int:
        other.begin()
        return count(self, table)

    monkeypatch.setattr(PostgresLoad, "present_rows", hold)
    monkeypatch.setattr(giving_way, "PAUSE_SECONDS", 0.2)
    load_all(loaded)
    waits.judge("load", "ALTER TABLE, the load as another role", other.seconds, other.slowness)
    with database.connect() as connection:
        connection.execute(f"ALTER ROLE postgres IN DATABASE {database.dbname} RESET role".encode())


def test_a_vacuum_is_waited_for_until_it_makes_way(loaded: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does so only for who waits deadlock_timeout: the usual short try would never have the lock."""
    longer = threading.Event()
    ask = short_tries.ShortTries._only_vacuum

    def only_vacuum(self: short_tries.ShortTries) -> bool:
        found = ask(self)
        if found:
            longer.set()
        return found

    monkeypatch.setattr(short_tries.ShortTries, "_only_vacuum", only_vacuum)
    text = "      note: {type: varchar, nullable: true, description: Note}\n"
    loaded.edit("star.yml", text, text.replace("note:", "note_3:") + text)
    loaded.edit("fact_order.sql", "    note,\n", "    note AS note_3,\n    note,\n")
    loaded.must_extract()
    loaded.transform()
    with loaded.warehouse().connect(autocommit=False) as vacuum:
        vacuum.execute(f"LOCK TABLE {loaded.model.name}.fact_order IN SHARE UPDATE EXCLUSIVE MODE".encode())

        def make_way() -> None:
            assert longer.wait(HOLD_SECONDS), "a lock like a vacuum's is met with a longer try"
            time.sleep(1.2)  # deadlock_timeout and a little
            vacuum.rollback()

        with ThreadPoolExecutor(1) as pool:
            made_way = pool.submit(make_way)
            load_all(loaded)
            made_way.result()


def test_a_type_that_becomes_wider_gives_way(
    loaded: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, waits: Waits
) -> None:
    """The rewrite of a table of many rows, here of rows that take long: an index of theirs is made again with it."""
    star, database = loaded.model.name, loaded.warehouse()
    slow = "CREATE OR REPLACE FUNCTION slow(n bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS $$BEGIN {} RETURN n; END$$"
    wait, hasty = slow.format("PERFORM pg_sleep(0.01);"), slow.format("")
    with database.connect() as connection:
        for statement in (hasty, f"CREATE INDEX ON {star}.fact_order (slow(order_record_id))", wait):
            connection.execute(statement.encode())
    loaded.edit("star.yml", "order_id: {type: integer", "order_id: {type: bigint")
    loaded.must_extract()
    loaded.transform()
    other, looks = Other(database, f"SELECT count(*) FROM {star}.fact_order", hasty), Looks(monkeypatch)
    rewriting = (
        "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE granted AND mode = 'AccessExclusiveLock' "
        f"AND relation = '{star}.fact_order'::regclass AND application_name LIKE 'tidemark-%'"
    )

    def read() -> None:
        while loaded.query(rewriting, database) == [(0,)]:
            time.sleep(0.01)
        other.begin()

    monkeypatch.setattr(giving_way, "PAUSE_SECONDS", 1.0)  # by then its function is hasty again
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        load_all(loaded)
        reading.result()
    assert caplog.text.count("so it was given up") == 1
    waits.judge("load", "SELECT behind our ALTER COLUMN TYPE", other.seconds, other.slowness)
    looks.judge()
    assert loaded.differences() == []


def test_a_waiting_session_of_ours_is_not_what_others_wait_for(partitioned: Harness) -> None:
    """While a migration holds the table, the cut only stands in the queue: it does not give up, it waits and has it."""
    with partitioned.source.connect(autocommit=False) as migration:
        migration.execute("LOCK TABLE customer IN ACCESS EXCLUSIVE MODE")
        other = Other(partitioned.source, "TRUNCATE note_pad", "ALTER TABLE customer ADD COLUMN later int")
        other.thread.start()
        timer = threading.Timer(2.0, migration.rollback)
        timer.start()
        assert partitioned.must_extract(full=True, accept="*").tables["customer"].rows == 20
        timer.join()
    other.thread.join(HOLD_SECONDS)
    assert other.seconds >= 0
