"""From a user's URL to credentials: forms, defaults, look-ups, errors without secrets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from local_stack.connections import Credentials, DatabaseUrlError, is_local, parse, resolve

NewDatabase = Callable[..., Credentials]

SECRET = "s3cr3t/with@odd#characters"


@pytest.fixture(autouse=True)
def _no_libpq_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGSSLMODE", "PGSERVICE", "PGSERVICEFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))


def test_url() -> None:
    found = parse("postgresql://me:s%40cret@db.example.com:6432/shop?sslmode=require&sslrootcert=/ca.pem")
    assert found == Credentials(
        host="db.example.com",
        port=6432,
        dbname="shop",
        username="me",
        password="s@cret",
        sslmode="require",
        sslrootcert="/ca.pem",
    )
    assert found.secret() == {
        "host": "db.example.com",
        "port": 6432,
        "dbname": "shop",
        "username": "me",
        "password": "s@cret",
        "sslmode": "require",
        "sslrootcert": "/ca.pem",
    }
    assert str(found) == "postgresql://me@db.example.com:6432/shop"
    assert "s@cret" not in repr(found)


def test_keyword_form_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere.example")
    monkeypatch.setenv("PGPORT", "5433")
    monkeypatch.setenv("PGPASSWORD", "from-env")
    found = parse("dbname=shop user=me")
    assert (found.host, found.port, found.password) == ("elsewhere.example", 5433, "from-env")
    assert "sslrootcert" not in found.secret()


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", "prefer"), ("127.0.0.1", "prefer"), ("[::1]", "prefer"), ("10.0.0.5", "verify-full")],
)
def test_tls_is_verified_outside_this_machine(host: str, expected: str) -> None:
    assert parse(f"postgresql://me@{host}/shop").sslmode == expected


@pytest.mark.parametrize("mode", ["prefer", "require"])
def test_tls_mode_of_the_environment_counts_as_chosen(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setenv("PGSSLMODE", mode)
    assert parse("postgresql://me@db.example.com/shop").sslmode == mode


def test_host_defaults_to_this_machine() -> None:
    found = parse("postgresql:///shop")
    assert (found.host, found.port) == ("localhost", 5432)
    assert is_local(found.host)
    assert str(parse("postgresql://me@[::1]/shop")) == "postgresql://me@[::1]:5432/shop"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "is empty"),
        ("mysql://me:hunter2@host/db", "not a PostgreSQL URL"),
        ("postgresql://me:hunter2@host/db?sslmod=x", "not a PostgreSQL URL"),
        ("hunter2", "not a PostgreSQL URL"),
        ("postgresql://me:hunter2@host:5432", "names no database"),
        ("postgresql://me:hunter2@host/db?sslmode=hunter2", "sslmode is unknown"),
        ("postgresql://me:pass@hunter2@host/db", "more than one @"),
        ("postgresql://me:hunter2/x@host/db", "port is not a number"),
        ("postgresql://me:hunter2@host:99999/db", "port is not a number"),
        ("postgresql://me:hunter2@a,b/db", "several hosts"),
        ("postgresql://me:hunter2@%2Fvar%2Frun/db", "Unix socket"),
    ],
)
def test_wrong_urls_are_explained_without_the_password(url: str, message: str) -> None:
    with pytest.raises(DatabaseUrlError, match=message) as caught:
        parse(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_password_from_the_url(new_database: NewDatabase) -> None:
    owner = new_database("url")
    assert resolve(f"postgresql://{owner.username}:{owner.password}@{owner.host}:{owner.port}/{owner.dbname}") == (
        Credentials(**{**vars(owner), "sslmode": "prefer"})
    )


def test_password_from_environment_passfile_and_service(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    owner = new_database("lookup")
    url = f"{owner}?sslmode=disable"
    monkeypatch.setenv("PGPASSWORD", owner.password)
    assert resolve(url) == owner
    monkeypatch.delenv("PGPASSWORD")
    passfile = tmp_path / "pgpass"
    passfile.write_text(f"{owner.host}:{owner.port}:*:{owner.username}:{owner.password}\n")
    passfile.chmod(0o600)
    assert resolve(url) == owner
    service = tmp_path / "services"
    service.write_text(
        f"[shop]\nhost={owner.host}\nport={owner.port}\ndbname={owner.dbname}\nuser={owner.username}\nsslmode=disable\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    assert resolve("service=shop") == owner
    monkeypatch.setenv("PGSERVICE", "shop")
    assert resolve(f"dbname={owner.dbname}") == owner


def test_connection_errors_say_what_to_do(new_database: NewDatabase) -> None:
    owner = new_database("errors")
    base = f"postgresql://{owner.username}:{SECRET.replace('/', '%2F').replace('@', '%40').replace('#', '%23')}"
    here = f"{owner.host}:{owner.port}"
    for url, message in (
        (f"{base}@{here}/{owner.dbname}", "password or the user name is wrong"),
        (f"postgresql://{owner.username}@{here}/{owner.dbname}", "needs a password; put it into PGPASSWORD"),
        (f"{base}@nowhere.invalid/{owner.dbname}", "host name cannot be resolved"),
        (f"{base}@127.0.0.1:1/{owner.dbname}", "nothing listens there"),
        (f"{base}@{here}/{owner.dbname}?sslmode=verify-full", "TLS|certificate"),
        (f"postgresql://{owner.username}:{owner.password}@{here}/absent", "no such database"),
        ("service=unheard_of", "not in ~/.pg_service.conf"),
    ):
        with pytest.raises(DatabaseUrlError, match=message) as caught:
            resolve(url, timeout=5)
        assert SECRET not in str(caught.value)
        assert owner.password not in str(caught.value)
