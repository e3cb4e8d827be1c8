"""From a user's URL to credentials: forms, defaults, look-ups, errors without secrets."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from psycopg import pq
from tidemark.base.credentials import UNSUPPORTED
from tidemark.base.database_url import HONOURED, Credentials, DatabaseUrlError, is_local, parse, resolve

NewDatabase = Callable[..., Credentials]

SECRET = "s3cr3t/with@odd#characters"


@pytest.fixture(autouse=True)
def _no_libpq_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))


def test_url(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("")
    found = parse(f"postgresql://me:s%40cret@db.example.com:6432/shop?sslmode=verify-ca&sslrootcert={authority}")
    values = {
        "host": "db.example.com",
        "port": 6432,
        "dbname": "shop",
        "username": "me",
        "password": "s@cret",
        "sslmode": "verify-ca",
        "sslrootcert": str(authority),
    }
    assert found == Credentials.model_validate(values)
    assert found.secret() == values
    assert str(found) == "postgresql://me@db.example.com:6432/shop"
    assert "s@cret" not in repr(found)


def test_keyword_form_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere.example")
    monkeypatch.setenv("PGPORT", "5433")
    monkeypatch.setenv("PGPASSWORD", "from-env")
    found = parse("dbname=shop user=me")
    assert (found.host, found.port, found.secret()["password"]) == ("elsewhere.example", 5433, "from-env")
    assert "sslrootcert" not in found.secret()


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", "prefer"), ("127.0.0.1", "prefer"), ("[::1]", "prefer"), ("10.0.0.5", "verify-full")],
)
def test_tls_is_verified_outside_this_machine(host: str, expected: str) -> None:
    assert parse(f"postgresql://me@{host}/shop").effective_sslmode == expected


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
    address = f"{owner.username}:{owner.secret()['password']}@{owner.host}:{owner.port}/{owner.dbname}"
    assert resolve(f"postgresql://{address}") == owner.changed(sslmode=None)


def test_password_from_environment_passfile_and_service(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    owner = new_database("lookup")
    url, password = f"{owner}?sslmode=disable", str(owner.secret()["password"])
    monkeypatch.setenv("PGPASSWORD", password)
    assert resolve(url) == owner
    monkeypatch.delenv("PGPASSWORD")
    for passfile in (tmp_path / "pgpass", tmp_path / "another"):
        passfile.write_text(f"{owner.host}:{owner.port}:*:{owner.username}:{password}\n")
        passfile.chmod(0o600)
    assert resolve(url) == owner
    monkeypatch.delenv("PGPASSFILE")
    assert resolve(f"{url}&passfile={tmp_path / 'another'}") == owner
    service = tmp_path / "services"
    service.write_text(
        f"[shop]\nhost={owner.host}\nport={owner.port}\ndbname={owner.dbname}\nuser={owner.username}\n"
        f"password={password}\nsslmode=disable\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    assert resolve("service=shop") == owner
    assert "PGSERVICE" not in os.environ
    monkeypatch.setenv("PGSERVICE", "shop")
    assert resolve(f"dbname={owner.dbname}") == owner
    monkeypatch.setenv("PGHOST", "elsewhere.example")
    assert resolve("user=" + owner.username) == owner, "the service goes before the variables, as libpq has it"


def test_what_a_service_says_is_verified_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    service = tmp_path / "services"
    service.write_text(
        "[shop]\nhost=db.example.com\ndbname=shop\nsslcert=me.crt\n[good]\nhost=db.example.com\ndbname=s\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    assert parse("service=good").effective_sslmode == "verify-full"
    with pytest.raises(DatabaseUrlError, match=r"sslcert \(the service shop\): .* client certificate"):
        parse("service=shop")


URL = "postgresql://me:hunter2@db.example.com/shop"


class TestOptions:
    """What one driver would drop is refused; what all have is the same for all."""

    @pytest.mark.parametrize(
        ("option", "advice"),
        [
            ("sslcert=/me.crt", "client certificate"),
            ("sslkey=/me.key", "client certificate"),
            ("sslpassword=hunter2", "client certificate"),
            ("options=-csearch_path%3Dshop", "ALTER ROLE"),
            ("target_session_attrs=read-write", "name the one server"),
            ("load_balance_hosts=random", "name the one server"),
            ("hostaddr=10.0.0.1", "into host"),
            ("gssencmode=require", "Kerberos"),
            ("require_auth=scram-sha-256", "leave it out"),
            ("keepalives_idle=7", "leave it out"),
            ("sslcrl=/crl.pem", "leave it out"),
            ("ssl_min_protocol_version=TLSv1.3", "leave it out"),
            ("sslnegotiation=direct&sslmode=require", "leave it out"),
        ],
    )
    def test_refused_by_name(self, option: str, advice: str) -> None:
        name = option.partition("=")[0]
        with pytest.raises(DatabaseUrlError, match=rf"{name} \(the database URL\): .*{advice}") as caught:
            parse(f"{URL}?{option}")
        assert "hunter2" not in str(caught.value)

    def test_all_at_once(self) -> None:
        with pytest.raises(DatabaseUrlError, match=r"options \(the.*; sslcert, sslkey \(the database URL\): "):
            parse(f"{URL}?sslcert=a&sslkey=b&options=-cx%3Dy")

    @pytest.mark.parametrize(
        ("variable", "value", "name"),
        [
            ("PGOPTIONS", "-c statement_timeout=1", "options"),
            ("PGSSLCERT", "/me.crt", "sslcert"),
            ("PGHOSTADDR", "10.0.0.1", "hostaddr"),
            ("PGTARGETSESSIONATTRS", "standby", "target_session_attrs"),
            ("PGREQUIREAUTH", "none", "require_auth"),
        ],
    )
    def test_of_a_variable(self, variable: str, value: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(variable, value)
        with pytest.raises(DatabaseUrlError, match=rf"{name} \(the environment variable {variable}\)"):
            parse(URL)

    def test_libpqs_own_defaults_may_be_said(self) -> None:
        assert parse(f"{URL}?target_session_attrs=any&gssencmode=disable&sslsni=1") == parse(URL)

    def test_every_option_of_libpq_is_decided(self) -> None:
        """A new libpq with a new option fails here, not silently in somebody's URL."""
        known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
        assert known <= UNSUPPORTED.keys() | HONOURED
        assert not UNSUPPORTED.keys() & HONOURED

    def test_honoured_by_all(self) -> None:
        found = parse(f"{URL}?sslmode=require&channel_binding=require&connect_timeout=7&application_name=mine")
        assert Credentials.model_validate(found.secret()) == found, "what the jobs read from the secret"
        java, libpq = found.jdbc_properties("job"), found.libpq("job")
        assert (java["sslmode"], java["channelBinding"], java["connectTimeout"]) == ("require", "require", "7")
        assert (libpq["sslmode"], libpq["channel_binding"], libpq["connect_timeout"]) == ("require", "require", 7)
        assert java["ApplicationName"] == libpq["application_name"] == "job mine"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ("connect_timeout=soon", "connect_timeout: "),
            ("connect_timeout=0", "connect_timeout: "),
            ("channel_binding=hunter2", "channel_binding: "),
            ("sslmode=require&sslrootcert=system", "not a PostgreSQL URL|needs sslmode=verify-full"),
            ("sslmode=verify-full&sslrootcert=/none/ca.pem", "There is no file /none/ca.pem, which sslrootcert names"),
        ],
    )
    def test_wrong_values(self, options: str, message: str) -> None:
        with pytest.raises(DatabaseUrlError, match=message) as caught:
            parse(f"{URL}?{options}")
        assert "hunter2" not in str(caught.value)

    def test_the_authorities_file_is_found_from_the_jobs_folder_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "ca.pem").write_text("")
        assert parse(f"{URL}?sslrootcert=ca.pem").sslrootcert == str(tmp_path / "ca.pem")
        with pytest.raises(DatabaseUrlError, match="sslrootcert has no use with sslmode=prefer"):
            parse(f"{URL}?sslrootcert=ca.pem&sslmode=prefer")

    def test_libpqs_file_at_home_counts_for_all_drivers(self, tmp_path: Path) -> None:
        assert parse(URL).sslrootcert is None
        file = tmp_path / ".postgresql" / "root.crt"
        file.parent.mkdir()
        file.write_text("")
        assert parse(URL).sslrootcert == str(file)
        found = parse(f"{URL}?sslmode=require")
        assert (found.effective_sslmode, found.sslrootcert) == ("verify-ca", str(file)), "as libpq has it"
        assert parse(f"{URL}?sslrootcert=system").sslrootcert == "system"
        assert parse("postgresql://me@localhost/shop").sslrootcert is None


def test_connection_errors_say_what_to_do(new_database: NewDatabase) -> None:
    owner = new_database("errors")
    base = f"postgresql://{owner.username}:{SECRET.replace('/', '%2F').replace('@', '%40').replace('#', '%23')}"
    here, password = f"{owner.host}:{owner.port}", str(owner.secret()["password"])
    for url, message in (
        (f"{base}@{here}/{owner.dbname}", "user or password is wrong; check username and password in the URL"),
        (f"postgresql://{owner.username}@{here}/{owner.dbname}", "asks for a password; put one into PGPASSWORD"),
        (f"{base}@nowhere.invalid/{owner.dbname}", "host name is unknown"),
        (f"{base}@127.0.0.1:1/{owner.dbname}", "nothing listens there"),
        (f"{base}@{here}/{owner.dbname}?sslmode=verify-full", "the server has no TLS"),
        (f"postgresql://{owner.username}:{password}@{here}/absent", "database or role does not exist"),
        ("service=unheard_of", "not in ~/.pg_service.conf"),
    ):
        with pytest.raises(DatabaseUrlError, match=message) as caught:
            resolve(url)
        assert SECRET not in str(caught.value)
        assert password not in str(caught.value)
