"""What people put on the warehouse's objects, and what they plant where our sessions might find it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tidemark.base.errors import WarehouseError
from tidemark.jobs.load import load
from tidemark.operations.compare_rows import Difference
from tidemark.warehouse.postgres.warehouse import PostgresWarehouse

from local_stack.postgres.server import Credentials as Database
from local_stack.postgres.server import EmbeddedPostgres
from tests.integration.conftest import PROCESSED, Harness, credentials_of

NOTE = "      note: {type: varchar, nullable: true, description: Note}\n"


class Warehouse:
    """A shop's warehouse on a server, with an owner of its own (no superuser), and a reader."""

    def __init__(self, shop: Harness, postgres: EmbeddedPostgres) -> None:
        self.shop, self.star = shop, shop.model.name
        self.admin: Database = postgres.create_database(f"warehouse_of_{shop.model.name}")
        self.loader = postgres.create_reader(self.admin.dbname, "loader", schemas=())
        self.bi = postgres.create_reader(self.admin.dbname, "bi", schemas=())
        self.sql(f'GRANT CREATE, TEMPORARY ON DATABASE "{self.admin.dbname}" TO loader')

    def sql(self, *statements: str, by: Database | None = None) -> list[tuple[Any, ...]]:
        with (by or self.admin).connect() as connection:
            for statement in statements:
                cursor = connection.execute(statement.replace("STAR", self.star).encode())
            return cursor.fetchall() if cursor.description else []

    def load(self) -> int:
        warehouse = PostgresWarehouse(self.shop.model, credentials_of(self.loader))
        return load(self.shop.model, self.shop.landing, PROCESSED, warehouse, self.shop.metrics)

    def forget(self) -> None:
        PostgresWarehouse(self.shop.model, credentials_of(self.loader)).forget()

    def differences(self) -> list[Difference]:
        return self.shop.differences(self.admin)


@pytest.fixture
def warehouses(shop: Harness, both_ends: list[EmbeddedPostgres]) -> list[Warehouse]:
    shop.edit("star.yml", NOTE, NOTE.replace("varchar,", "varchar(20),"))
    found = [Warehouse(shop, server) for server in both_ends]
    tick(found)
    return found


def tick(warehouses: list[Warehouse]) -> None:
    shop = warehouses[0].shop
    batch = shop.must_extract(full=True).batch
    shop.transform()
    assert {warehouse.load() for warehouse in warehouses} == {batch}


def widen(shop: Harness) -> None:
    shop.edit("star.yml", "varchar(20),", "varchar(40),")
    shop.execute("UPDATE orders SET amount = amount + 1 WHERE order_id = 1")


STATE = """
SELECT c.relname, c.relacl::text, c.reloptions, pg_get_userbyid(c.relowner), obj_description(c.oid),
       (SELECT array_agg((a.attname, a.attacl::text, a.attnotnull, col_description(c.oid, a.attnum))::text ORDER BY a.attnum)
          FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0)
  FROM pg_class c WHERE c.relnamespace = 'STAR'::regnamespace AND c.relkind IN ('r', 'v') ORDER BY 1
"""


FUNCTIONS = "SELECT oid, proacl::text FROM pg_proc WHERE pronamespace = 'STAR'::regnamespace ORDER BY 1"


