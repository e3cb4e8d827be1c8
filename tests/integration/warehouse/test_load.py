"""The load alone: exactly once, all or nothing, and a warehouse that keeps its promises by itself."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import psycopg
import pytest
from tidemark.base import storage
from tidemark.base.errors import ReconcileError, WarehouseError
from tidemark.jobs.load import load
from tidemark.lake.reader import LakeReader
from tidemark.landing.area import Landing
from tidemark.warehouse.postgres.load import PostgresWarehouse, _PostgresLoad

from local_stack.postgres.server import Credentials as Database
from tests.integration.conftest import PROCESSED, Pipeline, credentials_of

pytestmark = pytest.mark.servers

SECRET = "n0t-the-p@ssword"


@pytest.fixture(scope="module")
def ready(module_pipelines: Callable[[], Pipeline]) -> Pipeline:
    """A lake with three runs; the tests here load it and never change it (those that do make their own shop)."""
    shop = module_pipelines()
    shop.must_extract()
    shop.execute("UPDATE orders SET note = 'second' WHERE order_id = 5", "DELETE FROM customer WHERE customer_id = 20")
    shop.must_extract()
    shop.execute("UPDATE orders SET note = 'third' WHERE order_id = 5", "DELETE FROM orders WHERE order_id = 6")
    shop.must_extract()
    shop.transform()
    shop.load()
    return shop


@pytest.fixture
def empty(ready: Pipeline) -> Database:
    """Another, empty warehouse."""
    return ready.new_database("warehouse")


def rows(ready: Pipeline, query: str, database: Database | None = None) -> list[tuple[Any, ...]]:
    return ready.query(query.replace("star.", f"{ready.model.name}."), database or ready.warehouse())


FINGERPRINT = (
    "SELECT (SELECT string_agg(f::text, ';' ORDER BY f::text) FROM star.fact_order f),"
    " (SELECT string_agg(c::text, ';' ORDER BY c::text) FROM star.dim_customer c),"
    " (SELECT count(*) FROM star.dim_date), (SELECT string_agg(l::text, ';') FROM etl.load_ledger l)"
)


def test_a_load_again_writes_nothing(ready: Pipeline) -> None:
    before = rows(ready, FINGERPRINT)
    writes = rows(ready, "SELECT pg_current_wal_insert_lsn() IS NOT NULL, max(xmin::text::bigint) FROM star.fact_order")
    assert ready.load() == 3
    assert rows(ready, FINGERPRINT) == before
    assert (
        rows(ready, "SELECT pg_current_wal_insert_lsn() IS NOT NULL, max(xmin::text::bigint) FROM star.fact_order")
        == writes
    )
    assert rows(ready, "SELECT seq, after_seq, run_id FROM etl.load_ledger") == [(3, 0, "run-3")]


def test_the_warehouse_holds_what_the_lake_holds(ready: Pipeline) -> None:
    columns = "order_id, created_date, customer_id, amount, due_date, note, version, valid_from, valid_to, is_current"
    columns += ", is_deleted, recorded_seq, closed_seq"
    found = rows(ready, f"SELECT {columns} FROM star.fact_order ORDER BY order_id, version")
    lake = sorted(ready.lake("fact_order"), key=lambda row: (row["order_id"], row["version"]))
    assert found == [tuple(row[name] for name in columns.split(", ")) for row in lake]
    assert len(found) == 3002
    times = rows(ready, "SELECT created_time::text FROM star.fact_order ORDER BY order_id, version")
    assert [time for (time,) in times] == [row["created_time"].removesuffix(".000000") for row in lake]
    assert rows(ready, "SELECT customer_id, name, is_deleted FROM star.dim_customer WHERE recorded_seq > 1") == [
        (20, "customer 20", True)
    ]
    assert rows(ready, "SELECT min(date_id)::text, max(date_id)::text, count(*) FROM star.dim_date") == [
        ("2026-01-01", "2026-12-31", 365)
    ]
    assert rows(
        ready, "SELECT day_of_week, day_name, month_name, quarter FROM star.dim_date WHERE date_id = '2026-03-01'"
    ) == [(7, "Sunday", "March", 1)]


def test_loaded_run_by_run_or_all_at_once_is_the_same(module_pipelines: Callable[[], Pipeline]) -> None:
    shop = module_pipelines()
    shop.tick()
    for number in (1, 2):
        shop.execute(
            f"UPDATE orders SET note = 'n{number}' WHERE order_id < 4",
            f"DELETE FROM orders WHERE order_id = {90 + number}",
        )
        shop.tick()
    late = shop.new_database("warehouse")
    load(
        shop.model,
        Landing(shop.landing.uri),
        PROCESSED,
        PostgresWarehouse(shop.model, credentials_of(late)),
        shop.metrics,
    )
    query = f"SELECT * FROM {shop.model.name}.fact_order ORDER BY order_id, version"
    without_id = [[row[1:] for row in shop.query(query, database)] for database in (shop.warehouse(), late)]
    assert without_id[0] == without_id[1]
    ledger = "SELECT seq, after_seq FROM etl.load_ledger ORDER BY seq"
    assert shop.query(ledger, shop.warehouse()) == [(1, 0), (2, 1), (3, 2)]
    assert shop.query(ledger, late) == [(3, 0)]
    assert shop.pending() == []

    # A warehouse that somebody took a row from is noticed, and left as it was.
    with late.connect() as connection:
        connection.execute(f"DELETE FROM {shop.model.name}.fact_order WHERE order_id = 17".encode())
    shop.execute("UPDATE orders SET note = 'x' WHERE order_id = 5")
    shop.must_extract()
    shop.transform()
    with pytest.raises(ReconcileError, match=r"fact_order: source 2998 less 0 held back, lake 2998, warehouse 2997"):
        shop.load(late)
    assert shop.query(ledger, late) == [(3, 0)]
    assert shop.query(f"SELECT max(version) FROM {shop.model.name}.fact_order WHERE order_id = 5", late) == [(1,)]
    assert shop.pending() == ["0000000004"]
    assert shop.load() == 4


def test_present_and_past_are_one_simple_query_away(ready: Pipeline) -> None:
    (first, second, third) = rows(
        ready, "SELECT note, valid_from, valid_to FROM star.fact_order WHERE order_id = 5 ORDER BY version"
    )
    assert (first[2], second[2], third[2]) == (second[1], third[1], None)
    assert rows(ready, "SELECT count(*) FROM star.fact_order_current") == [(2999,)]
    assert rows(ready, "SELECT note FROM star.fact_order_current WHERE order_id = 5") == [("third",)]

    def as_of(moment: datetime, known: str = "") -> list[tuple[Any, ...]]:
        return rows(ready, f"SELECT note FROM star.fact_order_as_of('{moment.isoformat()}'{known}) WHERE order_id = 5")

    assert as_of(first[1]) == [(None,)]
    assert as_of(second[1]) == [("second",)], "a version is true from its begin on, and no longer at its end"
    assert as_of(third[1]) == [("third",)]
    assert rows(ready, "SELECT * FROM star.fact_order_as_of('2020-01-01')") == []
    assert as_of(third[1], ", 1") == [(None,)], "as far as run 1 knew"
    assert as_of(third[1], ", 2") == [("second",)]
    assert as_of(third[1], ", 3") == [("third",)]
    gone = rows(ready, "SELECT valid_to FROM star.fact_order WHERE order_id = 6")[0][0]
    count = "SELECT count(*) FROM star.fact_order_as_of(timestamptz '{}' - interval '{} us') WHERE order_id = 6"
    assert rows(ready, count.format(gone.isoformat(), 1)) == [(1,)]
    assert rows(ready, count.format(gone.isoformat(), 0)) == [(0,)]


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        (
            "INSERT INTO star.fact_order SELECT (f).* FROM (SELECT f FROM star.fact_order f LIMIT 1) t",
            psycopg.errors.GeneratedAlways,
        ),
        ("UPDATE star.fact_order SET customer_id = 999 WHERE order_id = 1", psycopg.errors.ForeignKeyViolation),
        ("UPDATE star.fact_order SET due_date = '1999-01-01' WHERE order_id = 1", psycopg.errors.ForeignKeyViolation),
        ("DELETE FROM star.dim_customer WHERE customer_id = 1", psycopg.errors.ForeignKeyViolation),
        ("UPDATE star.fact_order SET valid_to = valid_from WHERE NOT is_current", psycopg.errors.CheckViolation),
        ("UPDATE star.fact_order SET is_current = false WHERE order_id = 1", psycopg.errors.CheckViolation),
        ("UPDATE star.fact_order SET is_deleted = true WHERE order_id = 1", psycopg.errors.CheckViolation),
        ("UPDATE star.fact_order SET version = 1 WHERE order_id = 5 AND version = 2", psycopg.errors.UniqueViolation),
        (
            "UPDATE star.fact_order SET is_current = true, valid_to = NULL WHERE order_id = 5 AND version = 1",
            psycopg.errors.UniqueViolation,
        ),
        ("UPDATE star.fact_order SET amount = NULL WHERE order_id = 1", psycopg.errors.NotNullViolation),
    ],
)
def test_the_warehouse_itself_refuses_what_cannot_be(
    ready: Pipeline, statement: str, error: type[psycopg.Error]
) -> None:
    with ready.warehouse().connect() as connection, pytest.raises(error), connection.transaction(force_rollback=True):
        connection.execute(statement.replace("star.", f"{ready.model.name}.").encode())


def test_everything_is_described_in_the_warehouse(ready: Pipeline) -> None:
    comments = dict(
        rows(
            ready,
            "SELECT c.relname || coalesce('.' || a.attname, ''), col_description(c.oid, a.attnum) FROM pg_class c"
            " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT attisdropped"
            f" WHERE relnamespace = '{ready.model.name}'::regnamespace AND relkind = 'r'",
        )
    )
    assert comments["dim_customer.name"] == "Name; O'Hara's \"${env:HOME}\" \\ 100 %"
    assert comments["fact_order.valid_to"] == "Until when it was true; NULL while current"
    assert [name for name, text in comments.items() if not text] == []


def test_the_glue_catalog_describes_the_lake(ready: Pipeline) -> None:
    import awswrangler as wr  # noqa: PLC0415 - slow to import

    star, source = ready.model.star_database, ready.model.source_database
    for database, table, column, text in (
        (star, "dim_customer", "name", "Name; O'Hara's \"${env:HOME}\" \\ 100 %"),
        (star, "fact_order", "amount", "Amount"),
        (star, "fact_order", "closed_seq", "Run that closed this version; NULL while current"),
        (source, "orders", "due", "Day, YYYY-MM-DD as text"),
        (source, "orders", "_seq", "Manifest that last changed this row"),
    ):
        assert wr.catalog.get_columns_comments(database=database, table=table)[column] == text
    assert {table["Name"] for table in wr.catalog.get_tables(database=source)} == {"country", "customer", "orders"}
    schema = ready.lake_table("fact_order").schema()
    assert schema.find_field("due_date").doc == "Day on which it is due"
    assert str(ready.lake_table("fact_order").spec().fields[0].transform) == "month"


def rows_in(shop: Pipeline, database: Database) -> int:
    """Rows in the star and in the ledger; their tables, empty, may be there before a load commits."""
    tables = ["etl.load_ledger", *(f"{shop.model.name}.{name}" for name in shop.model.star_names)]
    return sum(int(shop.query(f"SELECT count(*) FROM {table}", database)[0][0]) for table in tables)


def test_a_difference_rolls_everything_back(ready: Pipeline, empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(LakeReader, "current_rows", lambda *_: 2998)
        with pytest.raises(ReconcileError) as failed:
            ready.load(empty)
    assert "run 3 does not reconcile: dim_customer: source 19 less 0 held back, lake 2998, warehouse 19; " in str(
        failed.value
    )
    assert "fact_order: source 2999 less 0 held back, lake 2998, warehouse 2999" in str(failed.value)
    assert rows_in(ready, empty) == 0
    assert ready.load(empty) == 3


def test_a_warehouse_of_another_lake_is_refused(ready: Pipeline, empty: Database) -> None:
    ready.load(empty)
    with empty.connect() as connection:
        connection.execute("UPDATE etl.load_ledger SET lake_id = 'other'")
        with pytest.raises(
            WarehouseError, match=r"was loaded from another lake \(up to run 3\); expected: lake id other"
        ):
            ready.load(empty)


def test_a_warehouse_ahead_of_its_lake_is_refused(ready: Pipeline, empty: Database) -> None:
    ready.load(empty)
    with empty.connect() as connection:
        connection.execute("UPDATE etl.load_ledger SET seq = 9")
    with pytest.raises(
        WarehouseError, match=r"the warehouse is at run 9, ahead of the lake at run 3; expected: a lake"
    ):
        ready.load(empty)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"password": SECRET}, "user or password is wrong; to do: check username and password in the secret."),
        ({"port": 1, "password": SECRET}, "nothing listens there; to do: check host and port"),
        ({"dbname": "nowhere"}, "the database or role does not exist; to do: check dbname and username"),
    ],
)
def test_a_warehouse_that_cannot_be_reached_is_named(ready: Pipeline, changes: dict[str, Any], part: str) -> None:
    credentials = credentials_of(ready.warehouse(), **changes)
    with pytest.raises(WarehouseError) as failed:
        load(ready.model, ready.landing, PROCESSED, PostgresWarehouse(ready.model, credentials), ready.metrics)
    assert str(failed.value).startswith(f"warehouse {credentials.place} as postgres: {part}")
    assert SECRET not in str(failed.value)


def test_a_user_that_may_not_write_is_told_what_to_grant(ready: Pipeline, empty: Database, postgres: Any) -> None:
    reader = credentials_of(postgres.create_reader(empty.dbname, "only_reads"))
    with pytest.raises(WarehouseError, match=r"permission denied .*to do: grant only_reads CREATE on the database"):
        load(ready.model, ready.landing, PROCESSED, PostgresWarehouse(ready.model, reader), ready.metrics)


def test_what_the_server_refuses_is_said_in_its_own_words(ready: Pipeline, empty: Database) -> None:
    """The statement, which comes before them, is longer than a line may be."""
    with empty.connect() as connection:
        connection.execute(f"CREATE SCHEMA {ready.model.name}".encode())
        connection.execute(
            f"CREATE TABLE {ready.model.name}.dim_customer (customer_id int PRIMARY KEY, name varchar, country varchar, "
            "code int, is_deleted bool, is_inferred bool, recorded_seq bigint, CONSTRAINT by_hand CHECK (name = 'x'))".encode()
        )
    with pytest.raises(
        WarehouseError,
        match=r': ERROR: new row for relation "dim_customer" violates check constraint "by_hand"; to do: look at',
    ):
        ready.load(empty)


class KilledError(Exception):
    """The process dies here."""


def killed(*_: object, **__: object) -> None:
    raise KilledError


@pytest.mark.parametrize("step", ["merge_fact", "current_rows", "record"])
def test_a_load_killed_before_its_commit_leaves_nothing(
    ready: Pipeline, empty: Database, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(_PostgresLoad, step, killed)
        with pytest.raises(KilledError):
            ready.load(empty)
    assert rows_in(ready, empty) == 0
    assert ready.load(empty) == 3
    assert ready.query(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'etl'::regnamespace AND relkind = 'r' ORDER BY 1",
        empty,
    ) == [("comments",), ("load_ledger",)], "no staging table is left"


def test_a_load_killed_after_its_commit_only_removes_the_markers(
    ready: Pipeline, empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Landing, "publish", killed)
        with pytest.raises(KilledError):
            ready.load(empty)
    storage.delete(f"{ready.landing.uri}/published.json")
    ready.landing.mark_pending(3)
    before = rows(ready, FINGERPRINT, empty)
    assert ready.load(empty) == 3
    assert rows(ready, FINGERPRINT, empty) == before
    assert ready.pending() == []
    assert ready.landing.published() == 3


def test_a_lake_without_runs_is_nothing_to_load(module_pipelines: Callable[[], Pipeline]) -> None:
    shop = module_pipelines()
    assert shop.load() == 0
    assert shop.query("SELECT to_regnamespace('etl')", shop.warehouse()) == [(None,)]


def test_two_loads_at_once_are_one(ready: Pipeline, empty: Database) -> None:
    """The second waits for the first one's lock, and then finds the work done."""
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(ready.load, [empty, empty])) == [3, 3]
    assert rows(ready, "SELECT seq, after_seq FROM etl.load_ledger", empty) == [(3, 0)]
    assert rows(ready, "SELECT count(*) FROM star.fact_order", empty) == [(3002,)]


