"""The holes of a snapshot difference, each opened on real servers: docs/guarantees.md, and the notes in docs/adr/0002.

One embedded server of this file's own is crashed, set forward and copied as a hot standby.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from tidemark.base.errors import SourceError
from tidemark.base.giving_way import Watch
from tidemark.jobs import extract as extraction
from tidemark.landing.area import Landing
from tidemark.landing.plan import plan_table
from tidemark.source import snapshot

from local_stack.postgres.directory import PACKAGE, ServerDirectory, _installed
from local_stack.postgres.process import _free_port
from local_stack.postgres.server import Credentials as Database
from local_stack.postgres.server import EmbeddedPostgres
from tests import servers
from tests.integration.conftest import SHOP, Harness, credentials_of, new_landing

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# By Spark: its sessions are what is tested here.
pytestmark = pytest.mark.usefixtures("by_spark")

_standbys = count(1)
SETTINGS: dict[str, str | int] = {
    "fsync": "off",
    "wal_level": "replica",
    "max_standby_streaming_delay": 0,
    "hot_standby_feedback": "off",
}


@dataclass
class Site:
    """A shop on a server of its own."""

    state_dir: Path
    major: int
    server: EmbeddedPostgres
    shop: Harness

    def restart(self, between: Callable[[], None] = lambda: None, *, crash: bool = False) -> None:
        """End the server (or crash it), do something to its files, and start it; the port stays."""
        if crash:
            self.server._postmaster._pg_ctl("stop", "-m", "immediate")
        else:
            self.server.stop()
        between()
        self.server = EmbeddedPostgres.start(self.state_dir, settings=SETTINGS)

    def back_up(self, backup: Path) -> None:
        """Copy the ended server's files."""
        shutil.copytree(self.server._area.data, backup)

    def set_back(self, backup: Path) -> None:
        """Put a copy of the ended server's files in their place."""
        data = self.server._area.data
        shutil.rmtree(data)
        backup.rename(data)
        for path in (data, *data.rglob("*")):
            self.server._area.account.own(path)

    def program(self, name: str, *arguments: str, **variables: str) -> None:
        """Run one of PostgreSQL's programs as the server's account; one that its package lacks, from the newest's."""
        area = self.server._area
        programs = (
            area.programs()
            if (area.programs() / name).exists()
            else ServerDirectory(self.state_dir / "newest").programs()
        )
        if not (programs / name).exists():  # root runs servers from a copy that has no more than it needs
            shutil.copy(_installed() / PACKAGE / "pginstall" / "bin" / name, programs / name)
        subprocess.run(  # noqa: S603 - PostgreSQL's own program
            [programs / name, *arguments],
            check=True,
            cwd=area.path,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", **variables},
            stdout=subprocess.DEVNULL,
            **area.account.process_arguments(),
        )