def test_what_others_were_granted_and_wrote_survives_a_wider_type(warehouses: list[Warehouse]) -> None:
    before = []
    for warehouse in warehouses:
        warehouse.sql(
            "GRANT USAGE ON SCHEMA STAR TO bi",
            "GRANT SELECT ON ALL TABLES IN SCHEMA STAR TO bi WITH GRANT OPTION",
            "GRANT SELECT ON STAR.fact_order_current TO PUBLIC",
            "GRANT UPDATE (note) ON STAR.fact_order_current TO bi",
            "GRANT EXECUTE ON FUNCTION STAR.fact_order_as_of(timestamptz) TO bi",
            "ALTER VIEW STAR.fact_order_current SET (security_barrier = true)",
            "ALTER TABLE STAR.fact_order ADD COLUMN cost_centre text NOT NULL DEFAULT 'x'",
            "COMMENT ON VIEW STAR.fact_order_current IS 'ours: see wiki'",
            "COMMENT ON COLUMN STAR.fact_order.amount IS 'without VAT'",
            "COMMENT ON COLUMN STAR.fact_order_current.amount IS 'really without'",
        )
        warehouse.sql("ALTER DEFAULT PRIVILEGES IN SCHEMA STAR GRANT DELETE ON TABLES TO bi", by=warehouse.loader)
        before.append((warehouse.sql(STATE), warehouse.sql(FUNCTIONS)))
    widen(warehouses[0].shop)
    tick(warehouses)
    for warehouse, (state, functions) in zip(warehouses, before, strict=True):
        after = warehouse.sql(STATE)
        # The table got the column after the view was made, so the view has it only now.
        assert [row[:5] for row in after] == [row[:5] for row in state]
        assert [row[5][: len(old[5])] for row, old in zip(after, state, strict=True)] == [row[5] for row in state]
        assert warehouse.sql(FUNCTIONS) == functions, "functions that did not change were not touched"
        count = "SELECT count(*), max(length(cost_centre)) FROM STAR.fact_order_current"
        assert warehouse.sql(count, by=warehouse.bi) == [(3000, 1)]
        kind = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'STAR.fact_order'::regclass AND attname = 'note'"
        assert warehouse.sql(kind) == [("character varying(40)",)]
        assert warehouse.differences() == []


# What others may hang on a fact, and what the message says of it.
IN_THE_WAY = (
    ("CREATE VIEW bi.report AS SELECT note FROM STAR.fact_order_current", "view bi.report depends on view"),
    ("CREATE VIEW bi.report AS SELECT note FROM STAR.fact_order", "view bi.report"),
    ("CREATE MATERIALIZED VIEW bi.report AS SELECT note FROM STAR.fact_order", "materialized view bi.report"),
    ("CREATE TABLE bi.pairs (one STAR.fact_order)", "pairs.one"),
    (
        "ALTER TABLE STAR.fact_order ADD COLUMN mine int GENERATED ALWAYS AS (length(note)) STORED",
        'Column "note" is used by generated column "mine"',
    ),
    ("CREATE POLICY mine ON STAR.fact_order USING (note IS NOT NULL)", "policy mine"),
    (
        "CREATE RULE mine AS ON DELETE TO STAR.fact_order_current DO INSTEAD NOTHING",
        r"fact_order_current\W+ has to be made again, and has rule mine",
    ),
)


def test_what_stands_in_the_way_of_a_wider_type_is_named_and_nothing_is_changed(warehouses: list[Warehouse]) -> None:
    widen(warehouses[0].shop)
    warehouses[0].shop.must_extract()
    warehouses[0].shop.transform()
    for warehouse in warehouses:
        for statement, named in IN_THE_WAY:
            warehouse.sql("CREATE SCHEMA bi", "GRANT USAGE ON SCHEMA bi TO loader", statement)
            before = warehouse.sql(STATE)
            with pytest.raises(WarehouseError, match=named):
                warehouse.load()
            assert warehouse.sql(STATE) == before, statement
            warehouse.sql(
                "DROP SCHEMA bi CASCADE",
                "ALTER TABLE STAR.fact_order DROP COLUMN IF EXISTS mine",
                "DROP POLICY IF EXISTS mine ON STAR.fact_order",
                "DROP RULE IF EXISTS mine ON STAR.fact_order_current",
            )
        assert warehouse.load() == 2
        assert warehouse.differences() == []


