"""Servers that do not tell all: Amazon Aurora, hardened ones, and ones behind a pooler."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tidemark.base.errors import SourceError
from tidemark.base.sessions import open_session

from tests import servers
from tests.integration.conftest import SHOP, Harness, credentials_of

# By Spark: its sessions are what is tested here.
pytestmark = pytest.mark.usefixtures("by_spark")

# What Amazon Aurora says, with rds.logical_replication = 0, its default.
_AURORA = """
DO $$DECLARE f text; BEGIN
 FOREACH f IN ARRAY ARRAY['pg_current_wal_insert_lsn', 'pg_current_wal_lsn', 'pg_current_wal_flush_lsn'] LOOP
  EXECUTE format('ALTER FUNCTION pg_catalog.%I() RENAME TO %I', f, f || '_orig');
  EXECUTE format($f$CREATE FUNCTION pg_catalog.%I() RETURNS pg_lsn LANGUAGE plpgsql VOLATILE STRICT AS
   'BEGIN RAISE EXCEPTION ''wal_level must be set to ''''logical'''''' USING ERRCODE = ''55000''; END'$f$, f);
 END LOOP; END$$
"""
_HARDENED = [
    f"REVOKE EXECUTE ON FUNCTION {name} FROM PUBLIC"
    for name in ("pg_control_system()", "pg_control_checkpoint()", "pg_current_wal_flush_lsn()", "pg_current_wal_lsn()")
]


@pytest.fixture(scope="module")
def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server whose own catalogue may be changed."""
    server = servers.start(tmp_path_factory.mktemp("managed"), request.param, {"allow_system_table_mods": "on"})
    yield server
    server.destroy()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "own" in metafunc.fixturenames:
        metafunc.parametrize("own", servers.BOTH_ENDS, indirect=True, scope="module", ids=lambda major: f"pg{major}")


@pytest.mark.parametrize(
    ("name", "statements"), [("aurora", [_AURORA]), ("hardened", _HARDENED)], ids=["aurora", "hardened"]
)
def test_what_a_server_does_not_tell_is_done_without(
    own: Any,
    new_pipeline: Callable[[], Harness],
    caplog: pytest.LogCaptureFixture,
    name: str,
    statements: list[str],
) -> None:
    shop = new_pipeline()
    shop.source = own.create_database(name)
    with shop.source.connect() as connection:
        connection.execute((SHOP / "schema.sql").read_bytes())
        for statement in statements:
            connection.execute(statement.encode())
    shop.reader = credentials_of(own.create_reader(name, "shop_reader"))
    first = shop.must_extract()
    assert "does not tell its" in caplog.text
    assert (first.cut.lsn is None) is (name == "aurora")
    shop.execute("UPDATE orders SET note = 'seen' WHERE order_id = 3")
    second = shop.must_extract()
    assert second.identity == first.identity
    assert [row[0] for row in shop.landed(second, "orders")] == [3]
    assert shop.extract() is None


@pytest.mark.servers
def test_a_function_that_may_not_be_called_is_named_with_what_to_grant(new_pipeline: Callable[[], Harness]) -> None:
    shop = new_pipeline()
    shop.execute("REVOKE EXECUTE ON FUNCTION pg_export_snapshot() FROM PUBLIC")
    with pytest.raises(
        SourceError, match=r"permission denied for function pg_export_snapshot; expected: EXECUTE on it"
    ):
        shop.extract()


@pytest.fixture
def pooler() -> Iterator[Callable[[Harness, str, str], int]]:
    """Give a function that starts PgBouncer before a shop's databases, in a pool mode, and returns its port."""
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    if not Path(program).exists():
        pytest.skip("PgBouncer is not installed (Debian: pgbouncer)")
    started: list[subprocess.Popen[bytes]] = []
    area = Path(tempfile.mkdtemp(prefix="tidemark-pooler-"))  # pytest's own folders are closed to other accounts
    area.chmod(0o755)

    def start(shop: Harness, mode: str, ignored: str = "") -> int:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        folder = area / mode
        folder.mkdir()
        users = {
            shop.source.username: shop.source.password.get_secret_value(),
            shop.reader.username: shop.reader.password.get_secret_value(),
        }
        (folder / "users").write_text("".join(f'"{user}" "{password}"\n' for user, password in users.items()))
        (folder / "b.ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={shop.source.port}\n[pgbouncer]\nlisten_addr=127.0.0.1\n"
            f"listen_port={port}\nauth_type=scram-sha-256\nauth_file={folder}/users\npool_mode={mode}\nunix_socket_dir=\n"
            f"ignore_startup_parameters=extra_float_digits{ignored}\nlogfile={folder}/log\n"
        )
        account: dict[str, Any] = {}
        if os.geteuid() == 0:  # as which it does not run
            account = {"user": "nobody", "group": "nogroup", "extra_groups": []}
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, "nobody")
        started.append(subprocess.Popen([program, str(folder / "b.ini")], **account))  # noqa: S603 - Debian's own
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return port
            time.sleep(0.05)
        raise AssertionError((folder / "log").read_text())

    yield start
    for process in started:
        process.terminate()
        process.wait()
    shutil.rmtree(area)


@pytest.mark.servers
@pytest.mark.parametrize("ignored", ["", ",options"], ids=["refuses options", "swallows options"])
def test_a_pooler_in_session_mode_is_a_source_and_a_warehouse(
    new_pipeline: Callable[[], Harness], pooler: Callable[[Harness, str, str], int], ignored: str
) -> None:
    shop = new_pipeline()
    port = pooler(shop, "session", ignored)
    session = open_session(shop.reader.changed(port=port), "tests")
    with session.connection as connection:
        assert connection.execute("SHOW search_path").fetchone() == ("pg_catalog, pg_temp",)
    assert not session.takes_options
    shop.reader = shop.reader.model_copy(update={"port": port})
    shop.warehouse_database = shop.warehouse().changed(port=port)
    shop.tick()
    shop.execute("UPDATE orders SET note = 'through the pooler' WHERE order_id = 3")
    assert shop.tick().tables["orders"].rows == 1
    assert shop.differences() == []


@pytest.mark.servers
def test_a_pooler_in_transaction_mode_is_refused_by_the_jobs_too(
    new_pipeline: Callable[[], Harness], pooler: Callable[[Harness, str, str], int]
) -> None:
    shop = new_pipeline()
    shop.reader = shop.reader.changed(port=pooler(shop, "transaction", ""))
    with pytest.raises(SourceError, match=r"give the server's own address and port, not those of a pooler"):
        shop.extract()
