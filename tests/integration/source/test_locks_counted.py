"""Before a cut takes its locks it counts them: held against what its session really holds, and against a small server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tidemark.base.errors import SourceError
from tidemark.model.definition import Model
from tidemark.model.loader import load_model
from tidemark.source import server
from tidemark.source.snapshot import open_snapshot

from local_stack.postgres.server import Credentials as Database
from local_stack.postgres.server import EmbeddedPostgres
from tests import servers
from tests.integration.conftest import SHOP, credentials_of, shop_called

PARTITIONS = 300
# What a table of the model is, and the relations of the source that reading it locks.
SHAPES = {
    "a table": ("plain", 3),  # its key, and one index more
    "a partitioned table": ("parts", 2 * (1 + PARTITIONS)),
    "a view over partitions": ("seen", 1 + 2 * (1 + PARTITIONS)),
    "a view on views": ("seen_again", 2 + 2 * (1 + PARTITIONS) + 3),
    "a materialised view": ("kept", 2),
    "a table with a policy": ("guarded", 2 + 3),
}


def fill(database: Database) -> None:
    with database.connect() as connection:
        connection.execute((SHOP / "schema.sql").read_bytes())
        for statement in (
            "CREATE TABLE plain (country_id int PRIMARY KEY, label text NOT NULL UNIQUE)",
            "CREATE TABLE parts (country_id int PRIMARY KEY, label text NOT NULL) PARTITION BY RANGE (country_id)",
            *(
                f"CREATE TABLE parts_{i} PARTITION OF parts FOR VALUES FROM ({i}) TO ({i + 1})"
                for i in range(PARTITIONS)
            ),
            "CREATE VIEW seen AS SELECT * FROM parts",
            "CREATE VIEW seen_again AS SELECT s.country_id, (SELECT max(label) FROM plain) AS label FROM seen s",
            "CREATE MATERIALIZED VIEW kept AS SELECT * FROM seen_again WITH NO DATA",
            "CREATE UNIQUE INDEX ON kept (country_id)",
            "CREATE TABLE guarded (country_id int PRIMARY KEY, label text NOT NULL)",
            "ALTER TABLE guarded ENABLE ROW LEVEL SECURITY",
            "CREATE POLICY few ON guarded FOR SELECT USING (country_id IN (SELECT country_id FROM plain))",
        ):
            connection.execute(statement.encode())


def model_of(folder: Path, relation: str) -> Model:
    """The shop, with its countries from another relation of the source."""
    text = (folder / "source.yml").read_text()
    changed = text.replace("  country:\n", f"  country:\n    relation: {relation}\n    incremental: full\n")
    (folder / "source.yml").write_text(changed)
    return load_model(str(folder))


@pytest.fixture(scope="module")
def owner(postgres: EmbeddedPostgres) -> Iterator[Database]:
    database = postgres.create_database("counted_locks")
    fill(database)
    with database.connect() as connection:
        connection.execute("REFRESH MATERIALIZED VIEW kept")
    yield database
    postgres.drop_database(database.dbname)


@pytest.mark.servers
@pytest.mark.parametrize("what", SHAPES)
def test_as_many_locks_are_counted_as_the_cut_holds(
    postgres: EmbeddedPostgres, owner: Database, tmp_path: Path, what: str
) -> None:
    relation, expected = SHAPES[what]
    model = model_of(shop_called("shop", tmp_path), relation)
    others = len(model.tables) - 1
    reader = credentials_of(postgres.create_reader(owner.dbname, "counting_reader"))
    with owner.connect() as asking, open_snapshot(reader, model, "tidemark-extract") as cut:
        for table in model.tables.values():
            cut.scan(table, "false")
        pid = cut.connection.info.backend_pid
        held = asking.execute(
            "SELECT relation >= 16384, relation::regclass::text FROM pg_locks WHERE pid = %s AND locktype = 'relation'",
            (pid,),
        ).fetchall()
        ours = {name for of_people, name in held if of_people}
        needed, left = server.count_locks(
            cut.connection, [(table.schema, table.relation) for table in model.tables.values()]
        )
    assert expected + 2 * others - 1 <= len(ours) <= expected + 2 * others, ours
    assert needed == expected + 2 * others + server._CATALOGS
    assert len(held) <= needed < left


@pytest.mark.parametrize("major", servers.BOTH_ENDS)
def test_a_view_over_more_partitions_than_the_server_has_locks_for_is_refused(tmp_path: Path, major: int) -> None:
    """The server would say that its shared memory is full, perhaps to somebody else."""
    settings: dict[str, str | int] = {
        "max_locks_per_transaction": 10,
        "max_connections": 20,
        "max_prepared_transactions": 0,
        "max_wal_senders": 0,
        "max_worker_processes": 1,
        "autovacuum_max_workers": 1,
    }
    if major == servers.NEWEST:
        settings["autovacuum_worker_slots"] = 1  # each slot brings room of its own
    small = servers.start(tmp_path / "server", major, settings)
    try:
        owner = small.create_database("few_locks")
        fill(owner)
        reader = credentials_of(small.create_reader(owner.dbname, "counting_reader"))
        folder = shop_called("shop", tmp_path)
        with open_snapshot(reader, load_model(str(folder)), "tidemark-extract"):
            pass  # three tables find room
        model = model_of(folder, "seen_again")
        sentence = r"one cut locks 661 tables, partitions and indexes, and the server has room for (19|20)\d more"
        with pytest.raises(SourceError, match=sentence), open_snapshot(reader, model, "tidemark-extract"):
            raise AssertionError("the cut was taken")
        with owner.connect() as connection, pytest.raises(psycopg.errors.OutOfMemory):
            connection.execute("SELECT count(*) FROM seen_again")
    finally:
        small.destroy()