# What others may have that a dropped schema would take along; how it is named, and how they drop it.
TAKEN_ALONG = (
    ("CREATE VIEW bi.report AS SELECT note FROM STAR.fact_order_current", "view bi.report", ""),
    ("CREATE VIEW bi.report AS SELECT name FROM STAR.dim_customer", "view bi.report", ""),
    ("CREATE VIEW bi.report AS SELECT * FROM STAR.fact_order_as_of(now())", "view bi.report", ""),
    ("CREATE MATERIALIZED VIEW bi.report AS SELECT note FROM STAR.fact_order", "materialized view bi.report", ""),
    ("CREATE TABLE bi.pairs (one STAR.fact_order)", "column one of table bi.pairs", ""),
    ("CREATE TABLE bi.notes (id int REFERENCES STAR.dim_customer)", r"constraint notes_id_fkey on table bi\.notes", ""),
    ("CREATE TABLE bi.copy () INHERITS (STAR.dim_customer)", "table bi.copy", ""),
    ("CREATE FUNCTION bi.one(STAR.dim_customer) RETURNS int LANGUAGE sql AS 'SELECT 1'", r"function bi\.one\(", ""),
    (
        "CREATE TABLE bi.numbers (n bigint DEFAULT nextval('SEQUENCE'))",
        "default value for column n of table bi.numb",
        "",
    ),
    (
        "CREATE TABLE bi.guarded (); CREATE POLICY mine ON bi.guarded USING (EXISTS (SELECT FROM STAR.dim_customer))",
        "policy mine on table bi.guarded",
        "",
    ),
    ("CREATE TABLE STAR.theirs (id int)", r"table \w+\.theirs", "DROP TABLE STAR.theirs"),
    ("CREATE VIEW STAR.theirs AS SELECT * FROM STAR.dim_date", r"view \w+\.theirs", "DROP VIEW STAR.theirs"),
    ("CREATE SEQUENCE STAR.theirs", r"sequence \w+\.theirs", "DROP SEQUENCE STAR.theirs"),
    ("CREATE TYPE STAR.theirs AS ENUM ('a')", r"type \w+\.theirs", "DROP TYPE STAR.theirs"),
    ("CREATE TYPE STAR.theirs AS (a int)", r"type \w+\.theirs", "DROP TYPE STAR.theirs"),
    (
        "CREATE FUNCTION STAR.fact_order_as_of(date) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        r"function \w+\.fact_order_as_of\(date\)",
        "DROP FUNCTION STAR.fact_order_as_of(date)",
    ),
)
OURS = (
    "SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('STAR')",
    "SELECT count(*) FROM pg_proc WHERE pronamespace = to_regnamespace('STAR')",
    "SELECT count(*) FROM etl.load_ledger",
    "SELECT count(*) FROM etl.comments",
)


def test_what_a_rebuild_would_take_along_is_named_and_nothing_is_dropped(warehouses: list[Warehouse]) -> None:
    for warehouse in warehouses:
        (sequence,) = warehouse.sql(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'S' AND relnamespace = 'STAR'::regnamespace"
        )[0]
        for statement, named, undo in TAKEN_ALONG:
            warehouse.sql("CREATE SCHEMA bi", *statement.replace("SEQUENCE'", f"{sequence}'").split("; "))
            before = [warehouse.sql(query) for query in OURS]
            with pytest.raises(WarehouseError, match=rf"in the way of a rebuild.*: {named}.*nothing was dropped"):
                warehouse.forget()
            assert [warehouse.sql(query) for query in OURS] == before, statement
            warehouse.sql("DROP SCHEMA bi CASCADE", *filter(None, [undo]))
        warehouse.sql(
            "CREATE SCHEMA bi",
            "CREATE VIEW bi.report AS SELECT note FROM STAR.fact_order",
            *(f"CREATE TABLE STAR.theirs_{number} (id int)" for number in range(11)),
        )
        with pytest.raises(WarehouseError, match=r"theirs_0, table .*, and 2 more; expected: nothing of others in"):
            warehouse.forget()


