"""`tidemark model init` on other people's databases: every draft loads, and the source itself fits it."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from psycopg import sql as pgsql
from tidemark.base.credentials import Credentials as JobCredentials
from tidemark.base.errors import ModelError
from tidemark.drafting import files as model_init_files
from tidemark.drafting.draft import draft_model
from tidemark.model.loader import load_model
from tidemark.source import queries as sql
from tidemark.source.snapshot import open_snapshot
from tidemark.warehouse.postgres import ddl
from typer.testing import CliRunner

from local_stack.lifecycle import DEFAULT_MODEL
from tidemark_cli import main as cli

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidemark.base.database_url import Credentials
    from tidemark.drafting.draft import Draft
    from tidemark.model.definition import Model

    from local_stack.postgres.server import EmbeddedPostgres

pytestmark = pytest.mark.servers

SCHEMAS = Path(__file__).parents[1] / "other_databases"
LONG = "a" * 63
# The column of the nasty database that only some servers can have.
MULTIRANGE = "ay"


def call(*arguments: str) -> Any:
    return CliRunner().invoke(cli.app, ["model", *arguments], env={"COLUMNS": "200", "NO_COLOR": "1"})


def plain(text: str) -> str:
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())


def url_of(credentials: Credentials) -> str:
    return (
        f"postgresql://{credentials.username}:{credentials.password.get_secret_value()}@{credentials.host}:{credentials.port}"
        f"/{credentials.dbname}?sslmode=disable"
    )


def execute(database: Credentials, ddl: str) -> None:
    with database.connect() as connection:
        connection.execute(ddl.encode())


def major_of(database: Credentials) -> int:
    with database.connect() as connection:
        return connection.info.server_version // 10000


def schema_of(name: str, major: int) -> str:
    """Give the statements of a made-up database as a server of that version can have it: before 14, no multiranges."""
    statements = SCHEMAS.joinpath(f"{name}.sql").read_text()
    return statements if major >= 14 else statements.replace(f" {MULTIRANGE} int4multirange,", "")


def extraction_judges(credentials: Credentials, model: Model) -> None:
    """What a tick does before and while it reads: contract check, locks, scans, and every column's reader form."""
    jobs = JobCredentials.model_validate(credentials.secret())
    with open_snapshot(jobs, model, "tests") as snapshot:
        for table in model.tables.values():
            found = snapshot.tables[table.name]
            assert set(found.types) == {column.name for column in table.columns}
            snapshot.connection.execute((sql.rows(table, found.types, ["true"]) + " LIMIT 1").encode())
            snapshot.connection.execute((sql.keys(table, found.types, ["true"]) + " LIMIT 1").encode())
            snapshot.scan(table, "false", None if table.strategy == "snapshot" else "true")


def warehouse_takes(database: Credentials, model: Model) -> None:
    """The star's tables, keys, views and functions can be made."""
    with database.connect() as connection:
        for statement in [*ddl.statements(model), *ddl.history_access(model)]:
            connection.execute(statement.encode())


def drafted(credentials: Credentials, folder: Path, **options: Any) -> Draft:
    """Draft, load again from the files, hold against the source."""
    made = draft_model(credentials, output=folder, **options)
    model = load_model(str(folder))
    assert model == made.model
    extraction_judges(credentials, model)
    return made


@pytest.fixture
def sample(new_database: Callable[..., Credentials], tmp_path: Path) -> Callable[[str], Draft]:
    """Draft a model of one of the made-up databases beside this file."""

    def draft(name: str) -> Draft:
        database = new_database(name)
        execute(database, schema_of(name, major_of(database)))
        made = drafted(database, tmp_path / name, name=name)
        warehouse_takes(new_database("warehouse"), made.model)
        return made

    return draft


def left_out(made: Draft) -> dict[str, str]:
    return {left.where: left.why for left in made.source.left_out}


