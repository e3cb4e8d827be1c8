"""The embedded PostgreSQL: its life, its roles, its secrets."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import psycopg
import pytest

from local_stack.postgres.process import Postmaster
from local_stack.postgres.server import Credentials, DatabaseError, EmbeddedPostgres

NewDatabase = Callable[..., Credentials]


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state folder whose name a shell would mangle, with a server that tests may stop and kill."""
    folder = tmp_path_factory.mktemp("life") / 'it\'s a $HOME "dir"'
    EmbeddedPostgres.start(folder)
    yield folder
    EmbeddedPostgres.start(folder).destroy()
    assert not (folder / "postgres").exists()


def pid_of(server: EmbeddedPostgres) -> int:
    pid = Postmaster(server._area).pid()
    assert pid is not None
    return pid


def test_start_is_idempotent_and_attach_finds_the_server(state_dir: Path) -> None:
    first = EmbeddedPostgres.start(state_dir)
    again = EmbeddedPostgres.start(state_dir)
    assert pid_of(first) == pid_of(again) == pid_of(EmbeddedPostgres.attach(state_dir))
    assert first.server == again.server
    assert first.running


def test_settings(state_dir: Path) -> None:
    server = EmbeddedPostgres.start(state_dir)
    with server.credentials("postgres").connect() as connection:
        found = {
            name: connection.execute("SELECT current_setting(%s)", [name]).fetchone()
            for name in ("shared_buffers", "max_prepared_transactions", "TimeZone", "fsync", "listen_addresses")
        }
        assert [row[0] for row in found.values() if row] == ["128MB", "10", "UTC", "on", "127.0.0.1"]
        sockets = connection.execute("SHOW unix_socket_directories").fetchone()
        assert sockets == ("",)


def test_restart_keeps_port_and_data_and_stop_is_idempotent(state_dir: Path) -> None:
    server = EmbeddedPostgres.start(state_dir)
    credentials = server.create_database("kept")
    with credentials.connect() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS t AS SELECT 7 AS seven")
    port = server.server.port
    server.stop()
    server.stop()
    assert not server.running
    with pytest.raises(DatabaseError, match=r"No embedded PostgreSQL runs .*`tidemark up`"):
        EmbeddedPostgres.attach(state_dir)
    server = EmbeddedPostgres.start(state_dir)
    assert server.server.port == port
    with credentials.connect() as connection:
        assert connection.execute("SELECT seven FROM t").fetchone() == (7,)


def test_another_port_when_the_former_is_taken(state_dir: Path) -> None:
    server = EmbeddedPostgres.start(state_dir)
    port = server.server.port
    server.stop()
    with socket.create_server(("127.0.0.1", port)):
        server = EmbeddedPostgres.start(state_dir)
        assert server.server.port != port
        server.create_database("elsewhere").connect().close()


def test_start_after_a_crash(state_dir: Path) -> None:
    server = EmbeddedPostgres.start(state_dir)
    with server.create_database("crashed").connect() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 1 AS one")
    pid = pid_of(server)
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)
    assert not server.running
    server = EmbeddedPostgres.start(state_dir)
    with server.credentials("crashed").connect() as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)


def test_a_stale_pid_of_another_process_is_left_alone(state_dir: Path) -> None:
    server = EmbeddedPostgres.start(state_dir)
    server.stop()
    account = server._area.account.process_arguments()
    with subprocess.Popen(["/bin/sleep", "60"], cwd="/", **account) as stranger:
        pidfile = server._area.data / "postmaster.pid"
        pidfile.write_text(f"{stranger.pid}\n{server._area.data}\n1\n5432\n\n127.0.0.1\n\nready\n")
        assert not server.running
        server.stop()
        assert stranger.poll() is None
        server = EmbeddedPostgres.start(state_dir)
        assert server.running
        server.stop()
        assert stranger.poll() is None
        stranger.kill()


