"""Another database through the whole stack, as its owner would: drafted, a view added by hand, ticked by the state machine.

Partitioned and composite keys, an enum, a domain, arrays, a text search column, a view by the strategy ``full``.

The owner's machine is that of somebody who works with the real AWS, and the folder has an odd name: nothing of what this
person has set up for AWS or PostgreSQL is used by the commands, the daemon and the jobs, nothing fails because of it,
and nothing is asked of the proxy on the way to the real AWS.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from tidemark.operations.compare_rows import compare_contents
from tidemark.operations.reconcile import reconcile
from tidemark.operations.tick import IDLE, PUBLISHED, run_tick

from local_stack.stack import Stack
from tests import hostile
from tests.integration.drafting.test_other_databases import SCHEMAS
from tests.integration.random_rows import RandomRows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidemark.base.database_url import Credentials

    from local_stack.postgres.server import EmbeddedPostgres

ROOT: Final = Path(__file__).resolve().parents[2]
ODD: Final = 'it\'s "my" $HOME 100% `work`'
MODEL, STATE = "rentals", "its state"
COMMAND: Final = "from tidemark_cli.main import main; main()"
# As the command does once it has read a URL.
UP: Final = f"""
import sys
from pathlib import Path
from local_stack import lifecycle
from tidemark.base.credentials import Credentials

source = Credentials.model_validate_json(sys.stdin.read())
lifecycle.up(Path({STATE!r}), lifecycle.UpOptions(model_dir=Path({MODEL!r}), source=source), print)
"""
# What these ask for holds for a database that is given as a URL, and is refused there by name.
OF_A_URL: Final = ("PGSERVICE", "PGOPTIONS", "PGSSLCERT")


@dataclass(frozen=True)
class Machine:
    """The owner's machine."""

    folder: Path
    environment: dict[str, str]

    def run(self, program: str, *arguments: str, given: str = "", without: tuple[str, ...] = ()) -> str:
        """Run a program in the odd folder; give what it says."""
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-c", program, *arguments],
            cwd=self.folder,
            env={name: value for name, value in self.environment.items() if name not in without},
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == 0, f"{arguments[:2]}: {done.stdout}{done.stderr}"
        return done.stdout

    def tidemark(self, *arguments: str, state: str = STATE) -> str:
        """Run the command as it is installed."""
        return self.run(COMMAND, *arguments, "--state", state)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Whatever a test does there, nothing may be asked of the proxy."""
    proxy, home, folder = hostile.Proxy(), tmp_path / "home", tmp_path / ODD
    home.mkdir()
    folder.mkdir()
    environment = os.environ | hostile.environment(home, proxy)
    environment |= {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "glue_jobs")]), "COLUMNS": "200"}
    yield Machine(folder, environment)
    assert proxy.asked == []
    proxy.close()


@pytest.fixture
def source(postgres: EmbeddedPostgres) -> Iterator[Credentials]:
    database = postgres.create_database("rentals_e2e")
    with database.connect() as connection:
        connection.execute(SCHEMAS.joinpath("rentals.sql").read_bytes())
    yield database
    postgres.drop_database("rentals_e2e")


@pytest.fixture
def drafted(machine: Machine, source: Credentials) -> Machine:
    """The machine with the drafted model, the view taken too."""
    url = f"{source}?sslmode=disable".replace("@", f":{source.password.get_secret_value()}@")
    arguments = ("model", "init", "--database", url, "--output", MODEL, "--name", "rentals")
    machine.run(COMMAND, *arguments, without=OF_A_URL)
    take_the_view_too(machine.folder / MODEL / "source.yml")
    return machine


@pytest.fixture
def stack(drafted: Machine, source: Credentials, postgres: EmbeddedPostgres) -> Iterator[Stack]:
    """A stack that only knows a reader of the source."""
    reader = postgres.create_reader(source.dbname, "rentals_reader")
    try:
        drafted.run(UP, given=json.dumps(reader.secret(), default=str))
        yield Stack.attach(drafted.folder / STATE)
    finally:
        drafted.tidemark("down")


def take_the_view_too(file: Path) -> None:
    """Do what the end of a drafted source.yml says: name a key, take the comment signs away."""
    head, tail = file.read_text().split("\n# Left out.", 1)
    view = "\n".join(line[2:] for line in tail.splitlines() if line.startswith("#   "))
    assert "customer_list:" in view
    file.write_text(f"{head}\n{view}\n".replace("key: []", "key: [id]"))


def test_it_is_moved_changed_and_moved_again(stack: Stack, machine: Machine, source: Credentials) -> None:
    work = RandomRows(source, seed=3)
    work.insert(each=20)
    assert "published batch 1" in machine.tidemark("tick")
    assert not list(compare_contents(stack.pipeline))
    with source.connect() as connection:
        connection.execute("UPDATE customer SET first_name = 'Renamed' WHERE customer_id = 2")
        changed = connection.execute(
            "UPDATE payment SET amount = amount + 1 WHERE payment_id = 3"
            " RETURNING to_char(payment_date, 'YYYY-MM-DD HH24:MI:SSTZ')"
        ).fetchone()
        connection.execute("DELETE FROM film_actor WHERE ctid IN (SELECT ctid FROM film_actor LIMIT 1)")
    assert changed is not None
    second = run_tick(stack.pipeline)
    assert second.execution.final_state == PUBLISHED, second.execution.cause
    assert second.manifest is not None
    assert {name for name, entry in second.manifest.tables.items() if entry.changed} == {
        "customer",
        "customer_list",
        "payment",
        "film_actor",
    }
    changes = {name: change.counts for name, change in second.batches[-1].changes.items() if change.counts}
    assert changes == {
        "dim_customer": {"changed": 1},
        "fact_payment": {"changed": 1},
        "fact_film_actor": {"deleted": 1},
    }
    assert not list(compare_contents(stack.pipeline))
    assert reconcile(stack.pipeline).agrees
    shown_by_the_view = {
        row["id"]: row["zip code"] for row in stack.lake.mirror_contents("customer_list")[1].to_pylist()
    }
    assert shown_by_the_view[2] == "Renamed"
    assert "looked at" in machine.tidemark("maintain")
    assert "amount" in machine.tidemark("history", "payment", changed[0], "3")
    assert "all equal" in machine.tidemark("reconcile", "--deep")
    assert "Published" in machine.tidemark("status")
    assert run_tick(stack.pipeline).execution.final_state == IDLE


def test_the_simulated_source_starts_there_too(machine: Machine) -> None:
    try:
        assert "ready; next: tidemark tick" in machine.tidemark("up", state="another")
    finally:
        machine.tidemark("down", state="another")