class TestTotesys:
    def test_the_draft_says_what_the_shipped_model_says(self, seeded: Credentials, tmp_path: Path) -> None:
        made = drafted(seeded, tmp_path / "totesys", name="totesys").model
        shipped = load_model(str(DEFAULT_MODEL))
        for name, table in shipped.tables.items():
            assert made.tables[name].key == table.key
            assert [(c.name, c.type, c.nullable) for c in made.tables[name].columns] == [
                (c.name, c.type, c.nullable) for c in table.columns
            ]
            assert made.tables[name].strategy == table.strategy
        assert set(made.tables) == set(shipped.tables)

    def test_the_starter_star_has_the_payments_with_their_dimensions(self, seeded: Credentials, tmp_path: Path) -> None:
        made = drafted(seeded, tmp_path / "totesys").model
        payment = made.facts["fact_payment"]
        assert (payment.key, payment.partition_by) == (("payment_id",), "created_date")
        assert {column.name: column.references for column in payment.references} == {
            "created_date": "dim_date",
            "transaction_id": "dim_transaction",
            "counterparty_id": "dim_counterparty",
            "currency_id": "dim_currency",
            "payment_type_id": "dim_payment_type",
        }
        assert payment.sql.endswith("`last_updated` AS `_updated_at`\nFROM `payment`")
        assert "`created_at` AS `created_date`,\n    `created_at` AS `created_time`" in payment.sql


class TestSamples:
    """Databases shaped like well-known public samples (beside this file), each with what is hard about it."""

    def test_rentals(self, sample: Callable[[str], Draft]) -> None:
        made = sample("rentals")
        tables = made.model.tables
        assert tables["payment"].key == ("payment_date", "payment_id")
        assert not [name for name in tables if name.startswith("payment_p")]
        assert (tables["rental_by_category"].strategy, tables["rental_by_category"].key) == ("full", ("category",))
        assert {c.name: str(c.type) for c in tables["film"].columns}["special_features"] == "text[]"
        assert left_out(made) == {
            "public.customer_list": "is a view: nothing in the catalogue says what is unique in it"
        }
        rental = made.model.facts["fact_rental"]
        assert rental.partition_by == "rental_date"
        assert set(made.model.facts) == {"fact_film_actor", "fact_payment", "fact_rental"}
        payment = made.model.facts["fact_payment"]
        assert (payment.key, payment.partition_by) == (("payment_date", "payment_id"), "payment_date")
        assert {column.name for column in payment.references} == {"customer_id"}, "a rental is an event, no dimension"
        assert {column.references for column in rental.references} == {
            "dim_date", "dim_inventory", "dim_customer", "dim_staff",
        }  # fmt: skip
        assert (
            "dim_film leaves out what a star cannot hold: special_features (text[]), fulltext (tsvector)"
            in made.source.notes
        )

    def test_trading(self, sample: Callable[[str], Draft]) -> None:
        made = sample("trading").model
        assert made.tables["order_details"].key == ("order_id", "product_id")
        assert set(made.facts) == {"fact_orders", "fact_order_details", "fact_customer_customer_demo"}
        details = made.facts["fact_order_details"]
        assert (details.key, details.from_key) == (("order_id", "product_id"), ("order_id", "product_id"))
        assert {column.name: column.references for column in details.references} == {"product_id": "dim_products"}
        orders = made.facts["fact_orders"]
        assert orders.partition_by == "order_date"
        assert str(orders.column("customer_id").type) == "varchar"
        assert orders.column("customer_id").references == "dim_customers"
        assert "dim_us_states" not in made.dimensions

    def test_music(self, sample: Callable[[str], Draft]) -> None:
        made = sample("music").model
        assert (made.tables["playlist_track"].relation, made.tables["playlist_track"].key) == (
            "PlaylistTrack",
            ("PlaylistId", "TrackId"),
        )
        line = made.facts["fact_invoice_line"]
        assert (line.key, line.from_key, line.driver) == (("invoice_line_id",), ("InvoiceLineId",), "invoice_line")
        assert "`UnitPrice` AS `unit_price`" in line.sql

    def test_cycles(self, sample: Callable[[str], Draft]) -> None:
        made = sample("cycles")
        tables, facts = made.model.tables, made.model.facts
        assert (tables["person"].schema, tables["salesorderheader"].schema) == ("person", "sales")
        assert {"hr_department", "production_department"} < set(tables)
        assert {c.name: str(c.type) for c in tables["person"].columns}["namestyle"] == "boolean"
        header = facts["fact_salesorderheader"]
        assert header.partition_by == "order_date"
        assert str(header.column("subtotal").type) == "numeric(38,10)"
        assert any("rounds to numeric(38,10)" in note for note in made.source.notes)
        assert "pe.p" in left_out(made)

    def test_staffing(self, sample: Callable[[str], Draft]) -> None:
        made = sample("staffing")
        assert made.model.tables["title"].key == ("employee_id", "title", "from_date")
        assert made.source.schema == "employees"
        assert set(made.model.dimensions) == {"dim_department", "dim_employee"}
        assert {name: (fact.key, fact.partition_by) for name, fact in made.model.facts.items()} == {
            "fact_department_employee": (("employee_id", "department_id"), None),
            "fact_salary": (("employee_id", "from_date"), "from_date"),
            "fact_title": (("employee_id", "title", "from_date"), "from_date"),
        }

    def test_blog(self, sample: Callable[[str], Draft]) -> None:
        made = sample("blog")
        posts = made.model.facts["fact_posts"]
        assert (posts.key, str(posts.column("id").type), posts.partition_by) == (("id",), "varchar", "inserted_date")
        assert posts.column("user_id").references == "dim_users"
        assert str(made.model.dimensions["dim_users"].column("email").type) == "varchar"
        assert "public.posts_tags" in left_out(made)