def test_two_processes_start_the_same_server_at_once(state_dir: Path) -> None:
    EmbeddedPostgres.start(state_dir).stop()
    script = (
        "import sys; from pathlib import Path; from local_stack.postgres.server import EmbeddedPostgres as E;"
        "print(E.start(Path(sys.argv[1])).server.port)"
    )
    started = [
        subprocess.Popen(  # noqa: S603 - this Python
            [sys.executable, "-c", script, str(state_dir)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )
        for _ in range(2)
    ]
    ports = {process.communicate(timeout=60)[0] for process in started}
    assert len(ports) == 1
    assert [process.returncode for process in started] == [0, 0]


def test_a_wrong_setting_names_itself(state_dir: Path) -> None:
    server = EmbeddedPostgres.start(state_dir)
    server.stop()
    with pytest.raises(DatabaseError, match=r"does not start: .*shared_buffers.*server\.log"):
        EmbeddedPostgres.start(state_dir, settings={"shared_buffers": "many"})
    assert EmbeddedPostgres.start(state_dir).running


def test_data_of_another_major_version_is_refused(state_dir: Path) -> None:
    server = EmbeddedPostgres.start(state_dir)
    server.stop()
    version = server._area.data / "PG_VERSION"
    kept = version.read_text()
    version.write_text("12\n")
    try:
        with pytest.raises(DatabaseError, match=r"made by PostgreSQL 12, installed is 18"):
            EmbeddedPostgres.start(state_dir)
    finally:
        version.write_text(kept)


def test_a_moved_state_folder_is_followed_and_a_copied_one_refused(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    server = EmbeddedPostgres.start(first)
    server.create_database("moved")
    server.stop()
    if not (first / "postgres").is_symlink():
        pytest.skip("only as root the area is behind a link")
    shutil.copytree(first, second, symlinks=True)
    with pytest.raises(DatabaseError, match="is a copy of"):
        EmbeddedPostgres.start(second)
    shutil.rmtree(second)
    first.rename(second)
    server = EmbeddedPostgres.start(second)
    server.credentials("moved").connect().close()
    area = server._area.path
    server.destroy()
    assert not area.exists()


def test_reader_reads_present_and_future_tables_and_writes_nothing(
    postgres: EmbeddedPostgres, new_database: NewDatabase
) -> None:
    owner = new_database("read")
    with owner.connect() as connection:
        connection.execute("CREATE TABLE before (id serial); INSERT INTO before DEFAULT VALUES")
        reader = postgres.create_reader(owner.dbname, "some_reader")
        connection.execute("CREATE TABLE later AS SELECT 2 AS id")
    with reader.connect() as connection:
        assert connection.execute("SELECT id FROM before UNION ALL SELECT id FROM later").fetchall() == [(1,), (2,)]
        for statement in (
            "INSERT INTO before DEFAULT VALUES",
            "UPDATE before SET id = 3",
            "DELETE FROM later",
            "TRUNCATE later",
            "CREATE TABLE mine (id int)",
            "CREATE TEMP TABLE mine (id int)",
            "CREATE SCHEMA mine",
            "SELECT nextval('before_id_seq')",
            "DROP TABLE later",
            "SELECT * FROM pg_authid",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_reader_opens_no_other_database_and_keeps_its_password(
    postgres: EmbeddedPostgres, new_database: NewDatabase
) -> None:
    mine, other = new_database("mine"), new_database("other")
    reader = postgres.create_reader(mine.dbname, "faithful")
    assert postgres.create_reader(mine.dbname, "faithful") == reader
    assert postgres.credentials(mine.dbname, "faithful") == reader
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        postgres.credentials(other.dbname, "faithful").connect()
    with pytest.raises(DatabaseError, match="No role 'nobody_knows'"):
        postgres.credentials(mine.dbname, "nobody_knows")


def test_database_names_are_quoted_and_templates_copied(postgres: EmbeddedPostgres, new_database: NewDatabase) -> None:
    owner = new_database('Odd "name"; DROP DATABASE x')
    with owner.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT 5 AS five")
    assert postgres.create_database(owner.dbname) == owner
    with new_database("copy", template=owner.dbname).connect() as connection:
        assert connection.execute("SELECT five FROM t").fetchone() == (5,)


def test_no_password_in_repr_arguments_environment_or_log(
    postgres: EmbeddedPostgres, new_database: NewDatabase
) -> None:
    owner = new_database("secret")
    reader = postgres.create_reader(owner.dbname, "secretive")
    passwords = [found.password.get_secret_value() for found in (owner, reader)]
    shown = f"{postgres.server!r} {owner!r} {reader!r} {owner} {reader}"
    tree = [psutil.Process(pid_of(postgres))]
    tree += tree[0].children(recursive=True)
    shown += " ".join(" ".join(process.cmdline()) for process in tree)
    shown += Path(f"/proc/{tree[0].pid}/environ").read_text() if sys.platform == "linux" else ""
    shown += postgres.log.read_text()
    assert all(len(password) > 20 and password not in shown for password in passwords)
    kept = postgres._area.path / "server.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert reader.secret()["password"] == passwords[1]


def test_a_wrong_password_is_refused(new_database: NewDatabase) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        new_database("guarded").connect(password="guess")


def test_start_is_quick(tmp_path: Path) -> None:
    begin = time.monotonic()
    server = EmbeddedPostgres.start(tmp_path / "quick")
    taken = time.monotonic() - begin
    server.destroy()
    assert taken < 30