@pytest.fixture(scope="module", params=servers.BOTH_ENDS, ids=lambda major: f"pg{major}")
def site(
    request: pytest.FixtureRequest, aws: None, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    major: int = request.param
    state_dir = tmp_path_factory.mktemp("guards")
    server = servers.start(state_dir, major, SETTINGS)
    owner = server.create_database("shop")
    with owner.connect() as connection:
        connection.execute((SHOP / "schema.sql").read_bytes())
    reader = credentials_of(server.create_reader("shop", "shop_reader"))
    folder = tmp_path_factory.mktemp("model") / "shop"
    shutil.copytree(SHOP, folder)

    def no_more(*_: Any, **__: Any) -> Database:
        raise NotImplementedError

    shop = Harness(folder, owner, reader, new_landing(f"landing-guards-{major}"), spark, no_more)
    site = Site(state_dir, major, server, shop)
    yield site
    site.server.destroy()


INSERT_OLD = (
    "INSERT INTO orders SELECT {0}, customer_id, 1, due, NULL, created_at, last_updated FROM orders WHERE order_id = 1"
)


def modes(pipeline: Harness, **options: Any) -> set[str]:
    return {entry.mode for entry in pipeline.must_extract(**options).tables.values()}


def test_after_a_crash_everything_is_compared(site: Site) -> None:
    shop = site.shop
    assert modes(shop) == {"full"}
    assert shop.extract() is None
    site.restart(crash=True)
    manifest = shop.must_extract()
    assert {entry.mode for entry in manifest.tables.values()} == {"full"}
    assert manifest.tables["orders"].why.startswith("another server than before: started changed")
    shop.execute("UPDATE orders SET note = 'after the crash' WHERE order_id = 1")
    assert [row[0] for row in shop.landed(shop.must_extract(), "orders")] == [1]


def test_transaction_ids_that_jump_beyond_all_windows_are_compared_in_full(site: Site) -> None:
    if site.major != servers.NEWEST:
        pytest.skip("this server's package has no pg_resetwal, which must be of its own version")
    shop = site.shop
    before = (shop.landing.latest() or shop.must_extract()).cut
    site.restart(lambda: site.program("pg_resetwal", "-f", "-e", "3", str(site.server._area.data)))
    manifest = shop.must_extract()
    assert manifest.cut.xmax - before.xmin > 2**31
    assert {entry.mode for entry in manifest.tables.values()} == {"full"}
    shop.execute("INSERT INTO orders SELECT 9001, 1, 1, due, NULL, created_at, last_updated FROM orders LIMIT 1")
    assert [row[0] for row in shop.landed(shop.must_extract(), "orders")] == [9001]
    assert shop.extract() is None


def test_an_attached_partition_with_old_rows_is_seen(site: Site) -> None:
    shop = site.shop
    shop.execute(
        "DROP TABLE IF EXISTS part, part_2",
        "CREATE TABLE part (country_id int, label text NOT NULL, PRIMARY KEY (country_id)) PARTITION BY RANGE (country_id)",
        "CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (100)",
        "CREATE TABLE part_2 (country_id int PRIMARY KEY, label text NOT NULL)",
        "INSERT INTO part SELECT * FROM country",
        "INSERT INTO part_2 VALUES (150, 'Old row')",
        "GRANT SELECT ON part TO shop_reader",
    )
    shop.edit("source.yml", "  country:\n", "  country:\n    relation: part\n")
    shop.must_extract()
    assert shop.extract() is None
    shop.execute("ALTER TABLE part ATTACH PARTITION part_2 FOR VALUES FROM (100) TO (200)")
    manifest = shop.must_extract()
    assert manifest.tables["country"].mode == "full"
    assert (150, "Old row") in shop.landed(manifest, "country")
    shop.edit("source.yml", "    relation: part\n", "")
    shop.must_extract(accept="country")


def test_a_renamed_enum_label_is_a_change_of_every_row_that_has_it(site: Site) -> None:
    shop = site.shop
    shop.execute(
        "CREATE TYPE mood AS ENUM ('calm', 'cross')",
        "ALTER TABLE customer ADD COLUMN mood mood DEFAULT 'calm'",
    )
    text = "      code: {type: text, nullable: true, description: 'A code that must be a number'}\n"
    shop.edit("source.yml", text, text + "      mood: {type: text, nullable: true, description: Mood}\n")
    shop.must_extract()
    shop.execute("ALTER TYPE mood RENAME VALUE 'calm' TO 'quiet'")
    manifest = shop.must_extract()
    assert manifest.tables["customer"].mode == "full"
    assert {row[-1] for row in shop.landed(manifest, "customer")} == {"quiet"}


def during_the_cut(monkeypatch: pytest.MonkeyPatch, work: Callable[[], None]) -> threading.Thread:
    """Let another session begin its work when the snapshot is open."""
    begun, other, plan = threading.Event(), threading.Thread(target=work, daemon=True), plan_table

    def slowly(*arguments: Any) -> Any:
        if not begun.is_set():
            begun.set()
            other.start()
            time.sleep(0.5)
        return plan(*arguments)

    monkeypatch.setattr(extraction, "plan_table", slowly)
    return other


def test_a_rewriting_alter_does_not_wait_for_the_cut_and_the_cut_is_taken_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After the snapshot it would leave a table that reads as empty in it; so the whole cut is given up."""
    shop = site.shop
    statement = "ALTER TABLE customer ALTER COLUMN code TYPE varchar(200)"
    other = during_the_cut(monkeypatch, lambda: shop.execute(statement))
    shop.execute("UPDATE orders SET note = 'before' WHERE order_id = 2")
    manifest = shop.must_extract()
    assert not other.is_alive()
    assert "waited for the cut's locks, so it was given up" in caplog.text
    assert {name: entry.count for name, entry in manifest.tables.items()} == {
        "country": 2,
        "customer": 20,
        "orders": int(shop.query("SELECT count(*) FROM orders")[0][0]),
    }
    assert manifest.tables["customer"].mode == "full"
    assert len(shop.landed(manifest, "customer")) == 20


def test_readers_do_not_wait_behind_an_alter_that_waits_for_the_cut(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deadlock that PostgreSQL cannot see: ALTER waits for the driver, the reader for ALTER, the driver for it."""
    shop = site.shop
    other = during_the_cut(monkeypatch, lambda: shop.execute("ALTER TABLE orders ALTER COLUMN note TYPE varchar(200)"))
    monkeypatch.setattr(Watch, "_look", lambda _: None)  # though nobody gives way
    monkeypatch.setattr(snapshot, "LOCK_TIMEOUT", "1s")
    shop.execute("UPDATE orders SET note = 'behind it' WHERE order_id = 2")
    with pytest.raises(SourceError, match="lock timeout"):
        shop.extract()
    other.join(30)
    assert not other.is_alive()
    manifest = shop.must_extract()
    assert manifest.tables["orders"].mode == "full"
    assert manifest.tables["orders"].count == len(shop.landed(manifest, "orders"))


def follower(site: Site, standby: Database, landing: str | Landing) -> Harness:
    """The shop, read from the standby."""
    shop = site.shop
    reader = shop.reader.model_copy(update={"port": standby.port})
    area = landing if isinstance(landing, Landing) else Landing(f"{landing}-{site.major}")
    return Harness(shop.folder, shop.source, reader, area, shop.spark, shop.new_database)


@pytest.fixture
def standby(site: Site) -> Iterator[Database]:
    """A hot standby of the site's server."""
    area, server = site.server._area, site.server.server
    with (area.path / "pg_hba.conf").open("a") as rules:
        rules.write("host replication all 127.0.0.1/32 scram-sha-256\n")
    site.shop.execute("SELECT pg_reload_conf()")
    data, port = area.path / f"standby-{next(_standbys)}", str(_free_port(None))
    address = f"host=127.0.0.1 port={server.port} user={server.user} password={server.password}"
    area.account.own(area.path)
    site.program("pg_basebackup", "-d", address, "-D", str(data), "-R", "-X", "stream", "-c", "fast")
    (data / "postgresql.conf").write_text((area.path / "postgresql.conf").read_text())
    # pg_basebackup of another version wrote options that this server's library may not know.
    (data / "postgresql.auto.conf").write_text(f"primary_conninfo = '{address} application_name=standby'\n")
    options = f"-c port={port} -c data_directory={data} -c config_file={data}/postgresql.conf"
    site.program("pg_ctl", "-w", "-s", "-D", str(data), "-l", str(data / "log"), "-o", options, "start")
    yield site.shop.source.changed(port=int(port))
    site.program("pg_ctl", "-w", "-s", "-D", str(data), "-m", "immediate", "stop")


def caught_up(site: Site, standby: Database) -> None:
    lsn = site.shop.query("SELECT pg_current_wal_lsn()::text")[0][0]
    for _ in range(200):
        with standby.connect() as connection:
            found = connection.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (lsn,)).fetchone()
        if found and found[0]:
            return
        time.sleep(0.05)
    raise AssertionError("the standby does not follow")