class TestNasty:
    @pytest.fixture
    def made(self, sample: Callable[[str], Draft]) -> Draft:
        return sample("nasty")

    @pytest.fixture
    def major(self, new_database: Callable[..., Credentials]) -> int:
        return major_of(new_database("any"))

    def test_everything_is_read_or_named(self, made: Draft, major: int) -> None:
        tables, missing = made.model.tables, left_out(made)
        assert {(table.schema, table.relation): table.key for table in tables.values() if len(table.key) > 1} == {
            ("My Schema", "T 1"): ("K 2", "K 1"),
            ("public", "unique_good"): ("b", "c"),
            ("public", "parted"): ("id", "day"),
        }
        assert tables["types"].schema == "public"
        kinds = {column.name: str(column.type) for column in tables["types"].columns}
        assert kinds.get(MULTIRANGE) == ("int4multirange" if major >= 14 else None)
        assert tables["other_types"].schema in ("My Schema", "other")
        assert tables["mixed_case"].relation == "Mixed Case"
        assert (tables["mat_keyed"].strategy, tables["parted"].strategy) == ("full", "snapshot")
        assert all(re.fullmatch("[a-z0-9_]{1,63}", name) for name in tables)
        for name in ("a_view", "broken_view", "mat", "mat_empty", "mat_null", "far", "near_and_far", "no_key", "parent",
                     "parted_no_key", "only_bad", "no_columns", "bad_key", "unique_deferred", "unique_expression",
                     "unique_nullable", "unique_partial"):  # fmt: skip
            assert f"public.{name}" in missing
        assert 'public.case_twins."NAME"' in missing
        assert missing["public.mat_null"] == "its unique column id holds NULL"
        assert [column.name for column in tables["the_lakes_own"].columns] == ["id", "_id"]

    def test_comments_survive(self, made: Draft) -> None:
        table = made.model.tables["mixed_case"]
        assert table.description == 'It\'s "all": a # mess, really; - {x: y} $$ \\ 😀'
        assert table.column("Order").description == "Line one line two three *x &y !z |\\"
        assert table.column("select").description == "Select"

    def test_the_comments_of_source_yml_become_tables_once_a_key_is_named(self, made: Draft, tmp_path: Path) -> None:
        text = made.folder.joinpath("source.yml").read_text()
        head, tail = text.split("\n# Left out.", 1)
        opened = "\n".join(line[2:] for line in tail.splitlines() if line.startswith("#   "))
        content = yaml.safe_load(head + "\n" + opened.replace("key: []", "key: [a]"))
        assert {"no_key", "no_key_x", "a_view", "far"} < set(content["tables"])
        assert content["tables"]["no_key_x"]["columns"]["b: c"]["type"] == "text"
        assert content["tables"]["far"]["incremental"] == "full"

    def test_star_names_do_not_meet_those_of_views_and_functions(self, made: Draft) -> None:
        facts = set(made.model.facts)
        assert not facts & {name + ending for name in facts for ending in ("_current", "_as_of")}
        assert made.model.facts["fact_select"].column("source_version").type.base == "integer"

    def test_the_same_database_gives_the_same_files(
        self, made: Draft, new_database: Callable[..., Credentials]
    ) -> None:
        again = new_database("nasty")
        execute(again, schema_of("nasty", major_of(again)))
        other = drafted(again, made.folder.with_name("again"), name="nasty")
        for path in made.folder.iterdir():
            twin = other.folder.joinpath(path.name).read_text()
            assert twin.replace(again.dbname, "") == re.sub(r"nasty_\d+", "", path.read_text())


