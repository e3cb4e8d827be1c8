"""Credentials: forms for every driver, TLS by default, and never a password in words."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import adbc_driver_postgresql.dbapi as adbc
import boto3
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from tidemark.credentials import Credentials, from_secret, unreachable
from tidemark.errors import TidemarkError

from local_stack.databases import EmbeddedPostgres

PASSWORD = "p@ss/w:or d%3F&'\\ü"


def credentials(**changes: Any) -> Credentials:
    values: dict[str, Any] = {"host": "db.example.com", "dbname": "shop", "username": "me", "password": PASSWORD}
    return Credentials.model_validate(values | changes)


def test_the_password_is_in_no_representation() -> None:
    found = credentials()
    for text in (repr(found), str(found), found.place, found.jdbc_url(), f"{found!r:>5}", str(found.model_dump())):
        assert PASSWORD not in text
        assert "w:or" not in text
    assert found.place == "db.example.com:5432/shop"


@pytest.mark.parametrize(
    ("host", "given_mode", "effective"),
    [
        ("db.example.com", None, "verify-full"),
        ("10.0.0.7", None, "verify-full"),
        ("localhost.example.com", None, "verify-full"),
        ("localhost", None, "prefer"),
        ("127.0.0.1", None, "prefer"),
        ("127.8.9.1", None, "prefer"),
        ("::1", None, "prefer"),
        ("/var/run/postgresql", None, "prefer"),
        ("db.example.com", "require", "require"),
        ("localhost", "verify-full", "verify-full"),
    ],
)
def test_tls_is_on_outside_this_machine(host: str, given_mode: str | None, effective: str) -> None:
    found = credentials(host=host, sslmode=given_mode)
    assert found.effective_sslmode == effective
    assert found.libpq("x")["sslmode"] == effective
    assert found.jdbc_properties("x")["sslmode"] == effective
    assert f"sslmode={effective}" in found.uri("x")
    system = effective == "verify-full"
    assert found.libpq("x").get("sslrootcert") == ("system" if system else None)
    assert ("DefaultJavaSSLFactory" in found.jdbc_properties("x").get("sslfactory", "")) is system


def test_a_certificate_authority_of_ones_own_reaches_every_driver() -> None:
    found = credentials(sslrootcert="/etc/ca.pem")
    assert found.libpq("x")["sslrootcert"] == "/etc/ca.pem"
    assert found.jdbc_properties("x")["sslrootcert"] == "/etc/ca.pem"
    assert "sslfactory" not in found.jdbc_properties("x")
    assert "sslrootcert=%2Fetc%2Fca.pem" in found.uri("x")


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12)
hosts = st.sampled_from(["db.example.com", "127.0.0.1", "::1", "/var/run/postgresql"])


@given(username=texts, password=texts, dbname=texts, root=texts, host=hosts, port=st.integers(1, 65535))
def test_libpq_reads_the_uri_as_it_was_meant(
    username: str, password: str, dbname: str, root: str, host: str, port: int
) -> None:
    found = credentials(username=username, password=password, dbname=dbname, sslrootcert=root, host=host, port=port)
    read = conninfo_to_dict(found.uri("tidemark-load"))
    keywords = found.libpq("tidemark-load")
    assert {name: str(value) for name, value in read.items()} == {name: str(value) for name, value in keywords.items()}
    assert unquote(found.jdbc_url().rsplit("/", 1)[1]) == dbname


def test_jdbc_forms() -> None:
    assert credentials(host="::1", port=5433, dbname="a/b?c").jdbc_url() == "jdbc:postgresql://[::1]:5433/a%2Fb%3Fc"
    found = credentials(host="127.0.0.1").jdbc_properties("tidemark-reader")
    assert found["user"] == "me"
    assert found["password"] == PASSWORD
    assert found["ApplicationName"] == "tidemark-reader"


@pytest.fixture
def secrets(aws: None) -> Iterator[Any]:
    client = boto3.client("secretsmanager")
    yield client
    for name in ("good", "bad"):
        client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


def test_a_secret_is_read(secrets: Any) -> None:
    content = {"host": "h", "port": 6000, "dbname": "d", "username": "u", "password": PASSWORD, "engine": "postgres"}
    secrets.create_secret(Name="good", SecretString=json.dumps(content))
    found = from_secret("good")
    assert (found.host, found.port, found.dbname, found.username) == ("h", 6000, "d", "u")
    assert found.password.get_secret_value() == PASSWORD


@pytest.mark.parametrize(
    ("ca_file", "in_secret", "expected"),
    [
        ("rds.pem", None, "rds.pem"),
        ("rds.pem", "own.pem", "own.pem"),
        ("rds.pem", "system", "system"),
        ("system", None, None),
        ("system", "own.pem", "own.pem"),
    ],
)
def test_the_deployments_authorities_are_trusted_unless_the_secret_names_others(
    secrets: Any, ca_file: str, in_secret: str | None, expected: str | None
) -> None:
    content = {"host": "db.example.com", "dbname": "d", "username": "u", "password": PASSWORD, "sslrootcert": in_secret}
    secrets.create_secret(Name="good", SecretString=json.dumps({key: text for key, text in content.items() if text}))
    found = from_secret("good", ca_file)
    assert found.sslrootcert == expected
    assert found.ca_file == (None if expected == "system" else expected)
    assert found.libpq("x")["sslrootcert"] == (expected or "system"), "verify-full either way"
    assert found.password.get_secret_value() == PASSWORD


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"port": 1, "dbname": "d", "username": "u", "password": PASSWORD}, "secret 'bad': host: Field required"),
        ({"host": "h", "port": 0, "dbname": "d", "username": "u", "password": PASSWORD}, "secret 'bad': port:"),
        ({"host": "h", "dbname": "d", "username": "u", "password": {"x": PASSWORD}}, "secret 'bad': password:"),
        (
            {"host": "h", "dbname": "d", "username": "u", "password": PASSWORD, "sslmode": "yes"},
            "secret 'bad': sslmode:",
        ),
        (PASSWORD, "secret 'bad': content:"),
    ],
)
def test_a_bad_secret_is_named_without_its_content(secrets: Any, content: object, message: str) -> None:
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    secrets.create_secret(Name="bad", SecretString=text)
    with pytest.raises(TidemarkError) as failed:
        from_secret("bad")
    assert str(failed.value).startswith(message)
    assert "to do: mend the secret" in str(failed.value)
    assert "w:or" not in str(failed.value)
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__


def test_a_missing_secret_is_named(secrets: Any) -> None:
    with pytest.raises(TidemarkError, match=r"^secret 'none' cannot be read \(ResourceNotFoundException\); expected"):
        from_secret("none")


def _failure(found: Credentials, adbc_driver: bool) -> tuple[str, str]:
    try:
        if adbc_driver:
            adbc.connect(found.uri("test")).close()
        else:
            psycopg.connect(**found.libpq("test")).close()
    except (psycopg.Error, adbc.Error) as error:
        return unreachable("source", found, error)
    raise AssertionError("the connection was meant to fail")


@pytest.mark.parametrize("adbc_driver", [False, True], ids=["psycopg", "adbc"])
@pytest.mark.parametrize("case", ["password", "database", "port", "host"])
def test_drivers_errors_become_a_reason_and_an_advice(postgres: EmbeddedPostgres, case: str, adbc_driver: bool) -> None:
    good = postgres.credentials("postgres")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        changes: dict[str, dict[str, Any]] = {
            "password": {},
            "database": {"dbname": "no_such", "password": good.password},
            "port": {"port": unused.getsockname()[1]},
            "host": {"host": "no-such-host.invalid", "sslmode": "disable"},
        }
        values = {"host": good.host, "port": good.port, "dbname": "postgres", "username": good.username}
        found = credentials(**(values | changes[case]))
        what, advice = _failure(found, adbc_driver)
    reasons = {
        "password": "user or password is wrong",
        "database": "the database or role does not exist",
        "port": "nothing listens there",
        "host": "the host name is unknown",
    }
    assert what == f"source {found.place} as {good.username}: {reasons[case]}"
    assert "check" in advice
    assert found.password.get_secret_value() not in what + advice


def test_an_unknown_error_loses_the_password_only() -> None:
    what, advice = unreachable("warehouse", credentials(), Exception(f"odd: {PASSWORD}\n end"))
    assert what == "warehouse db.example.com:5432/shop as me cannot be reached (odd: *** end)"
    assert advice == "check the secret"
