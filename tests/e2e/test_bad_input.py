"""Bad input through the real state machine: one clear message, execution failed, people told, nothing lost, fixed.

One stack lives through all of it, in the order of the tests: each leaves the stack as it found it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]
import pytest
from tidemark.lake.batches import TableChange
from tidemark.operations.tick import IDLE, PUBLISHED, Tick, run_tick

from local_stack import lifecycle
from local_stack.lifecycle import UpOptions
from tests.integration.conftest import SHOP, shop_called

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidemark.base.database_url import Credentials

    from local_stack.postgres.server import EmbeddedPostgres
    from local_stack.stack import Stack

WRONG = "wr0ng-passw0rd-of-the-test"


@pytest.fixture(scope="module")
def owner(postgres: EmbeddedPostgres) -> Iterator[Credentials]:
    """The shop's database, as its owner."""
    database = postgres.create_database("bad_input")
    with database.connect() as connection:
        connection.execute((SHOP / "schema.sql").read_bytes())
    yield database
    postgres.drop_database("bad_input")


@pytest.fixture(scope="module")
def stack(owner: Credentials, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("bad")
    state_dir, reader = folder / "state", postgres.create_reader(owner.dbname, "bad_input_reader")
    wanted = UpOptions(model_dir=shop_called("shop", folder), source=reader)
    yield lifecycle.up(state_dir, wanted, lambda _: None)
    lifecycle.down(state_dir)


def on_source(owner: Credentials, statement: str) -> None:
    with owner.connect() as connection:
        connection.execute(statement.encode())


def failed(stack: Stack, step: str, *words: str) -> Tick:
    """Run a tick that must fail at ``step`` with one sentence that has all ``words``, and must have told people so."""
    before = stack.landing.latest()
    tick = run_tick(stack.pipeline)
    assert not tick.succeeded
    assert tick.execution.final_state == "Failed"
    assert [note.subject for note in tick.notifications] == [f"Tidemark: {step} failed"]
    message = tick.notifications[0].message
    for word in words:
        assert word in message
        assert word in str(tick.execution.cause)
    assert "Traceback" not in Path(tick.log).read_text()
    after = stack.landing.latest()
    if step == "ExtractSource":
        assert after == before, "a failed extract must commit nothing"
    return tick


def test_wrong_password_of_the_source(stack: Stack) -> None:
    good = stack.source
    stack.put_secrets(good.changed(password=WRONG), stack.warehouse)
    failed(stack, "ExtractSource", f"{good.host}:{good.port}/{good.dbname}", "user or password is wrong", "to do:")
    stack.put_secrets(good, stack.warehouse)


def test_unreachable_source(stack: Stack) -> None:
    good = stack.source
    stack.put_secrets(good.changed(port=1), stack.warehouse)
    failed(stack, "ExtractSource", f"{good.host}:1/", "nothing listens there", "check host and port")
    stack.put_secrets(good, stack.warehouse)


def test_missing_table_and_column_are_reported_together(stack: Stack, owner: Credentials) -> None:
    on_source(owner, "ALTER TABLE country RENAME TO lands; ALTER TABLE customer RENAME name TO called")
    failed(stack, "ExtractSource", "table public.country is missing", "column public.customer.name is missing")
    on_source(owner, "ALTER TABLE lands RENAME TO country; ALTER TABLE customer RENAME called TO name")


def test_no_privilege(stack: Stack, owner: Credentials) -> None:
    reader = stack.source.username
    on_source(owner, f'REVOKE SELECT ON customer FROM "{reader}"')
    failed(stack, "ExtractSource", "table public.customer may not be read", "GRANT")
    on_source(owner, f'GRANT SELECT ON customer TO "{reader}"')


def test_typo_in_the_model(stack: Stack) -> None:
    file = Path(stack.record.model_dir) / "star.yml"
    good = file.read_text()
    file.write_text(good.replace("references: dim_customer", "references: dim_custmoer"))
    failed(stack, "ExtractSource", "star.yml", "fact_order.customer_id", "dim_custmoer", "dim_customer")
    file.write_text(good)


def test_wrong_password_of_the_warehouse_loses_nothing(stack: Stack) -> None:
    good = stack.warehouse
    stack.put_secrets(stack.source, good.changed(password=WRONG))
    failed(stack, "LoadWarehouse", "warehouse", "user or password is wrong")
    assert stack.landing.published() == 0
    stack.put_secrets(stack.source, good)
    fixed = run_tick(stack.pipeline)
    assert fixed.execution.final_state == PUBLISHED, fixed.execution.cause
    assert fixed.manifest is None, "the extract was idle: the pending manifest alone went through"
    assert stack.landing.published() == 1
    with good.connect() as connection:
        assert connection.execute("SELECT count(*) FROM shop.fact_order_current").fetchone() == (3000,)


def test_an_emptied_table_stops_the_run_before_anything_lands(stack: Stack, owner: Credentials) -> None:
    on_source(owner, "CREATE TABLE kept AS TABLE orders; DELETE FROM orders")
    failed(stack, "ExtractSource", "orders fell from 3000 to 0 rows", "accept_deletes")
    on_source(owner, "INSERT INTO orders TABLE kept; DROP TABLE kept")
    fixed = run_tick(stack.pipeline)
    assert fixed.execution.final_state == PUBLISHED, fixed.execution.cause
    assert fixed.batches[-1].changes["fact_order"] == TableChange(), "the same rows again are no new versions"
    assert run_tick(stack.pipeline).execution.final_state == IDLE


def test_passwords_are_nowhere(stack: Stack) -> None:
    """Not in any file of the stack (logs, notifications, landing, records), not in any process' arguments."""
    secrets = [WRONG, *(found.password.get_secret_value() for found in (stack.source, stack.warehouse))]
    for file in stack.state_dir.rglob("*"):
        if file.is_file() and "postgres" not in file.relative_to(stack.state_dir).parts:
            content = file.read_bytes()
            assert not any(secret.encode() in content for secret in secrets), file
    s3 = stack.aws.client("s3")
    bucket = stack.deployment.landing_uri.removeprefix("s3://")
    for found in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
        content = s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read()
        assert not any(secret.encode() in content for secret in secrets), found["Key"]
    for process in psutil.process_iter(["cmdline"]):
        arguments = " ".join(process.info["cmdline"] or [])
        assert not any(secret in arguments for secret in secrets), arguments