class TestLimits:
    def test_random_names_always_load(self, new_database: Callable[..., Credentials], tmp_path: Path) -> None:
        chance = Random(5)  # noqa: S311 - not a secret
        letters = "aA_0 .\"'`\\$%{}[]#:,-?!&*|><=@~éßİ中😀\xa0\ufeff" * 5 + "\t\n\x01\u2028\x85"
        database = new_database("random")
        with database.connect() as connection:
            for _ in range(120):
                table, *columns = dict.fromkeys(
                    "".join(chance.choices(letters, k=chance.randint(1, 15))) for _ in range(6)
                )
                listed = pgsql.SQL(", ").join(pgsql.SQL("{} int").format(pgsql.Identifier(name)) for name in columns)
                query = pgsql.SQL("CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY ({}))")
                connection.execute(query.format(pgsql.Identifier(table), listed, pgsql.Identifier(columns[0])))
        made = drafted(database, tmp_path / "random")
        assert len(made.model.tables) > 40
        expected = re.compile("control characters|cannot be read|only in upper and lower case|no columns")
        assert all(expected.search(why) for why in left_out(made).values())

    def test_1600_columns_with_long_names(self, new_database: Callable[..., Credentials], tmp_path: Path) -> None:
        database = new_database("wide")
        columns = ", ".join(f"{'x' * 58}_{number:04d} int" for number in range(1599))
        execute(database, f"CREATE TABLE {LONG} (id int PRIMARY KEY, {columns})")
        execute(database, f"CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES {LONG})")
        made = drafted(database, tmp_path / "wide").model
        warehouse_takes(new_database("warehouse"), made)
        assert len(made.tables[LONG].columns) == 1600
        (dimension,) = made.dimensions.values()
        assert len(dimension.columns) == 1500

    def test_a_nested_domain_is_read_as_the_contract_check_sees_it(
        self, new_database: Callable[..., Credentials], tmp_path: Path
    ) -> None:
        database = new_database("domains")
        execute(database, "CREATE DOMAIN a AS int; CREATE DOMAIN b AS a; CREATE TABLE t (id a PRIMARY KEY, x b)")
        made = drafted(database, tmp_path / "domains")
        assert any("it has no fact, write it by hand" in note for note in made.source.notes)
        table = made.model.tables["t"]
        assert [str(column.type) for column in table.columns] == ["integer", "integer"]


def test_schemas_of_extensions_are_the_systems(new_database: Callable[..., Credentials], tmp_path: Path) -> None:
    database = new_database("extended")
    execute(
        database,
        "CREATE SCHEMA internal; CREATE TABLE internal.chunk (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY);"
        "CREATE EXTENSION IF NOT EXISTS citext; CREATE TABLE of_citext (id int PRIMARY KEY);"
        "ALTER EXTENSION citext ADD SCHEMA internal; ALTER EXTENSION citext ADD TABLE of_citext",
    )
    made = drafted(database, tmp_path / "extended")
    assert list(made.model.tables) == ["t"]
    assert left_out(made) == {"public.of_citext": "belongs to an extension"}
    assert list(drafted(database, tmp_path / "asked", schemas=["internal"]).model.tables) == ["chunk"]


class TestRights:
    def test_a_role_that_may_read_some_tables_gets_those(
        self, postgres: EmbeddedPostgres, new_database: Callable[..., Credentials], tmp_path: Path
    ) -> None:
        owner = new_database("rights")
        execute(owner, "CREATE SCHEMA hidden; CREATE TABLE hidden.x (id int PRIMARY KEY); CREATE TABLE a (id int PRIMARY KEY);"
                "CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY);"
                "ALTER TABLE c ENABLE ROW LEVEL SECURITY")  # fmt: skip
        reader = postgres.create_reader(owner.dbname, "some_reader")
        execute(owner, "REVOKE SELECT ON b FROM some_reader; GRANT SELECT (id) ON b TO some_reader")
        made = drafted(reader, tmp_path / "rights")
        assert set(made.model.tables) == {"a", "c"}
        assert left_out(made) == {
            "hidden.x": "some_reader may not read it",
            "public.b": "some_reader may not read it",
        }
        assert "GRANT SELECT ON hidden.x TO some_reader" in made.source.left_out[0].do
        assert any("row-level security" in note for note in made.source.notes)
        assert {name: table.strategy for name, table in made.model.tables.items()} == {"a": "snapshot", "c": "full"}

    def test_a_role_that_may_read_nothing(
        self, postgres: EmbeddedPostgres, new_database: Callable[..., Credentials], tmp_path: Path
    ) -> None:
        owner = new_database("norights")
        execute(owner, "CREATE TABLE a (id int PRIMARY KEY); CREATE VIEW v AS SELECT 1 AS x")
        reader = postgres.create_reader(owner.dbname, "no_reader", schemas=())
        result = call("init", "--database", url_of(reader), "--output", str(tmp_path / "x"))
        assert result.exit_code == 1
        assert "no_reader may read none of 2 tables and views; to do: GRANT USAGE ON SCHEMA" in plain(result.stderr)
        assert list(tmp_path.iterdir()) == []


