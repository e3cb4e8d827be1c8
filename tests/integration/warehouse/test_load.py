"""The load into PostgreSQL: the suite of any warehouse, and what PostgreSQL alone promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from tidemark.base.credentials import Credentials
from tidemark.base.errors import WarehouseError
from tidemark.warehouse.kinds import KINDS, open_warehouse
from tidemark.warehouse.postgres import load as postgres_load
from tidemark.warehouse.postgres.load import PostgresLoad

from tests.integration.conftest import Harness, credentials_of
from tests.integration.warehouse.load_suite import STEPS, LoadSuite, NewPlace

pytestmark = pytest.mark.servers

SECRET = "n0t-the-p@ssword"
FINGERPRINT = (
    "SELECT (SELECT string_agg(f::text, ';' ORDER BY f::text) FROM star.fact_order f),"
    " (SELECT string_agg(c::text, ';' ORDER BY c::text) FROM star.dim_customer c),"
    " (SELECT count(*) FROM star.dim_date), (SELECT string_agg(l::text, ';') FROM etl.load_ledger l)"
)


def rows(ready: Harness, query: str, place: Credentials) -> list[tuple[Any, ...]]:
    with place.connect(autocommit=True) as connection:
        cursor = connection.execute(query.replace("star.", f"{ready.model.name}.").encode())
        return cursor.fetchall() if cursor.description else []


def number_of_rows(shop: Harness, place: Credentials) -> int:
    """Rows in the star and in the ledger; their tables, empty, may be there before a load commits."""
    tables = ["etl.load_ledger", *(f"star.{name}" for name in shop.model.star_names)]
    return sum(int(rows(shop, f"SELECT count(*) FROM {table}", place)[0][0]) for table in tables)


class TestPostgres(LoadSuite):
    kind = "postgres"

    @pytest.fixture(scope="class")
    @classmethod
    def new_place(cls, ready: Harness) -> NewPlace:
        return lambda: credentials_of(ready.new_database("warehouse"))

    def ask(self, place: Credentials, statement: str) -> list[tuple[Any, ...]]:
        with place.connect(autocommit=True) as connection:
            cursor = connection.execute(statement.replace("LEDGER", "etl.load_ledger").encode())
            return cursor.fetchall() if cursor.description else []

    def test_a_load_again_writes_nothing(self, ready: Harness, loaded: Credentials) -> None:
        before = rows(ready, FINGERPRINT, loaded)
        query = "SELECT pg_current_wal_insert_lsn() IS NOT NULL, max(xmin::text::bigint) FROM star.fact_order"
        writes = rows(ready, query, loaded)
        super().test_a_load_again_writes_nothing(ready, loaded)
        assert rows(ready, FINGERPRINT, loaded) == before
        assert rows(ready, query, loaded) == writes
        assert rows(ready, "SELECT batch, after_batch, execution FROM etl.load_ledger", loaded) == [(3, 0, "run-3")]

    def test_the_warehouse_holds_what_the_lake_holds(self, ready: Harness, loaded: Credentials) -> None:
        super().test_the_warehouse_holds_what_the_lake_holds(ready, loaded)
        columns = "order_id, created_date, customer_id, amount, due_date, note, version, valid_from, valid_to"
        columns += ", is_current, is_deleted, recorded_batch, closed_batch"
        found = rows(ready, f"SELECT {columns} FROM star.fact_order ORDER BY order_id, version", loaded)
        lake = sorted(ready.lake("fact_order"), key=lambda row: (row["order_id"], row["version"]))
        assert found == [tuple(row[name] for name in columns.split(", ")) for row in lake]
        assert len(found) == 3002
        times = rows(ready, "SELECT created_time::text FROM star.fact_order ORDER BY order_id, version", loaded)
        assert [time for (time,) in times] == [row["created_time"].removesuffix(".000000") for row in lake]
        late = "SELECT customer_id, name, is_deleted FROM star.dim_customer WHERE recorded_batch > 1"
        assert rows(ready, late, loaded) == [(20, "customer 20", True)]
        days = "SELECT min(date_id)::text, max(date_id)::text, count(*) FROM star.dim_date"
        assert rows(ready, days, loaded) == [("2026-01-01", "2026-12-31", 365)]
        day = "SELECT day_of_week, day_name, month_name, quarter FROM star.dim_date WHERE date_id = '2026-03-01'"
        assert rows(ready, day, loaded) == [(7, "Sunday", "March", 1)]

    def test_present_and_past_are_one_question_away(self, ready: Harness, loaded: Credentials) -> None:
        """By views and functions, too."""
        super().test_present_and_past_are_one_question_away(ready, loaded)
        query = "SELECT valid_from FROM star.fact_order WHERE order_id = 5 ORDER BY version"
        first, second, third = (begin.isoformat() for (begin,) in rows(ready, query, loaded))
        assert rows(ready, "SELECT count(*) FROM star.fact_order_current", loaded) == [(2999,)]
        assert rows(ready, "SELECT note FROM star.fact_order_current WHERE order_id = 5", loaded) == [("third",)]

        def as_of(moment: str, known: str = "") -> list[tuple[Any, ...]]:
            return rows(ready, f"SELECT note FROM star.fact_order_as_of('{moment}'{known}) WHERE order_id = 5", loaded)

        assert as_of(first) == [(None,)]
        assert as_of(second) == [("second",)], "a version is true from its begin on, and no longer at its end"
        assert as_of(third) == [("third",)]
        assert rows(ready, "SELECT * FROM star.fact_order_as_of('2020-01-01')", loaded) == []
        assert as_of(third, ", 1") == [(None,)], "as far as batch 1 knew"
        assert as_of(third, ", 2") == [("second",)]
        assert as_of(third, ", 3") == [("third",)]
        gone = rows(ready, "SELECT valid_to FROM star.fact_order WHERE order_id = 6", loaded)[0][0]
        count = "SELECT count(*) FROM star.fact_order_as_of(timestamptz '{}' - interval '{} us') WHERE order_id = 6"
        assert rows(ready, count.format(gone.isoformat(), 1), loaded) == [(1,)]
        assert rows(ready, count.format(gone.isoformat(), 0), loaded) == [(0,)]

    def test_what_became_much_larger_is_analysed_before_anybody_sees_it(
        self, ready: Harness, empty: Credentials, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(postgres_load, "MANY_ROWS", 3000)
        ready.load(empty)
        known = (
            f"SELECT count(*) > 0 FROM pg_stats WHERE schemaname = '{ready.model.name}' AND tablename = 'fact_order'"
        )
        assert rows(ready, known, empty) == [(True,)]
        pages = "SELECT reltuples::int FROM pg_class WHERE oid = 'star.fact_order'::regclass"
        assert rows(ready, pages, empty) == [(3002,)]

    @pytest.mark.parametrize("step", STEPS)
    def test_a_load_killed_before_its_commit_leaves_nothing(
        self, ready: Harness, empty: Credentials, step: str
    ) -> None:
        super().test_a_load_killed_before_its_commit_leaves_nothing(ready, empty, step)
        tables = (
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'etl'::regnamespace AND relkind = 'r' ORDER BY 1"
        )
        assert rows(ready, tables, empty) == [("comments",), ("load_ledger",)], "no staging table is left"

    def test_a_lake_without_runs_is_nothing_to_load(
        self, module_pipelines: Callable[[], Harness], empty: Credentials
    ) -> None:
        super().test_a_lake_without_runs_is_nothing_to_load(module_pipelines, empty)
        assert self.ask(empty, "SELECT to_regnamespace('etl')") == [(None,)]

    def grown(self, shop: Harness, place: Credentials) -> None:
        lake = sorted((row["order_id"], row["version"], row["colour"]) for row in shop.lake("fact_order"))
        assert lake == rows(shop, "SELECT order_id, version, colour FROM star.fact_order ORDER BY 1, 2", place)
        for relation in ("fact_order_current", "fact_order_as_of(now())"):
            assert rows(shop, f"SELECT colour FROM star.{relation} WHERE order_id = 5", place) == [("red",)]
        comment = (
            "SELECT col_description(attrelid, attnum) FROM pg_attribute"
            " WHERE attname = 'colour' AND attrelid = 'star.fact_order'::regclass"
        )
        assert rows(shop, comment, place) == [("Its colour",)]

    @pytest.mark.parametrize(
        ("statement", "error"),
        [
            (
                "INSERT INTO star.fact_order SELECT (f).* FROM (SELECT f FROM star.fact_order f LIMIT 1) t",
                psycopg.errors.GeneratedAlways,
            ),
            ("UPDATE star.fact_order SET customer_id = 999 WHERE order_id = 1", psycopg.errors.ForeignKeyViolation),
            (
                "UPDATE star.fact_order SET due_date = '1999-01-01' WHERE order_id = 1",
                psycopg.errors.ForeignKeyViolation,
            ),
            ("DELETE FROM star.dim_customer WHERE customer_id = 1", psycopg.errors.ForeignKeyViolation),
            ("UPDATE star.fact_order SET valid_to = valid_from WHERE NOT is_current", psycopg.errors.CheckViolation),
            ("UPDATE star.fact_order SET is_current = false WHERE order_id = 1", psycopg.errors.CheckViolation),
            ("UPDATE star.fact_order SET is_deleted = true WHERE order_id = 1", psycopg.errors.CheckViolation),
            (
                "UPDATE star.fact_order SET version = 1 WHERE order_id = 5 AND version = 2",
                psycopg.errors.UniqueViolation,
            ),
            (
                "UPDATE star.fact_order SET is_current = true, valid_to = NULL WHERE order_id = 5 AND version = 1",
                psycopg.errors.UniqueViolation,
            ),
            ("UPDATE star.fact_order SET amount = NULL WHERE order_id = 1", psycopg.errors.NotNullViolation),
            ("UPDATE star.dim_customer SET is_deleted = NULL", psycopg.errors.NotNullViolation),
        ],
    )
    def test_the_warehouse_itself_refuses_what_cannot_be(
        self, ready: Harness, loaded: Credentials, statement: str, error: type[psycopg.Error]
    ) -> None:
        with loaded.connect() as connection, pytest.raises(error), connection.transaction(force_rollback=True):
            connection.execute(statement.replace("star.", f"{ready.model.name}.").encode())

    def test_everything_is_described_in_the_warehouse(self, ready: Harness, loaded: Credentials) -> None:
        query = (
            "SELECT c.relname || coalesce('.' || a.attname, ''), col_description(c.oid, a.attnum) FROM pg_class c"
            " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT attisdropped"
            f" WHERE relnamespace = '{ready.model.name}'::regnamespace AND relkind = 'r'"
        )
        comments = dict(rows(ready, query, loaded))
        assert comments["dim_customer.name"] == "Name; O'Hara's \"${env:HOME}\" \\ 100 %"
        assert comments["fact_order.valid_to"] == "Until when it was true; NULL while current"
        assert [name for name, text in comments.items() if not text] == []

    @pytest.mark.parametrize(
        ("changes", "part"),
        [
            ({"password": SECRET}, "user or password is wrong; to do: check username and password in the secret."),
            ({"port": 1, "password": SECRET}, "nothing listens there; to do: check host and port"),
            ({"dbname": "nowhere"}, "the database or role does not exist; to do: check dbname and username"),
        ],
    )
    def test_a_warehouse_that_cannot_be_reached_is_named(
        self, ready: Harness, loaded: Credentials, changes: dict[str, Any], part: str
    ) -> None:
        credentials = Credentials.model_validate(loaded.secret() | changes)
        warehouse = open_warehouse("postgres", ready.model, credentials)

        def read() -> None:
            with warehouse.reader():
                pass

        for ask in (lambda: ready.load_into(warehouse), read, warehouse.forget):
            with pytest.raises(WarehouseError) as failed:
                ask()
            assert str(failed.value).startswith(f"warehouse {credentials.place} as postgres: {part}")
            assert SECRET not in str(failed.value)

    def test_a_user_that_may_not_do_it_is_told_what_to_grant(
        self, ready: Harness, loaded: Credentials, empty: Credentials, postgres: Any
    ) -> None:
        reader = credentials_of(postgres.create_reader(empty.dbname, "only_reads"))
        with pytest.raises(WarehouseError, match=r"permission denied .*to do: grant only_reads CREATE on the database"):
            self.load(ready, reader)
        stranger = credentials_of(postgres.create_reader(loaded.dbname, "only_reads", schemas=()))
        with open_warehouse("postgres", ready.model, stranger).reader() as asked:
            for ask in (
                asked.loaded_through,
                lambda: asked.present_rows(ready.model.facts["fact_order"]),
                lambda: list(asked.rows("dim_date")),
                lambda: asked.versions(ready.model.facts["fact_order"], ["5"]),
            ):
                with pytest.raises(WarehouseError, match=r": ERROR: permission denied for schema \w+; to do: grant"):
                    ask()

    def test_what_the_server_refuses_is_said_in_its_own_words(self, ready: Harness, empty: Credentials) -> None:
        """The statement, which comes before them, is longer than a line may be."""
        self.ask(empty, f"CREATE SCHEMA {ready.model.name}")
        self.ask(
            empty,
            f"CREATE TABLE {ready.model.name}.dim_customer (customer_id int PRIMARY KEY, name varchar, country varchar, "
            "code int, is_deleted bool, is_inferred bool, recorded_batch bigint, CONSTRAINT by_hand CHECK (name = 'x'))",
        )
        with pytest.raises(
            WarehouseError,
            match=r': ERROR: new row for relation "dim_customer" violates check constraint "by_hand"; to do: look at',
        ):
            self.load(ready, empty)

    def test_what_fails_while_the_lake_is_read_is_not_said_to_be_the_warehouses(
        self, ready: Harness, empty: Credentials, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stage = PostgresLoad._stage

        def broken(rows: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
            yield rows.read_next_batch()
            raise LookupError("the lake's file is gone")

        def of_a_broken_lake(self: PostgresLoad, name: str, columns: Any, rows: pa.RecordBatchReader) -> Any:
            return stage(self, name, columns, pa.RecordBatchReader.from_batches(rows.schema, broken(rows)))

        with monkeypatch.context() as patched:
            patched.setattr(PostgresLoad, "_stage", of_a_broken_lake)
            with pytest.raises(LookupError, match="the lake's file is gone"):
                self.load(ready, empty)
        assert number_of_rows(ready, empty) == 0
        assert self.load(ready, empty) == 3


def test_the_glue_catalog_describes_the_lake(ready: Harness) -> None:
    import awswrangler as wr  # noqa: PLC0415 - slow to import

    star, source = ready.model.star_database, ready.model.source_database
    for database, table, column, text in (
        (star, "dim_customer", "name", "Name; O'Hara's \"${env:HOME}\" \\ 100 %"),
        (star, "fact_order", "amount", "Amount"),
        (star, "fact_order", "closed_batch", "Batch that closed this version; NULL while current"),
        (source, "orders", "due", "Day, YYYY-MM-DD as text"),
        (source, "orders", "_batch", "Manifest that last changed this row"),
    ):
        assert wr.catalog.get_columns_comments(database=database, table=table)[column] == text
    assert {table["Name"] for table in wr.catalog.get_tables(database=source)} == {"country", "customer", "orders"}
    schema = ready.lake_table("fact_order").schema()
    assert schema.find_field("due_date").doc == "Day on which it is due"
    assert str(ready.lake_table("fact_order").spec().fields[0].transform) == "month"


def test_a_kind_of_warehouse_that_there_is_not_is_refused(ready: Harness) -> None:
    with pytest.raises(WarehouseError, match=r"no warehouse of kind 'papyrus'; expected: one of postgres"):
        open_warehouse("papyrus", ready.model, ready.reader)
    assert isinstance(open_warehouse(None, ready.model, ready.reader), KINDS["postgres"])  # type: ignore[arg-type]
