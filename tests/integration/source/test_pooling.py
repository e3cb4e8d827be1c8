"""Addresses that pool or spread connections are refused before any tick; those that lead to one server are not."""

from __future__ import annotations

import asyncio
import itertools
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from tidemark.base.credentials import Credentials
from tidemark.base.errors import SourceError, WarehouseError
from tidemark.source import pooling
from typer.testing import CliRunner

from local_stack.postgres.server import EmbeddedPostgres
from tests.integration.forwarding import Forwarder, forward
from tidemark_cli import main as cli

# By Spark: its sessions are what is tested here.
pytestmark = pytest.mark.usefixtures("by_spark")

PGBOUNCER = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
needs_pgbouncer = pytest.mark.skipif(not Path(PGBOUNCER).exists(), reason="pgbouncer is not installed")
NewDatabase = Callable[..., Credentials]
NewBouncer = Callable[..., Credentials]


class Spreader(Forwarder):
    """Passes each new connection on to the next of several servers, as a load balancer does."""

    def __init__(self, *ports: int, host: str = "127.0.0.1", port: int = 0) -> None:
        self._targets = itertools.cycle(ports)
        super().__init__(host, port)

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError):
            forward(client, next(self._targets))


@pytest.fixture
def direct(new_database: NewDatabase) -> Credentials:
    return new_database("direct")