def test_a_hot_standby_is_a_source_and_what_replays_its_log_does_not_wait(
    site: Site, standby: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shop = follower(site, standby, "s3://lake/standby")
    assert shop.must_extract().cut.lsn is not None
    shop.execute("UPDATE orders SET note = 'seen on the standby' WHERE order_id = 3")
    caught_up(site, standby)
    assert [row[0] for row in shop.landed(shop.must_extract(), "orders")] == [3]

    plan, done = plan_table, threading.Event()

    def conflicting(*arguments: Any) -> Any:
        if not done.is_set():
            done.set()
            shop.execute("ALTER TABLE orders ADD COLUMN conflict integer")
            caught_up(site, standby)
        return plan(*arguments)

    monkeypatch.setattr(extraction, "plan_table", conflicting)
    manifest = shop.must_extract()
    assert "Trying again" in caplog.text
    assert "recovery" in caplog.text or "waited for the cut's locks" in caplog.text
    assert manifest.tables["orders"].mode == "full"
    assert manifest.tables["orders"].count == len(shop.landed(manifest, "orders"))


def test_a_standby_that_lags_writes_no_history_that_did_not_happen(site: Site, standby: Database) -> None:
    shop = site.shop
    shop.execute("UPDATE orders SET note = 'early' WHERE order_id = 9")
    caught_up(site, standby)
    with standby.connect() as connection:
        connection.execute("SELECT pg_wal_replay_pause()")
    shop.execute("UPDATE orders SET note = 'late' WHERE order_id = 9", INSERT_OLD.format(9009))
    last = shop.must_extract()
    lagging = follower(site, standby, shop.landing)
    with pytest.raises(
        SourceError, match=f"is behind what manifest {last.batch} showed at .* a standby that lags"
    ) as told:
        lagging.extract(full=True)
    assert str(last.cut.lsn) in str(told.value)
    assert shop.landing.latest() == last
    # What is replayed then may be in conflict with this very statement.
    with suppress(psycopg.errors.SerializationFailure), standby.connect() as connection:
        connection.execute("SELECT pg_wal_replay_resume()")
    caught_up(site, standby)
    manifest = lagging.must_extract()
    assert manifest.tables["orders"].count == last.tables["orders"].count
    assert {row[4] for row in shop.landed(manifest, "orders") if row[0] == 9} == {"late"}


def test_a_server_restored_from_a_backup_is_taken_only_if_a_person_says_so(site: Site) -> None:
    shop, backup = site.shop, site.server._area.data.with_name("backup")
    site.restart(lambda: site.back_up(backup))
    shop.execute("UPDATE orders SET note = 'lost by the restore' WHERE order_id = 10", INSERT_OLD.format(9010))
    last = shop.must_extract()

    site.restart(lambda: site.set_back(backup))
    for full in (False, True):
        with pytest.raises(SourceError, match=f"is behind what manifest {last.batch} showed"):
            shop.extract(full=full)
    manifest = shop.must_extract(restored=True)
    assert manifest.tables["orders"].mode == "full"
    assert manifest.tables["orders"].count == last.tables["orders"].count - 1
    assert shop.extract() is None


def test_a_restored_server_whose_log_has_passed_the_cut_again_is_known_by_its_transaction_ids(site: Site) -> None:
    shop, backup = site.shop, site.server._area.data.with_name("backup")
    site.restart(lambda: site.back_up(backup))
    for note in range(40):
        shop.execute(f"UPDATE orders SET note = 'lost {note}' WHERE order_id = 11")
    shop.execute(INSERT_OLD.format(9011))
    last = shop.must_extract()
    site.restart(lambda: site.set_back(backup))
    shop.execute("CREATE TABLE large AS SELECT i FROM generate_series(1, 200000) i", "DROP TABLE large")
    (passed,) = shop.query(f"SELECT pg_current_wal_lsn() > '{last.cut.lsn}'")[0]
    assert passed
    with pytest.raises(SourceError, match=f"is behind .*expected: transaction {last.cut.xmax} or beyond, found "):
        shop.extract()
    manifest = shop.must_extract(restored=True)
    assert manifest.tables["orders"].count == last.tables["orders"].count - 1


def test_a_cut_of_a_server_that_does_not_tell_how_far_its_log_is_written_survives_a_crash(site: Site) -> None:
    """The log writer sleeps, and the change was committed without waiting for the disk."""
    shop = site.shop
    function = "EXECUTE ON FUNCTION pg_current_wal_flush_lsn()"
    shop.execute(
        "ALTER SYSTEM SET wal_writer_delay = '10s'", "SELECT pg_reload_conf()", f"REVOKE {function} FROM PUBLIC"
    )
    shop.must_extract(full=True)
    shop.execute("SET synchronous_commit = off; UPDATE orders SET note = 'not yet on disk' WHERE order_id = 12")
    manifest = shop.must_extract()
    assert [row[0] for row in shop.landed(manifest, "orders")] == [12]
    site.restart(crash=True)
    assert shop.query("SELECT note FROM orders WHERE order_id = 12") == [("not yet on disk",)]
    shop.execute("ALTER SYSTEM RESET wal_writer_delay", "SELECT pg_reload_conf()", f"GRANT {function} TO PUBLIC")
    assert shop.must_extract().tables["orders"].count == manifest.tables["orders"].count


def test_a_promoted_standby_is_another_server_though_nothing_else_tells(site: Site, standby: Database) -> None:
    """Same system identifier, same start; its transaction ids go on where the old primary's do, with other contents."""
    shop = follower(site, standby, "s3://lake/promoted")
    before = shop.must_extract()
    area = site.server._area
    site.program("pg_ctl", "-w", "-s", "-D", str(max(area.path.glob("standby-*"))), "promote")
    site.shop.execute("UPDATE orders SET note = 'only on the old primary' WHERE order_id = 4")
    with standby.connect() as connection:
        for number in (5, 6, 7):
            connection.execute("UPDATE orders SET note = 'on the new one' WHERE order_id = %s", [number])
        connection.execute("CHECKPOINT")
    manifest = shop.must_extract()
    assert (manifest.identity.system_identifier, manifest.identity.started) == (
        before.identity.system_identifier,
        before.identity.started,
    )
    assert manifest.tables["orders"].mode == "full"
    assert manifest.tables["orders"].why == "another server than before: timeline changed"
    notes = {row[0]: row[4] for row in shop.landed(manifest, "orders")}
    assert [notes[key] for key in (4, 5, 6, 7)] == [None, *["on the new one"] * 3]
    with standby.connect() as connection:
        connection.execute("UPDATE orders SET note = 'and on' WHERE order_id = 8")
    assert [row[0] for row in shop.landed(shop.must_extract(), "orders")] == [8]
