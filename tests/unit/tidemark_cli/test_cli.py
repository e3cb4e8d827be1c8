"""The command line without a stack: usage, errors, passwords, and what its tables say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from pydantic import SecretStr
from rich.console import Console
from tidemark.base.database_url import Credentials
from tidemark.base.errors import TidemarkError
from tidemark.lake.batches import BEFORE_FIRST, TableChange
from tidemark.landing.manifest import Manifest, TableEntry
from tidemark.model.loader import load_model
from tidemark.operations import tick as ticks
from tidemark.operations.executions import Execution, ExecutionStatus, Notification, StateRun
from tidemark.operations.history import Version, find_fact
from tidemark.operations.pipeline import Pipeline
from tidemark.operations.reconcile import Reconciliation, TableCounts
from tidemark.operations.status import Status
from tidemark.operations.upkeep import Maintenance
from tidemark.source.cut import Cut, Identity
from tidemark.warehouse.kinds import open_warehouse
from tidemark.warehouse.postgres import ddl
from typer.testing import CliRunner

from local_stack import databases as own_databases
from local_stack import lifecycle
from local_stack.aws.client import LocalAws, LocalStackError
from local_stack.databases import DatabaseRef
from local_stack.lifecycle import UpOptions
from local_stack.postgres.server import EmbeddedPostgres
from local_stack.simulator.day import SimulationError
from local_stack.stack import Record, Stack, deployment, failed_log, last_progress
from local_stack.writer import open_writer
from tests.shop import SHOP_MODEL
from tidemark_cli import errors as complaints
from tidemark_cli import main as cli
from tidemark_cli import show, stack_commands
from tidemark_cli.demo import story as demo
from tidemark_cli.demo.figures import Checks, top

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

MODEL = load_model(str(lifecycle.DEFAULT_MODEL))
SHOP = load_model(str(SHOP_MODEL))
DEPLOYMENT = deployment("totesys", "/model", "parquet")
COMMANDS = ("up", "tick", "simulate", "history", "reconcile", "status", "down", "demo")
SECRET = "hunter2-äöü"
T0 = datetime(2024, 8, 23, 7, 55, 11, 800_000, tzinfo=UTC)
NOW = datetime(2024, 8, 23, 12, 0, tzinfo=UTC)
OWN = Credentials(host="db.example.org", port=5432, dbname="shop", username="reader", password=SecretStr(SECRET))


def call(*arguments: str) -> Any:
    """Run a command as a user would, with a wide screen and no colours."""
    return CliRunner().invoke(cli.app, list(arguments), env={"COLUMNS": "200", "NO_COLOR": "1"})


def plain(text: str) -> str:
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())


def drawn(*tables: Table | str) -> str:
    """What a pipe would get."""
    out = Console(width=show.WIDTH, no_color=True, highlight=False)
    with out.capture() as captured:
        for table in tables:
            out.print(table)
    text = captured.get()
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= show.WIDTH
    return text


def ran(status: ExecutionStatus = "SUCCEEDED", final: str = "Published", **more: Any) -> Execution:
    states = (
        StateRun("Begin", "SUCCEEDED", 0.0, is_task=False),
        StateRun("ExtractSource", "SUCCEEDED", 7.04),
        StateRun("TransformToLake", "SUCCEEDED" if status == "SUCCEEDED" else "FAILED", 12.5),
    )
    return Execution(
        arn="arn", name="run-1", status=status, started=T0, ended=T0 + timedelta(seconds=20.6), final_state=final,
        states=states, **more,
    )  # fmt: skip


class TestUsage:
    def test_help_lists_every_command(self) -> None:
        result = call("--help")
        assert result.exit_code == 0
        assert all(re.search(rf"\b{name}\b", result.output) for name in COMMANDS)

    @pytest.mark.parametrize("command", COMMANDS)
    def test_help_of_a_command_has_an_example_and_the_state_option(self, command: str) -> None:
        result = call(command, "--help")
        assert result.exit_code == 0
        assert f"Example: tidemark {command}" in plain(result.output)
        assert "--state" in result.output

    @pytest.mark.parametrize(
        ("doing", "heavy"),
        [
            (
                "sys.argv = ['tidemark', '--help']\nfrom tidemark_cli.main import main\n"
                "try: main()\nexcept SystemExit: pass",
                {"boto3", "moto", "pyarrow", "pyiceberg", "pandas", "pydantic", "psycopg", "pyspark", "requests"},
            ),
            (
                "import local_stack.stack, tidemark.operations.tick, tidemark_cli.pipeline_commands, tidemark_cli.show",
                {"moto", "numpy", "pandas", "pyarrow", "pyiceberg", "pyspark"},
            ),
        ],
        ids=["help", "a tick with nothing to do"],
    )
    def test_nothing_is_loaded_that_is_not_needed(self, doing: str, heavy: set[str]) -> None:
        text = f"import sys\n{doing}\nprint('loaded:', sorted({heavy!r} & sys.modules.keys()))\n"
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)  # noqa: S603 - the text above
        assert done.stdout.endswith("loaded: []\n")

    def test_help_is_honest_about_the_lake(self) -> None:
        assert "The lake lasts until" in plain(call("up", "--help").output)
        assert "is gone" in plain(call("down", "--help").output)

    def test_help_never_shows_the_urls_of_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TIDEMARK_SOURCE_URL", f"postgresql://reader:{SECRET}@db/shop")
        text = call("up", "--help").output
        assert "TIDEMARK_SOURCE_URL" in text
        assert SECRET not in text

    @pytest.mark.parametrize(
        "arguments",
        [
            ("up", "--landing-format", "xml"),
            ("simulate", "--days", "0"),
            ("simulate", "--days", "1", "--events", "1"),
            ("history", "fact_payment"),
            ("nonsense",),
            ("tick", "--nonsense"),
        ],
    )
    def test_wrong_usage_is_exit_code_2(self, arguments: tuple[str, ...]) -> None:
        assert call(*arguments).exit_code == 2


class TestErrors:
    @pytest.mark.parametrize(
        "arguments", [("tick",), ("simulate",), ("history", "payment", "1"), ("reconcile",), ("status",)]
    )
    def test_without_a_stack(self, arguments: tuple[str, ...], tmp_path: Path) -> None:
        result = call(*arguments, "--state", str(tmp_path))
        assert result.exit_code == 1
        assert plain(result.stderr).startswith("Error: no local stack is running in")
        assert "tidemark up" in result.stderr
        assert "Traceback" not in result.output

    def test_down_of_nothing_is_fine(self, tmp_path: Path) -> None:
        for folder in (tmp_path, tmp_path / "missing"):
            result = call("down", "--state", str(folder))
            assert result.exit_code == 0
            assert "nothing is running" in plain(result.output)
        assert not (tmp_path / "missing").exists()

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            (f"postgresql://reader:{SECRET}@127.0.0.1:1/shop", "nothing listens there"),
            (f"postgresql://reader:{SECRET}@127.0.0.1:99999/shop", "port"),
            (f"mysql://reader:{SECRET}@db/shop", "not a PostgreSQL URL"),
            (f"postgresql://reader:{SECRET}@db", "names no database"),
        ],
    )
    def test_a_wrong_url_is_told_without_its_password(
        self, url: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("PGDATABASE", raising=False)
        by_environment = {"TIDEMARK_WAREHOUSE_URL": url, "COLUMNS": "200"}
        for result in (
            call("up", "--source", url, "--state", str(tmp_path)),
            CliRunner().invoke(cli.app, ["up", "--state", str(tmp_path)], env=by_environment),
        ):
            assert result.exit_code == 1
            assert said in plain(result.stderr)
            assert SECRET not in result.output
        assert list(tmp_path.iterdir()) == []

    def test_a_model_with_a_typo_starts_nothing(self, tmp_path: Path) -> None:
        result = call("up", "--model", str(tmp_path / "nowhere"), "--state", str(tmp_path / "state"))
        assert result.exit_code == 1
        assert "nowhere" in plain(result.stderr)
        assert "to do:" in plain(result.stderr)
        assert [path.name for path in (tmp_path / "state").iterdir()] == ["tidemark.lock"]

    def test_a_defect_keeps_its_trace(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def broken(*_: Any) -> Any:
            raise ZeroDivisionError

        monkeypatch.setattr(Stack, "attach", broken)
        assert isinstance(call("tick", "--state", str(tmp_path)).exception, ZeroDivisionError)

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (TidemarkError("a", expected="b", do="c"), "a; expected: b; to do: c."),
            (psycopg.OperationalError("connection refused\nmore"), "a database cannot be reached: connection refused;"),
            (psycopg.errors.InsufficientPrivilege("permission denied"), "use a role that may"),
            (psycopg.errors.UndefinedTable("no table"), "a database refuses what was asked: no table"),
            (EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), "the local AWS does not answer"),
            (PermissionError(13, "Permission denied", "/x"), "the file system refuses /x: Permission denied"),
        ],
    )
    def test_sentences(self, error: Exception, said: str) -> None:
        sentence = complaints.sentence(error)
        assert sentence is not None
        assert said in sentence
        assert "\n" not in sentence

    def test_a_refusal_names_the_aws_that_was_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        refusal = ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        local = "the local AWS refuses GetObject: AccessDenied; start again: tidemark down, then tidemark up"
        assert complaints.sentence(refusal) == local
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        assert complaints.sentence(refusal) == (
            "AWS refuses GetObject: AccessDenied; check what your credentials may do"
        )

    def test_no_sentence_for_a_defect(self) -> None:
        assert complaints.sentence(KeyError("x")) is None

    def test_unknown_fact(self) -> None:
        assert find_fact(MODEL, "payment").name == find_fact(MODEL, "fact_payment").name == "fact_payment"
        with pytest.raises(TidemarkError, match="no fact 'sales'; expected: one of fact_sales_order"):
            find_fact(MODEL, "sales")


class FakeAws:
    """A daemon that only remembers what it was told."""

    started = 0

    def __init__(self, state_dir: Path) -> None:
        self.state_dir, self.endpoint, self.pid = state_dir, "http://127.0.0.1:1", 1
        self.store, self.about_store = self.endpoint, "nowhere"
        self.secrets: dict[str, dict[str, str]] = {}
        self.running = True
        self.provisioned = 0

    def put_secret(self, name: str, value: dict[str, str]) -> None:
        self.secrets[name] = value

    def provision(self, *_: Any) -> None:
        self.provisioned += 1

    def stop(self) -> None:
        self.running = False

    def client(self, service: str) -> Any:
        assert service == "secretsmanager"
        return SimpleNamespace(
            get_secret_value=lambda **given: {"SecretString": json.dumps(self.secrets[given["SecretId"]])}
        )


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeAws:
    """No process is started; starting and attaching give the same fake."""
    fake = FakeAws(tmp_path)
    fake.running = False

    def start(_: Path) -> FakeAws:
        fake.running = True
        return fake

    def attach(_: Path) -> FakeAws:
        if not fake.running:
            raise LocalStackError("no local stack is running; start it with: tidemark up")
        return fake

    monkeypatch.setattr(own_databases, "check_direct", lambda *_: None)
    monkeypatch.setattr(lifecycle, "provision", lambda aws, *_: aws.provision())
    monkeypatch.setattr(LocalAws, "start", start)
    monkeypatch.setattr(LocalAws, "attach", attach)
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID",
                 "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED", "NO_PROXY", "no_proxy"):  # fmt: skip
        monkeypatch.setenv(name, "the user's own")  # and given back afterwards
    return fake


def on_disk(folder: Path) -> str:
    return "\n".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


class TestUp:
    def test_passwords_go_to_the_secrets_manager_and_nowhere_else(self, aws: FakeAws, tmp_path: Path) -> None:
        said: list[str] = []
        stack = lifecycle.up(tmp_path, UpOptions(source=OWN, warehouse=OWN), said.append)
        assert {secret["password"] for secret in aws.secrets.values()} == {SECRET}
        assert stack.source == OWN
        assert SECRET not in on_disk(tmp_path) + "\n".join(said) + repr(UpOptions(source=OWN)) + repr(stack.record)
        assert "postgresql://reader@db.example.org:5432/shop" in on_disk(tmp_path)
        assert set(stack.source.secret()) == {*aws.secrets["tidemark-totesys-source"]}

    def test_again_says_so_renews_the_secret_and_keeps_going(self, aws: FakeAws, tmp_path: Path) -> None:
        lifecycle.up(tmp_path, UpOptions(source=OWN, warehouse=OWN), lambda _: None)
        said: list[str] = []
        new = OWN.changed(password="renewed")
        lifecycle.up(tmp_path, UpOptions(source=new), said.append)
        assert said == [f"already running in {tmp_path}"]
        assert aws.secrets["tidemark-totesys-source"]["password"] == "renewed"
        assert aws.secrets["tidemark-totesys-warehouse"]["password"] == SECRET
        assert aws.provisioned == 2

    @pytest.mark.usefixtures("aws")
    def test_again_with_another_database_is_refused(self, tmp_path: Path) -> None:
        lifecycle.up(tmp_path, UpOptions(source=OWN, warehouse=OWN), lambda _: None)
        other = Credentials(host="other", port=1, dbname="x", username="y", password=SecretStr(SECRET))
        with pytest.raises(LocalStackError, match=r"--source postgresql://reader@.* is running .*tidemark down"):
            lifecycle.up(tmp_path, UpOptions(source=other), lambda _: None)
        with pytest.raises(LocalStackError, match="--landing-format parquet"):
            lifecycle.up(tmp_path, UpOptions(landing_format="csv"), lambda _: None)

    def test_a_failing_step_stops_what_was_started(
        self, aws: FakeAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(*_: Any) -> None:
            raise LocalStackError("no")

        monkeypatch.setattr(aws, "provision", fails)
        with pytest.raises(LocalStackError, match="no"):
            lifecycle.up(tmp_path, UpOptions(source=OWN, warehouse=OWN), lambda _: None)
        assert not aws.running
        assert Record.read(tmp_path) is None
        assert SECRET not in on_disk(tmp_path)

    def test_leftovers_of_a_crash_are_removed_first(self, aws: FakeAws, tmp_path: Path) -> None:
        lifecycle.up(tmp_path, UpOptions(source=OWN, warehouse=OWN), lambda _: None)
        aws.running = False
        said: list[str] = []
        lifecycle.up(tmp_path, UpOptions(source=OWN, warehouse=OWN), said.append)
        assert said[0] == "removed what an earlier stack had left behind"

    def test_half_a_stack_is_started_anew(self, aws: FakeAws, tmp_path: Path) -> None:
        aws.running = True
        with pytest.raises(LocalStackError, match="never completely set up"):
            Stack.attach(tmp_path)
        lifecycle.up(tmp_path, UpOptions(source=OWN, warehouse=OWN), lambda _: None)
        assert Stack.attach(tmp_path).record.model_name == "totesys"

    @pytest.mark.usefixtures("aws")
    def test_the_embedded_source_is_totesys_only(self, tmp_path: Path) -> None:
        folder = tmp_path / "model"
        folder.mkdir()
        (folder / "source.yml").write_text(
            "name: shop\ndescription: d\ntables:\n  stock:\n    description: d\n    key: [id]\n    columns:\n"
            "      id: {type: integer, nullable: false, description: d}\n"
        )
        (folder / "star.yml").write_text("dimensions: {}\nfacts: {}\n")
        with pytest.raises(LocalStackError, match=r"does not have \(stock\).*TIDEMARK_SOURCE_URL"):
            lifecycle.up(tmp_path, UpOptions(model_dir=folder), lambda _: None)

    def test_down_says_what_becomes_of_an_own_warehouse(self, aws: FakeAws, tmp_path: Path) -> None:
        lifecycle.up(tmp_path, UpOptions(source=OWN, warehouse=OWN), lambda _: None)
        text = plain(call("down", "--state", str(tmp_path)).output)
        assert "the lake is gone, your databases are as they were" in text
        assert "will refuse it there until you drop schema totesys and its rows in etl.load_ledger" in text
        assert not aws.running

    @pytest.mark.usefixtures("aws")
    def test_a_writer_must_be_of_the_same_database(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        stack = lifecycle.up(tmp_path, UpOptions(source=OWN, warehouse=OWN), lambda _: None)
        other = Credentials(host="other", port=5432, dbname="shop", username="w", password=SecretStr(SECRET))
        monkeypatch.setattr("tidemark.base.database_url.resolve", lambda _: other)
        with pytest.raises(SimulationError, match="is not the stack's source"):
            open_writer(stack, "postgresql://w@other/shop")


def test_the_embedded_roles_have_no_more_rights_than_they_need(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EmbeddedPostgres, "start", lambda *_, **__: postgres)
    monkeypatch.setattr(own_databases, "SOURCE_DATABASE", "cli_source")
    monkeypatch.setattr(own_databases, "WAREHOUSE_DATABASE", "cli_warehouse")
    try:
        places, source, warehouse = own_databases.open_all(Path("unused"), None, None, lambda _: None)
        assert places.source == DatabaseRef(embedded=True, address=str(source))
        with source.connect() as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM public.payment")
        with source.connect() as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE public.x ()")
        with warehouse.connect() as connection:
            assert loaded_through(warehouse, "totesys") == 0
            connection.execute("CREATE SCHEMA etl")
            connection.execute("CREATE TABLE etl.load_ledger AS SELECT 'totesys' AS model, 7 AS batch")
            assert loaded_through(warehouse, "totesys") == 7
            assert loaded_through(warehouse, "shop") == 0
    finally:
        postgres.drop_database("cli_source")
        postgres.drop_database("cli_warehouse")


def loaded_through(warehouse: Credentials, model: str) -> int:
    with open_warehouse(None, replace(MODEL, name=model), warehouse).reader() as reader:
        return reader.loaded_through()


def version(number: int, **more: Any) -> Version:
    given: dict[str, Any] = {
        "number": number, "valid_from": T0, "valid_to": None, "is_deleted": False, "recorded_batch": number,
        "closed_batch": None, "values": {"paid": number > 1, "note": None, "text": "[bold]"},
    }  # fmt: skip
    return Version(**(given | more))


def line(**more: Any) -> TableCounts:
    given: dict[str, Any] = {"source": "payment", "source_now": 5, "at_cut": 5, "mirror": 5, "star": "fact_payment",
             "star_lake": 5, "warehouse": 5}  # fmt: skip
    return TableCounts(**(given | more))


def reconciled(*lines: TableCounts, ledger: int = 3) -> Reconciliation:
    return Reconciliation(batch=3, cut_time=T0, ledger_batch=ledger, lines=lines)


class TestTables:
    def test_executions_show_only_states_that_work(self) -> None:
        text = drawn(show.executions([("first", ran()), ("idle", ran(final="NothingToDo"))]))
        assert re.search(r"first +Published +7\.0 +12\.5 +20\.6", text)
        assert "Begin" not in text

    def test_landed_rows_and_what_became_of_them(self) -> None:
        cut = Cut(xmin=1, xmax=1, time=T0.isoformat(), lsn=None)
        entry = {"why": "", "fingerprint": ""}
        tables = {
            "country": TableEntry(mode="full", rows=8, count=8, **entry),  # type: ignore[arg-type]
            "orders": TableEntry(mode="delta", rows=31, count=13_960, **entry),  # type: ignore[arg-type]
            "customer": TableEntry(mode="none", rows=0, count=437, **entry),  # type: ignore[arg-type]
        }
        identity = Identity(system_identifier="", timeline="", started="", database="")
        manifest = Manifest(
            batch=2, execution="run-1", lake_id="", model="shop", model_digest="", landing_format="parquet",
            identity=identity, cut=cut, tables=tables, full_compare_at="",
        )  # fmt: skip
        first = replace(BEFORE_FIRST, batch=1, changes={"fact_order": TableChange(new=2, changed=20)})
        second = replace(BEFORE_FIRST, batch=2, changes={"fact_order": TableChange(changed=9)})
        second = replace(second, inferred_members={"dim_date": 365})
        text = drawn(show.landed(ticks.Tick(execution=ran(), manifest=manifest, batches=(first, second)), SHOP))
        assert re.search(r"orders +13,960 +31 +fact_order +2 new, 29 changed", text)
        assert re.search(r"country +8 +8 +\(part of dim_customer\)", text)
        assert not re.search(r"^customer", text, re.MULTILINE), "nothing became of it"
        assert re.search(r"dim_date +365 added", text)
        second = replace(second, changes={"dim_customer": TableChange(status="skipped")})
        text = drawn(show.landed(ticks.Tick(execution=ran(), manifest=manifest, batches=(second,)), SHOP))
        assert re.search(r"customer +437 +0 +dim_customer +skipped: it needs inputs", text)

    def test_what_the_maintenance_did(self) -> None:
        tables = {"shop_star.fact_order": "6 files made 1, 3 snapshots expired", "shop_star.dim_date": ""}
        text = drawn(show.maintained(Maintenance(execution=ran(final="Maintained"), tables=tables)))
        assert text.startswith("Maintenance of 2 tables")
        assert re.search(r"shop_star\.fact_order +6 files made 1, 3 snapshots expired", text)
        assert "dim_date" not in text
        idle = Maintenance(execution=ran(final="Maintained"), tables={"shop_star.dim_date": ""})
        assert drawn(show.maintained(idle)) == "looked at 1 tables; there was nothing to do\n"
        met = Maintenance(execution=ran(final="SkippedOverlap"))
        assert "a tick, or another maintenance, is still running" in drawn(show.maintained(met))

    def test_failure_says_where_why_and_who_was_told(self, tmp_path: Path) -> None:
        log = tmp_path / "logs" / "run-1" / "transform.log"
        log.parent.mkdir(parents=True)
        log.touch()
        failed = ran("FAILED", "Failed", cause="it broke [badly]")
        note = Notification(T0, "Tidemark: TransformToLake failed", "…")
        tick = ticks.Tick(execution=failed, log=failed_log(tmp_path, failed), notifications=(note,))
        text = drawn(*show.failure(tick))
        assert "TransformToLake failed in execution run-1 after 20.6 s" in text
        assert "it broke [badly]" in text
        assert "transform.log" in text
        assert "notification sent: Tidemark: TransformToLake failed" in text
        assert "no notification was sent" in drawn(*show.failure(ticks.Tick(execution=failed)))
        assert failed_log(tmp_path / "nowhere", failed) == ""

    def test_versions_side_by_side(self) -> None:
        first = version(1, valid_to=T0 + timedelta(hours=1), closed_batch=2)
        second = version(2, changed=("paid",), valid_to=T0 + timedelta(hours=2), closed_batch=4, is_deleted=True)
        text = drawn(*show.versions("fact_payment", "7", [first, second]))
        assert re.search(r"paid +false +true \*", text)
        assert re.search(r"written by batch +1 +2", text)
        assert re.search(r"closed by batch +2 +4", text)
        assert re.search(r"note +NULL +NULL", text)
        assert "[bold]" in text
        assert "09:55:11.800 (deleted)" in text
        assert len(show.versions("f", "7", [version(n) for n in range(1, 6)])) == 2

    def test_version_list_names_what_changed(self) -> None:
        first, second = version(1, closed_batch=2), version(2, changed=("paid",))
        text = drawn(show.version_list("fact_payment 7", [first, second]))
        assert "1, closed by 2" in text
        assert "paid: false -> true" in text
        assert "now (current)" in text

    def test_reconciliation(self) -> None:
        good = reconciled(line(), line(source="department", star="", part_of=("dim_staff",), star_lake=None))
        text = drawn(show.reconciliation(good), *show.verdict(good))
        assert good.agrees
        assert re.search(r"payment +5 +5 +5 +fact_payment +5 +5 +0 +equal", text)
        assert "(in dim_staff)" in text
        assert "all equal" in text

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"mirror": 4, "star_lake": 4, "warehouse": 4}, "lake differs from source"),
            ({"warehouse": 4}, "warehouse differs from lake"),
            ({"star_lake": 4, "warehouse": 4}, "star differs from mirror"),
            ({"star_lake": 4, "warehouse": 4, "held": 1}, ""),
            ({"star_lake": 4, "warehouse": 4, "filtered": True}, ""),
            ({"versions_differing": 2}, "2 versions differ"),
            ({"source_now": 9}, ""),
        ],
    )
    def test_what_differs(self, change: dict[str, Any], said: str) -> None:
        found = reconciled(line(**change))
        assert found.lines[0].difference == said
        assert found.agrees is (said == "")
        assert (f"payment -> fact_payment: {said}" in drawn(*show.verdict(found))) is (said != "")

    def test_a_source_that_moved_on_and_a_warehouse_behind(self) -> None:
        text = " ".join(drawn(*show.verdict(reconciled(line(source_now=9), ledger=2))).split())
        assert "the source has moved on since the cut: payment" in text
        assert "the warehouse is at batch 2, the lake at batch 3" in text
        assert "all equal" not in text

    def test_status(self) -> None:
        about = {"source": "postgresql://r@h:1/s (embedded)"}
        pipeline = Pipeline(deployment=DEPLOYMENT, machine="", states=None, logs="/logs", log_of=str, about=about)  # type: ignore[arg-type]
        found = Status(
            last=ran("FAILED", "Failed", cause="because"), published=3, fresh=NOW - timedelta(minutes=9),
            pending=(4, 5),
            quarantined={"fact_payment": 1}, notifications=(Notification(NOW, "a subject", ""),),
            maintained=NOW - timedelta(days=3),
        )  # fmt: skip
        text = " ".join(drawn(show.status(pipeline, found, NOW)).split())
        for said in (
            "batch 4, batch 5",
            "9 minutes ago",
            "1 fact_payment",
            "because",
            "a subject",
            "/s (embedded)",
            "batch 3",
            "3 days ago",
        ):
            assert said in text
        empty = Status(last=None, published=0, fresh=None, pending=(), quarantined={}, notifications=())
        assert "none yet" in drawn(show.status(pipeline, empty, NOW))
        assert "maintained" not in drawn(show.status(pipeline, empty, NOW))

    @pytest.mark.parametrize(
        ("seconds", "said"), [(3, "3 seconds"), (130, "2 minutes"), (7300, "2 hours"), (200_000, "2 days")]
    )
    def test_ages(self, seconds: float, said: str) -> None:
        assert show.age(seconds) == said

    @pytest.mark.parametrize(
        ("final", "said"), [("NothingToDo", "nothing had changed"), ("SkippedOverlap", "still running")]
    )
    def test_ends(self, final: str, said: str) -> None:
        assert said in show.ended(ticks.Tick(execution=ran(final=final)))

    def test_progress_is_silent_without_a_terminal(self) -> None:
        out = Console(width=80)
        with out.capture() as captured, show.progress(out, str) as update:
            update(ran())
        assert captured.get() == ""

    def test_progress_names_the_running_state_and_how_far_it_has_come(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(import_module("tidemark_cli.show.executions")._Said, "max_refresh", 0.0)
        out = Console(width=80, force_terminal=True)
        running = Execution(
            arn="", name="run-1", status="RUNNING", started=T0, ended=None, final_state="ExtractSource",
            states=(StateRun("ExtractSource", "RUNNING", 1.0),),
        )  # fmt: skip
        log = tmp_path / "logs/run-1/extract.log"
        log.parent.mkdir(parents=True)
        log.write_text(
            "2026-11-30 22:00:00,123 scans: table 3 of 500\n2026-11-30 22:00:02,123 scans: table 37 of 500\n"
        )
        with out.capture() as captured, show.progress(out, partial(last_progress, tmp_path)) as update:
            update(running)
        assert "ExtractSource" in captured.get()
        assert "scans: table 37 of 500" in captured.get()
        log.write_text("2026-11-30 22:00:00,123 scans: table 37 of 500\n2026-11-30 22:00:02,123 committed manifest 2\n")
        assert last_progress(tmp_path, running) == "", "what is no longer the last that it said"
        assert last_progress(tmp_path / "nowhere", running) == ""


def test_a_report_is_cut_down_to_its_reason() -> None:
    report = "LoadWarehouse failed in execution run-1 of x.\nno such role; to do: make it.\nLook at the log of y"
    assert show.reason(ran("FAILED", "Failed", cause=report)) == "no such role; to do: make it."
    assert show.reason(ran("FAILED", "Failed", cause="Look at z")) == "Look at z"
    assert show.reason(ran()) == ""


class TestDatabases:
    """With a real source of the test session."""

    @pytest.fixture
    def running(self, seeded: Credentials, new_database: Any) -> Any:
        owner = new_database("cli_totesys", template=seeded.dbname)
        pipeline = SimpleNamespace(model=MODEL, warehouse=open_warehouse(None, MODEL, owner))
        return SimpleNamespace(source=owner, source_owner=owner, model=MODEL, warehouse=owner, pipeline=pipeline)

    def test_simulate_by_events_and_days(self, running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Stack, "attach", lambda _: running)
        result = call("simulate", "--events", "3")
        assert result.exit_code == 0
        assert "2024-08-23 07:55:11" in result.output
        assert plain(result.output).endswith("3 events; next: tidemark tick")
        result = call("simulate", "--days", "1", "--seed", "2")
        assert result.exit_code == 0
        assert "2024-08-26 07:55:11" in result.output

    def test_simulate_needs_a_role_that_may_write(
        self, postgres: EmbeddedPostgres, running: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reader = postgres.create_reader(running.source.dbname, "cli_reader")
        running.source = running.source_owner = reader
        monkeypatch.setattr(Stack, "attach", lambda _: running)
        result = call("simulate")
        assert result.exit_code == 1
        assert "may not write to public.sales_order" in plain(result.stderr)
        assert "--writer URL" in result.stderr

    def test_simulate_needs_totesys(self, running: Any, new_database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        running.source = running.source_owner = new_database("cli_empty")
        monkeypatch.setattr(Stack, "attach", lambda _: running)
        result = call("simulate")
        assert result.exit_code == 1
        assert "only a totesys database can be simulated" in plain(result.stderr)

    def test_history(self, running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Stack, "attach", lambda _: running)
        running.pipeline = SimpleNamespace(model=SHOP, warehouse=open_warehouse(None, SHOP, running.source))
        assert "has no shop.fact_order yet; to do: load it first" in plain(call("history", "order", "1").stderr)
        with running.source.connect() as connection:
            for statement in ddl.statements(SHOP):
                connection.execute(statement.encode())
            # This row's dimensions are of no interest here.
            connection.execute("SET session_replication_role = replica")
            for number, note, to in ((1, "first", T0), (2, "second", None)):
                connection.execute(
                    "INSERT INTO shop.fact_order (order_id, created_date, created_time, customer_id, amount, due_date,"
                    " note, version, valid_from, valid_to, is_current, is_deleted, recorded_batch)"
                    " VALUES (7, '2024-08-01', '08:00', 1, 9.90, '2024-08-23', %s, %s, %s, %s, %s, false, %s)",
                    [note, number, T0 - timedelta(days=2 - number), to, to is None, number],
                )
        text = call("history", "order", "7").output
        assert re.search(r"note +first +second \*", text)
        assert "9.90" in text
        assert "never had a row with order_id 8" in plain(call("history", "order", "8").stderr)
        assert "'x' is not a key of fact_order; expected: order_id, of type integer" in plain(
            call("history", "order", "x").stderr
        )

    def test_up_says_what_the_load_would_refuse(
        self, postgres: EmbeddedPostgres, running: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        place = SimpleNamespace(embedded=False)
        running.record = SimpleNamespace(warehouse=place, model_name="totesys")
        running.landing = SimpleNamespace(published=lambda: 0)
        stack_commands._warn_of_foreign_lake(running)
        assert capsys.readouterr().err == "", "nothing was loaded there"
        with running.warehouse.connect() as connection:
            connection.execute("CREATE SCHEMA etl")
            connection.execute("CREATE TABLE etl.load_ledger AS SELECT 'totesys' AS model, 7 AS batch")
        stack_commands._warn_of_foreign_lake(running)
        said = (
            "Note: schema totesys of your warehouse was loaded from another lake (up to batch 7); the load will refuse"
        )
        assert said in plain(capsys.readouterr().err)
        stranger = postgres.create_reader(running.warehouse.dbname, "cli_stranger", schemas=())
        running.pipeline.warehouse = open_warehouse(None, MODEL, stranger)
        stack_commands._warn_of_foreign_lake(running)
        assert "permission denied for schema etl; to do: grant cli_stranger" in plain(capsys.readouterr().err)


class TestDemo:
    @pytest.fixture
    def stack(self, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
        """Nothing is started; the folders that were stopped."""
        stopped: list[Path] = []
        place = DatabaseRef(embedded=True, address="a")
        fake = SimpleNamespace(aws=SimpleNamespace(endpoint="e"), record=SimpleNamespace(source=place))
        monkeypatch.setattr(lifecycle, "up", lambda *_: fake)
        monkeypatch.setattr(lifecycle, "down", stopped.append)
        return stopped

    def test_a_failure_stops_everything_and_still_writes_the_figures(
        self, stack: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(_: Any) -> None:
            raise TidemarkError("the second tick failed, see above")

        monkeypatch.setattr(demo, "_tell", fails)
        result = call("demo", "--json", str(tmp_path / "figures.json"))
        assert result.exit_code == 1
        assert "the second tick failed, see above" in plain(result.stderr)
        figures = json.loads((tmp_path / "figures.json").read_text())
        assert (figures["ok"], figures["error"]) == (False, "the second tick failed, see above.")
        assert len(stack) == 1
        assert not stack[0].exists()

    def test_a_figure_that_differs_is_listed_and_fails(
        self, stack: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(demo, "_tell", lambda story: story.checks.equal("orders", 1, 2))
        result = call("demo", "--json", str(tmp_path / "figures.json"), "--state", str(tmp_path))
        assert result.exit_code == 1
        assert "differs: orders: 1 where 2 was expected" in plain(result.output)
        assert json.loads((tmp_path / "figures.json").read_text())["ok"] is False
        assert stack == [tmp_path]

    def test_interrupted(self, stack: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(_: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(demo, "_tell", fails)
        result = call("demo")
        assert result.exit_code != 0
        assert "interrupted; stopped and removed" in plain(result.output)
        assert len(stack) == 1

    @pytest.mark.usefixtures("stack")
    def test_not_over_a_running_stack(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lifecycle, "is_running", lambda _: True)
        result = call("demo", "--state", str(tmp_path))
        assert result.exit_code == 1
        assert "a stack is running in" in plain(result.stderr)


class TestDemoFigures:
    def test_only_differences_are_listed(self) -> None:
        checks = Checks()
        checks.equal("a", 1, 1)
        checks.equal("b", 1, 2)
        checks.between("c", T0, T0, NOW)
        checks.between("d", None, T0, NOW)
        assert [check.name.split(" ")[0] for check in checks.disagreeing] == ["b", "d"]
        assert str(checks.disagreeing[0]) == "b: 1 where 2 was expected"

    def test_revenue_is_never_a_mix_of_currencies(self) -> None:
        found: Any = {("A", "2024-01", "GBP"): 1, ("A", "2024-01", "EUR"): 100, ("B", "2024-02", "GBP"): 5}
        assert top(found) == (["2024-01", "2024-02"], [["B", 0, 5], ["A", 1, 0]])
        assert top(found, months=1) == (["2024-02"], [["B", 5]])


def test_simulate_and_tick_speak_with_the_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Stack, "attach", lambda _: SimpleNamespace(pipeline=SimpleNamespace(model=MODEL, progress_of=str))
    )
    done: Callable[..., Any] = lambda *_, **__: ticks.Tick(execution=ran("FAILED", "Failed", cause="because"))  # noqa: E731
    monkeypatch.setattr(ticks, "run_tick", done)
    result = call("tick", "--state", str(tmp_path))
    assert result.exit_code == 1
    assert "because" in result.stderr
    done = lambda *_, **__: ticks.Tick(execution=ran(final="NothingToDo"))  # noqa: E731
    monkeypatch.setattr(ticks, "run_tick", done)
    result = call("tick", "--state", str(tmp_path))
    assert result.exit_code == 0
    assert "nothing had changed in the source" in result.output