@pytest.fixture(scope="module")
def second_server(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """Another server that takes the first one's password."""
    server = EmbeddedPostgres.start(tmp_path_factory.mktemp("second"), settings={"fsync": "off"})
    with server._connect() as connection:
        connection.execute(f"ALTER ROLE postgres PASSWORD '{postgres.server.password}'".encode())
    server._area.write_state(server._area.read_state() | {"passwords": {"postgres": postgres.server.password}})
    yield server
    server.destroy()


@pytest.fixture
def bouncer(direct: Credentials) -> Iterator[NewBouncer]:
    """Give a function that puts a PgBouncer in front of the embedded server."""
    running: list[subprocess.Popen[bytes]] = []
    folder = Path(tempfile.mkdtemp(prefix="bouncer-", dir="/var/tmp"))

    def make(mode: str, **settings: Any) -> Credentials:
        port = _free_port()
        wanted = {"listen_addr": "127.0.0.1", "listen_port": port, "auth_type": "trust", "unix_socket_dir": ""}
        wanted |= {"auth_file": folder / "users", "pool_mode": mode} | settings
        lines = [f"{name} = {value}\n" for name, value in wanted.items()]
        target = f"[databases]\n* = host={direct.host} port={direct.port}\n[pgbouncer]\n"
        (folder / "bouncer.ini").write_text(target + "".join(lines))
        (folder / "users").write_text(f'"{direct.username}" "{direct.secret()["password"]}"\n')
        account: dict[str, Any] = {}
        if os.geteuid() == 0:  # it does not run as root
            nobody = pwd.getpwnam("nobody")
            account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            for path in (folder, *folder.iterdir()):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
        running.append(
            subprocess.Popen([PGBOUNCER, folder / "bouncer.ini"], stderr=subprocess.DEVNULL, **account)  # noqa: S603
        )
        _wait_for(port)
        return direct.changed(port=port)

    yield make
    for process in running:
        process.kill()
        process.wait()
    shutil.rmtree(folder)


def _free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def _wait_for(port: int) -> None:
    for _ in range(100):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise AssertionError("PgBouncer does not listen")


def test_a_server_itself_is_direct(direct: Credentials) -> None:
    pooling.check_direct("source", direct, snapshots=True)
    pooling.check_direct("warehouse", direct, snapshots=False)
    with direct.connect() as connection:
        left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tidemark-probe'"
        for _ in range(50):
            if connection.execute(left).fetchone() == (0,):
                return
            time.sleep(0.1)
    raise AssertionError("the probe leaves connections behind")


@needs_pgbouncer
class TestPgBouncer:
    @pytest.mark.parametrize(
        ("mode", "settings"),
        [
            ("transaction", {}),
            ("transaction", {"server_round_robin": 1, "min_pool_size": 5}),
            ("transaction", {"default_pool_size": 1}),
            ("statement", {}),
        ],
    )
    def test_pooled_by_transaction(self, bouncer: NewBouncer, mode: str, settings: dict[str, Any]) -> None:
        pooled = bouncer(mode, **settings)
        if settings.get("min_pool_size"):
            with pooled.connect(), pooled.connect():
                time.sleep(1)  # its housekeeping fills the pool
        with pytest.raises(SourceError, match=rf"source {pooled.place}: a pooler lends .*to do: give the server's own"):
            pooling.check_direct("source", pooled, snapshots=True)
        with pytest.raises(WarehouseError, match=r"a pooler lends .* pool_mode=session"):
            pooling.check_direct("warehouse", pooled, snapshots=False)

    def test_pooled_by_session(self, bouncer: NewBouncer) -> None:
        pooled = bouncer("session")
        pooling.check_direct("source", pooled, snapshots=True)
        pooling.check_direct("warehouse", pooled, snapshots=False)

    def test_a_pool_smaller_than_a_tick(self, bouncer: NewBouncer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pooling, "ANSWER_SECONDS", 2.0)
        pooled = bouncer("session", default_pool_size=2).changed(connect_timeout=2)
        with pytest.raises(SourceError, match=r"5 connections at once got no answer|no answer") as failed:
            pooling.check_direct("source", pooled, snapshots=True)
        assert str(direct_password(pooled)) not in str(failed.value)

    def test_up_refuses_it_and_starts_nothing(self, bouncer: NewBouncer, tmp_path: Path) -> None:
        pooled = bouncer("transaction")
        url = str(pooled).replace("@", f":{direct_password(pooled)}@")
        for option in ("--source", "--warehouse"):
            said = CliRunner().invoke(cli.app, ["up", option, url, "--state", str(tmp_path / "state")])
            assert said.exit_code == 1
            assert f"{option[2:]} {pooled.place}: a pooler lends its connections" in _plain(said.stderr)
            assert direct_password(pooled) not in said.output
        assert not (tmp_path / "state").exists()


class TestSeveralServers:
    def test_behind_one_address(
        self, postgres: EmbeddedPostgres, second_server: EmbeddedPostgres, direct: Credentials
    ) -> None:
        second_server.create_database(direct.dbname)
        spreader = Spreader(postgres.server.port, second_server.server.port)
        spread = direct.changed(port=spreader.port)
        with pytest.raises(SourceError, match=r"the connections lead to 2 different servers; .*reader endpoint"):
            pooling.check_direct("source", spread, snapshots=True)
        with pytest.raises(WarehouseError, match="2 different servers"):
            pooling.check_direct("warehouse", spread, snapshots=False)
        spreader.close()

    def test_behind_one_name(
        self,
        postgres: EmbeddedPostgres,
        second_server: EmbeddedPostgres,
        direct: Credentials,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """One driver may take the first address, another the second: localhost on IPv4 and on IPv6, for example."""
        second_server.create_database(direct.dbname)
        try:
            first = Spreader(postgres.server.port, host="127.0.0.1")
            second = Spreader(second_server.server.port, host="127.0.0.2", port=first.port)
        except OSError:
            pytest.skip("this machine has no second loopback address")
        _resolve(monkeypatch, "two.example.org", ["127.0.0.1", "127.0.0.2"], first.port)
        named = direct.changed(host="two.example.org", port=first.port, sslmode="disable")
        with pytest.raises(SourceError, match="2 different servers"):
            pooling.check_direct("source", named, snapshots=True)
        second.close()
        _resolve(monkeypatch, "two.example.org", ["127.0.0.1", "127.0.0.3"], first.port)
        pooling.check_direct("source", named, snapshots=True)  # nothing listens at the other address
        first.close()

    def test_a_snapshot_of_the_one_is_unknown_to_the_other(
        self, second_server: EmbeddedPostgres, direct: Credentials
    ) -> None:
        async def share() -> None:
            async with AsyncExitStack() as stack:
                one = await pooling._open(stack, direct)
                other = await pooling._open(stack, second_server.credentials("postgres"))
                await pooling._shared_snapshot(one, other)

        with pytest.raises(pooling._IndirectError, match="a snapshot that one connection exports is unknown"):
            asyncio.run(share())


def test_backends_lent_in_turn_do_not_come_out_even() -> None:
    """As many backends as sessions, each lent after the other: in an unchanging order everybody meets its own again."""
    turns = itertools.count()

    class Session:
        async def execute(self, _: bytes) -> Session:
            return self

        async def fetchone(self) -> tuple[int, str]:
            return next(turns) % pooling.CONNECTIONS, "2024-03-01"

    sessions: Any = [Session() for _ in range(pooling.CONNECTIONS)]
    with pytest.raises(pooling._IndirectError, match="a pooler lends"):
        asyncio.run(pooling._one_backend_each(sessions))


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"password": "wrong-hunter2"}, "user or password is wrong"), ({"port": 1}, "nothing listens there")],
)
def test_what_cannot_be_reached_is_said_as_always(direct: Credentials, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SourceError, match=said) as failed:
        pooling.check_direct("source", direct.changed(**changes), snapshots=True)
    assert "hunter2" not in str(failed.value)


def direct_password(credentials: Credentials) -> str:
    return credentials.password.get_secret_value()


def _plain(text: str) -> str:
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())


def _resolve(monkeypatch: pytest.MonkeyPatch, name: str, addresses: list[str], port: int) -> None:
    real = socket.getaddrinfo

    def answer(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host != name:
            return real(host, *args, **kwargs)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
