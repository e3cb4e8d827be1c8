"""Another database through the whole stack, as its owner would: drafted, a view added by hand, ticked by the state machine.

Partitioned and composite keys, an enum, a domain, arrays, a text search column, a view by the strategy ``full``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from local_stack import cli, lifecycle
from local_stack.deep_comparison import compare_contents
from local_stack.lifecycle import Wanted
from local_stack.reconciliation import reconcile
from local_stack.ticks import IDLE, PUBLISHED, run_tick
from tests.integration.random_rows import RandomRows
from tests.integration.test_other_databases import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local_stack.connections import Credentials
    from local_stack.databases import EmbeddedPostgres
    from local_stack.stack import Stack


@pytest.fixture(scope="module")
def source(postgres: EmbeddedPostgres) -> Iterator[Credentials]:
    database = postgres.create_database("rentals_e2e")
    with database.connect() as connection:
        connection.execute(SCHEMAS.joinpath("rentals.sql").read_bytes())
    yield database
    postgres.drop_database("rentals_e2e")


@pytest.fixture(scope="module")
def stack(source: Credentials, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("second")
    url = f"{source}?sslmode=disable".replace("@", f":{source.password.get_secret_value()}@")
    said = CliRunner().invoke(
        cli.app, ["model", "init", "--database", url, "--output", str(folder / "rentals"), "--name", "rentals"]
    )
    assert said.exit_code == 0, said.output
    take_the_view_too(folder / "rentals" / "source.yml")
    reader = postgres.create_reader(source.dbname, "rentals_reader")
    yield lifecycle.up(folder / "state", Wanted(model_dir=folder / "rentals", source=reader), lambda _: None)
    lifecycle.down(folder / "state")


def take_the_view_too(file: Path) -> None:
    """Do what the end of a drafted source.yml says: name a key, take the comment signs away."""
    head, tail = file.read_text().split("\n# Left out.", 1)
    view = "\n".join(line[2:] for line in tail.splitlines() if line.startswith("#   "))
    assert "customer_list:" in view
    file.write_text(f"{head}\n{view}\n".replace("key: []", "key: [id]"))


def call(stack: Stack, *arguments: str) -> Any:
    return CliRunner().invoke(cli.app, [*arguments, "--state", str(stack.state_dir)], env={"COLUMNS": "200"})


def test_it_is_moved_changed_and_moved_again(stack: Stack, source: Credentials) -> None:
    work = RandomRows(source, seed=3)
    work.insert(each=20)
    first = run_tick(stack)
    assert first.execution.final_state == PUBLISHED, first.execution.cause
    assert not list(compare_contents(stack))
    with source.connect() as connection:
        connection.execute("UPDATE customer SET first_name = 'Renamed' WHERE customer_id = 2")
        changed = connection.execute(
            "UPDATE payment SET amount = amount + 1 WHERE payment_id = 3"
            " RETURNING to_char(payment_date, 'YYYY-MM-DD HH24:MI:SSTZ')"
        ).fetchone()
        connection.execute("DELETE FROM film_actor WHERE ctid IN (SELECT ctid FROM film_actor LIMIT 1)")
    assert changed is not None
    second = run_tick(stack)
    assert second.execution.final_state == PUBLISHED, second.execution.cause
    assert second.manifest is not None
    assert {name for name, entry in second.manifest.tables.items() if entry.changed} == {
        "customer",
        "customer_list",
        "payment",
        "film_actor",
    }
    changes = {name: change.counts for name, change in second.runs[-1].changes.items() if change.counts}
    assert changes == {
        "dim_customer": {"changed": 1},
        "fact_payment": {"changed": 1},
        "fact_film_actor": {"deleted": 1},
    }
    assert not list(compare_contents(stack))
    assert reconcile(stack).agrees
    shown_by_the_view = {
        row["id"]: row["zip code"] for row in stack.lake.mirror_contents("customer_list")[1].to_pylist()
    }
    assert shown_by_the_view[2] == "Renamed"
    shown = call(stack, "history", "payment", changed[0], "3")
    assert shown.exit_code == 0, shown.output
    assert "amount" in shown.output
    assert call(stack, "reconcile", "--deep").exit_code == 0
    assert run_tick(stack).execution.final_state == IDLE