class TestCommand:
    @pytest.fixture
    def shop(self, new_database: Callable[..., Credentials]) -> Credentials:
        database = new_database("shop")
        execute(database, SCHEMAS.joinpath("trading.sql").read_text())
        execute(database, "CREATE TABLE log (line text); ANALYZE")
        return database

    def test_it_says_what_was_drafted_what_not_and_what_comes_next(self, shop: Credentials, tmp_path: Path) -> None:
        folder = tmp_path / "new" / "shop"
        result = call("init", "--database", url_of(shop), "--name", "shop", "--output", str(folder))
        assert result.exit_code == 0, result.output
        said = plain(result.output)
        assert re.search(r"public\.orders 1 order_id snapshot fact_orders", said)
        assert re.search(r"public\.order_details 0 order_id, product_id snapshot fact_order_details", said)
        assert (
            "public.log: has no primary key and no unique index over NOT NULL columns. To do: name the columns" in said
        )
        assert f"tidemark up --source '{shop}?sslmode=disable' --model {folder}" in said
        assert shop.password.get_secret_value() not in result.output
        assert sorted(path.name for path in folder.parent.iterdir()) == ["shop"]
        assert folder.stat().st_mode & 0o111 == folder.parent.stat().st_mode & 0o111
        checked = call("check", str(folder))
        assert (checked.exit_code, plain(checked.output)) == (
            0,
            "valid: model shop: 11 source tables with 37 columns, 7 dimensions, 3 facts",
        )

    def test_an_existing_model_is_only_replaced_by_force(self, shop: Credentials, tmp_path: Path) -> None:
        folder = tmp_path / "shop"
        arguments = ("init", "--database", url_of(shop), "--output", str(folder))
        folder.mkdir()
        assert call(*arguments).exit_code == 0
        folder.joinpath("mine.sql").write_text("SELECT 1")
        refused = call(*arguments)
        assert refused.exit_code == 1
        assert "is not empty; to do: name another --output, or say --force" in plain(refused.stderr)
        assert folder.joinpath("mine.sql").exists()
        assert call(*arguments, "--force").exit_code == 0
        assert not folder.joinpath("mine.sql").exists()
        folder.joinpath("thesis.odt").write_text("years of work")
        refused = call(*arguments, "--force")
        assert refused.exit_code == 1
        assert "holds other things than a model: thesis.odt" in plain(refused.stderr)
        assert [path.name for path in tmp_path.iterdir()] == ["shop"]

    def test_what_is_there_comes_back_if_the_folder_cannot_be_moved_there(
        self, shop: Credentials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "shop"
        folder.mkdir()
        folder.joinpath("source.yml").write_text("mine")
        rename = Path.rename

        def fails(path: Path, target: Path) -> Path:
            if target == folder and path.name == folder.name:
                raise PermissionError(13, "Permission denied", str(target))
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", fails)
        result = call("init", "--database", url_of(shop), "--output", str(folder), "--force")
        assert result.exit_code == 1
        assert "the file system refuses" in plain(result.stderr)
        assert folder.joinpath("source.yml").read_text() == "mine"

    def test_what_is_there_stays_if_the_draft_fails(
        self, shop: Credentials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(_: str) -> Any:
            raise ModelError("the loader says no")

        folder = tmp_path / "shop"
        folder.mkdir()
        folder.joinpath("source.yml").write_text("mine")
        monkeypatch.setattr(model_init_files, "load_model", fails)
        result = call("init", "--database", url_of(shop), "--output", str(folder), "--force")
        assert (result.exit_code, plain(result.stderr)) == (1, "Error: the loader says no.")
        assert folder.joinpath("source.yml").read_text() == "mine"
        assert [path.name for path in tmp_path.iterdir()] == ["shop"]

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("--schema", "nowhere"), "has no schema 'nowhere'; expected: one of public"),
            (("--name", "My-Shop"), "a model cannot be called 'My-Shop'"),
            (("--name", "etl"), "a model cannot be called 'etl'"),
            (("--output", "s3://bucket/model"), "is not a folder on this machine"),
            (("--output", "/dev/null"), "is a file"),
        ],
    )
    def test_wrong_options(self, shop: Credentials, arguments: tuple[str, str], said: str) -> None:
        result = call("init", "--database", url_of(shop), *arguments)
        assert result.exit_code == 1
        assert said in plain(result.stderr)

    def test_only_the_named_schemas(self, shop: Credentials, tmp_path: Path) -> None:
        execute(shop, 'CREATE SCHEMA "Extra"; CREATE TABLE "Extra".t (id int PRIMARY KEY)')
        made = drafted(shop, tmp_path / "extra", schemas=["Extra"])
        assert [(table.name, table.schema) for table in made.model.tables.values()] == [("t", "Extra")]

    def test_a_database_without_tables(self, new_database: Callable[..., Credentials], tmp_path: Path) -> None:
        database = new_database("bare")
        arguments = ("init", "--database", url_of(database), "--output", str(tmp_path / "x"))
        assert "there are no tables" in plain(call(*arguments).stderr)
        execute(database, "CREATE TABLE log (line text)")
        said = plain(call(*arguments).stderr)
        assert "nothing can be drafted: public.log has no primary key" in said
        assert list(tmp_path.iterdir()) == []

    def test_an_unreachable_database_is_told_without_the_password(self, tmp_path: Path) -> None:
        url = "postgresql://reader:hunter2@127.0.0.1:1/shop"
        result = call("init", "--database", url, "--output", str(tmp_path / "x"))
        assert result.exit_code == 1
        assert "nothing listens there" in plain(result.stderr)
        assert "hunter2" not in result.output

    def test_check_names_a_mistake(self, tmp_path: Path) -> None:
        result = call("check", str(tmp_path))
        assert result.exit_code == 1
        assert "source.yml does not exist" in plain(result.stderr)

    @pytest.mark.parametrize("command", ["init", "check"])
    def test_help_has_an_example(self, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TIDEMARK_SOURCE_URL", "postgresql://reader:hunter2@db/shop")
        said = plain(call(command, "--help").output)
        assert f"Example: tidemark model {command}" in said
        assert "hunter2" not in said


class TestTimeZones:
    """What a drafted model says of clocks, and how it knows."""

    TABLE = """CREATE TABLE thing (id int PRIMARY KEY, other int REFERENCES thing,
        created_at timestamp(3) NOT NULL DEFAULT {default}, updated_at timestamp NOT NULL, due date, at timestamptz);
        CREATE TABLE part (id int PRIMARY KEY, thing_id int REFERENCES thing, updated_at timestamp DEFAULT {default})"""

    def draft(self, database: Credentials, folder: Path, default: str) -> tuple[Draft, str]:
        execute(database, self.TABLE.format(default=default))
        made = drafted(database, folder, name="clocks")
        return made, folder.joinpath("source.yml").read_text()

    @pytest.mark.parametrize(
        ("setting", "default", "of_all", "of_created", "said"),
        [
            ("America/New_York", "now()", "America/New_York", "America/New_York",
             "part.updated_at, thing.created_at, thing.updated_at, timestamps without time zone, are taken to hold "
             "America/New_York: ALTER DATABASE has set timezone = 'America/New_York'"),
            ("europe/berlin", "LOCALTIMESTAMP", "Europe/Berlin", "Europe/Berlin", "are taken to hold Europe/Berlin"),
            ("Etc/UTC", "CURRENT_TIMESTAMP(3)", "UTC", "UTC", "are taken to hold UTC"),
            ("Asia/Tokyo", "(now() AT TIME ZONE 'utc')", "Asia/Tokyo", "UTC",
             "part.updated_at, thing.created_at hold UTC: the default says so"),
            ("Asia/Tokyo", "date_trunc('second', timezone('europe/paris', clock_timestamp()))", "Asia/Tokyo", "Europe/Paris",
             "thing.updated_at, timestamps without time zone, are taken to hold Asia/Tokyo"),
        ],
    )  # fmt: skip
    def test_from_settings_and_defaults(
        self, new_database: Callable[..., Credentials], tmp_path: Path,
        setting: str, default: str, of_all: str, of_created: str, said: str,
    ) -> None:  # fmt: skip
        database = new_database("clocks")
        execute(database, f"ALTER DATABASE {database.dbname} SET timezone = '{setting}'")
        made, text = self.draft(database, tmp_path / "clocks", default)
        table = made.model.tables["thing"]
        assert table.column("updated_at").time_zone == of_all
        assert table.column("created_at").time_zone == of_created
        assert table.column("at").time_zone is None
        assert f"\ntime_zone: {of_all}\n" in text
        assert said in text
        assert any(said in note for note in made.source.notes)
        assert "`updated_at` AS `_updated_at`" in made.model.facts["fact_part"].sql

    def test_the_servers_own_and_that_a_role_has_another(
        self, new_database: Callable[..., Credentials], tmp_path: Path, postgres: EmbeddedPostgres
    ) -> None:
        database = new_database("clocks")
        server = postgres_zone(database)
        role = postgres.create_reader(database.dbname, "far_reader").username
        execute(database, f"ALTER ROLE {role} IN DATABASE {database.dbname} SET timezone = 'Asia/Tokyo'")
        try:
            _, text = self.draft(database, tmp_path / "clocks", "now()")
        finally:
            execute(database, f"ALTER ROLE {role} IN DATABASE {database.dbname} RESET timezone")
        assert f"the server has timezone = '{server}', but role {role} has another" in text

    def test_a_zone_without_a_name_gives_no_times_of_change(
        self, new_database: Callable[..., Credentials], tmp_path: Path
    ) -> None:
        database = new_database("clocks")
        execute(database, f"ALTER DATABASE {database.dbname} SET timezone = '<+0545>-5:45'")
        made, text = self.draft(database, tmp_path / "clocks", "now()")
        assert "\ntime_zone:" not in text
        assert "_updated_at" not in made.model.facts["fact_part"].sql
        assert any("versions begin when a tick sees them" in note for note in made.source.notes)

    def test_without_wall_clocks_nothing_is_said(
        self, new_database: Callable[..., Credentials], tmp_path: Path
    ) -> None:
        database = new_database("clocks")
        execute(database, "CREATE TABLE t (id int PRIMARY KEY, at timestamptz DEFAULT now(), day date)")
        assert drafted(database, tmp_path / "clocks", name="clocks").source.notes == [
            "no foreign key joins two tables whose keys a star can hold: it has no fact, write it by hand"
        ]
        assert "time_zone" not in (tmp_path / "clocks" / "source.yml").read_text()


def postgres_zone(database: Credentials) -> str:
    with database.connect() as connection:
        row = connection.execute("SHOW timezone").fetchone()
    assert row is not None
    return str(row[0])


def test_references_that_equal_values_would_miss_are_left_out(
    new_database: Callable[..., Credentials], tmp_path: Path
) -> None:
    database = new_database("equal")
    execute(
        database,
        "CREATE EXTENSION IF NOT EXISTS citext; CREATE DOMAIN mail AS citext;"
        "CREATE TABLE account (email mail PRIMARY KEY); CREATE TABLE item (code char(4) PRIMARY KEY);"
        "CREATE TABLE place (code varchar(9) PRIMARY KEY);"
        "CREATE TABLE purchase (id int PRIMARY KEY, email citext REFERENCES account, code varchar(9) REFERENCES item,"
        " same char(9) REFERENCES item, place varchar(4) REFERENCES place, either varchar(4) REFERENCES item REFERENCES place)",
    )
    made = drafted(database, tmp_path / "equal", name="equal")
    fact = made.model.facts["fact_purchase"]
    refers = {column.name: column.references for column in fact.columns}
    assert refers == {
        "id": None, "email": None, "code": None, "same": "dim_item", "place": "dim_place", "either": "dim_place",
    }  # fmt: skip
    (note,) = made.source.notes
    assert "email does not refer to dim_account, for equal values may be written differently" in note
    assert "citext: the type says itself what is equal" in note
    assert "code does not refer to dim_item" in note
    assert "keeps blanks at the end, which do not count in character(4)" in note
    assert f"# {note}\n" in (tmp_path / "equal" / "star.yml").read_text()