def test_a_rebuild_drops_what_is_ours_with_all_its_parts(warehouses: list[Warehouse]) -> None:
    for warehouse in warehouses:
        warehouse.sql(
            "GRANT SELECT ON ALL TABLES IN SCHEMA STAR TO bi",
            "ALTER DEFAULT PRIVILEGES FOR ROLE loader IN SCHEMA STAR GRANT SELECT ON TABLES TO bi",
            "ALTER TABLE STAR.fact_order ADD COLUMN twice int GENERATED ALWAYS AS (length(note)) STORED",
            "CREATE INDEX ON STAR.fact_order (twice)",
            "CREATE STATISTICS STAR.both ON note, amount FROM STAR.fact_order",
            "CREATE POLICY mine ON STAR.fact_order USING (EXISTS (SELECT FROM STAR.dim_customer))",
            "CREATE RULE mine AS ON DELETE TO STAR.fact_order_current DO INSTEAD NOTHING",
            "CREATE TRIGGER mine BEFORE UPDATE ON STAR.dim_date FOR EACH ROW"
            " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        )
        # A table of a model of before, which says so itself.
        warehouse.sql(
            "CREATE TABLE STAR.dim_before (id int)",
            "INSERT INTO etl.comments VALUES ('STAR', 'TABLE \"STAR\".\"dim_before\"', 'As it was')",
            by=warehouse.loader,
        )
        warehouse.forget()
        assert [warehouse.sql(query) for query in OURS] == [[(0,)]] * len(OURS)
        assert warehouse.sql("SELECT to_regnamespace('STAR')") == [(None,)]
        warehouse.forget()
        assert warehouse.load() == 1
        assert warehouse.differences() == []


def test_our_comments_follow_the_model_and_other_peoples_stay(warehouses: list[Warehouse]) -> None:
    for warehouse in warehouses:
        warehouse.sql("COMMENT ON COLUMN STAR.fact_order.amount IS 'without VAT'")
    shown = (
        "SELECT attname::text, col_description(attrelid, attnum) FROM pg_attribute"
        " WHERE attrelid = 'STAR.fact_order'::regclass AND attname IN ('amount', 'note') ORDER BY 1"
    )
    for words in ("A remark", "Another remark"):
        star = warehouses[0].shop.folder / "star.yml"
        lines = star.read_text().splitlines(keepends=True)
        star.write_text(
            "".join(
                line.rsplit("description:", 1)[0] + f"description: {words}}}\n"
                if line.startswith("      note:")
                else line
                for line in lines
            )
        )
        tick(warehouses)
        for warehouse in warehouses:
            assert warehouse.sql(shown) == [("amount", "without VAT"), ("note", words)]


def plant(database: Database, owner: str, *functions: str) -> None:
    """Give everybody what everybody had before PostgreSQL 15, and let somebody use it."""
    with database.connect() as connection:
        connection.execute("GRANT CREATE, USAGE ON SCHEMA public TO PUBLIC")
        connection.execute("CREATE TABLE public.loot (who text)")
        connection.execute("GRANT INSERT, SELECT ON public.loot TO PUBLIC")
        connection.execute(f"SET ROLE {owner}".encode())
        for function in functions:
            connection.execute(function.encode())


STEAL = (
    "LANGUAGE plpgsql AS $$BEGIN IF current_setting('transaction_read_only') = 'off' THEN"
    " INSERT INTO public.loot VALUES (current_user); END IF; RETURN {}; END$$"
)
# Better matches for our calls than PostgreSQL's own, which take "any", a wider type, or are made by a cast.
PLANTED = [
    "CREATE FUNCTION public.jsonb_build_array(smallint, name, text, boolean, text) RETURNS jsonb "
    + STEAL.format("json_build_array($1, $2, $3, $4, $5)::jsonb"),
    "CREATE FUNCTION public.hashtextextended(text, integer) RETURNS bigint " + STEAL.format("7"),
    "CREATE FUNCTION public.hashint8extended(bigint, integer) RETURNS bigint " + STEAL.format("7"),
    "CREATE FUNCTION public.date_part(text, timestamp(3)) RETURNS double precision " + STEAL.format("1"),
    "CREATE FUNCTION public.set_config(name, text, boolean) RETURNS text " + STEAL.format("''"),
    "CREATE FUNCTION public.ne(oid, integer) RETURNS boolean " + STEAL.format("true"),
    "CREATE OPERATOR public.<> (LEFTARG = oid, RIGHTARG = integer, FUNCTION = public.ne)",
    "CREATE FUNCTION public.later(timestamptz, timestamptz) RETURNS boolean " + STEAL.format("true"),
    "CREATE OPERATOR public.> (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = public.later)",
]


@pytest.mark.servers
def test_functions_and_operators_that_others_plant_are_never_called(
    new_pipeline: Callable[[], Harness], postgres: EmbeddedPostgres
) -> None:
    found = Warehouse(new_pipeline(), postgres)
    mallory = postgres.create_reader(found.shop.source.dbname, "mallory", schemas=())
    postgres.create_reader(found.admin.dbname, "mallory", schemas=())
    for database in (found.shop.source, found.admin):
        plant(database, mallory.username, *PLANTED)
    tick([found])
    found.shop.execute("UPDATE orders SET note = 'x' WHERE order_id = 1", "DELETE FROM orders WHERE order_id = 2")
    tick([found])
    as_of = "SET search_path = public, pg_catalog; SELECT count(*) FROM STAR.fact_order_as_of(now(), 2)"
    with found.admin.connect() as connection:
        for statement in as_of.replace("STAR", found.star).split("; "):
            cursor = connection.execute(statement.encode())
        assert cursor.fetchone() == (2999,)
    for database in (found.shop.source, found.admin):
        assert found.shop.query("SELECT * FROM public.loot", database) == []
    assert found.differences() == []