def test_the_star_grows_with_its_model(module_pipelines: Callable[[], Pipeline]) -> None:
    shop = module_pipelines()
    star = shop.model.name
    shop.execute(
        "ALTER TABLE orders ADD COLUMN colour text", "ALTER TABLE orders ALTER COLUMN amount TYPE numeric(12,2)"
    )
    shop.tick()
    shop.edit(
        "source.yml", "      note: {", "      colour: {type: text, nullable: true, description: Colour}\n      note: {"
    )
    shop.edit(
        "star.yml",
        "      note: {",
        "      colour: {type: varchar, nullable: true, description: Its colour}\n      note: {",
    )
    shop.edit("star.yml", "numeric(10,2)", "numeric(12,2)")
    shop.edit("source.yml", "numeric(10,2)", "numeric(12,2)")
    shop.edit("fact_order.sql", "note,", "note, colour,")
    shop.execute(
        "UPDATE orders SET colour = 'red', amount = 9999999999.99 WHERE order_id = 5",
        "UPDATE orders SET colour = 'blue' WHERE order_id = 7",
    )
    shop.tick()
    query = f"SELECT colour, amount::text, version FROM {star}.fact_order WHERE order_id IN (5, 7, 9) ORDER BY order_id, version"
    filled = [(None, "6.25", 1), ("red", "9999999999.99", 2), ("blue", "8.75", 1), (None, "11.25", 1)]
    assert shop.query(query, shop.warehouse()) == filled, "a value in a new column is filled in and makes no version"
    lake = sorted((row["order_id"], row["version"], row["colour"]) for row in shop.lake("fact_order"))
    there = f"SELECT order_id, version, colour FROM {star}.fact_order ORDER BY 1, 2"
    assert lake == shop.query(there, shop.warehouse())
    shop.execute("UPDATE orders SET colour = 'green' WHERE order_id IN (7, 9)")
    shop.tick()
    filled[3:] = [("green", "8.75", 2), (None, "11.25", 1), ("green", "11.25", 2)]
    assert shop.query(query, shop.warehouse()) == filled, "from then on the column has a history"
    assert shop.query(f"SELECT colour FROM {star}.fact_order_current WHERE order_id = 5", shop.warehouse()) == [
        ("red",)
    ]
    assert shop.query(f"SELECT colour FROM {star}.fact_order_as_of(now()) WHERE order_id = 5", shop.warehouse()) == [
        ("red",)
    ]
    comment = (
        f"SELECT col_description('{star}.fact_order'::regclass, attnum) FROM pg_attribute WHERE attname = 'colour'"
    )
    assert shop.query(f"{comment} AND attrelid = '{star}.fact_order'::regclass", shop.warehouse()) == [("Its colour",)]
