"""Credentials: forms for every driver, TLS by default, and never a password in words."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import adbc_driver_postgresql.dbapi as adbc
import boto3
import certifi
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from pydantic import ValidationError
from tidemark.base.credentials import Credentials, from_secret, unreachable
from tidemark.base.errors import TidemarkError

from local_stack.postgres.server import EmbeddedPostgres

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
        ("LOCALHOST.localdomain", None, "prefer"),
        ("127.0.0.1", None, "prefer"),
        ("127.8.9.1", None, "prefer"),
        ("::1", None, "prefer"),
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
    root = certifi.where() if effective == "verify-full" else None
    assert found.libpq("x").get("sslrootcert") == found.jdbc_properties("x").get("sslrootcert") == root
    assert conninfo_to_dict(found.uri("x")).get("sslrootcert") == root
    assert root is None or Path(root).is_file()


@pytest.mark.parametrize(
    ("changes", "effective"),
    [
        ({"sslrootcert": "/etc/ca.pem"}, "verify-full"),
        ({"sslrootcert": "/etc/ca.pem", "host": "localhost"}, "verify-full"),
        ({"sslrootcert": "/etc/ca.pem", "sslmode": "require"}, "verify-ca"),
        ({"sslrootcert": "/etc/ca.pem", "sslmode": "verify-ca"}, "verify-ca"),
    ],
)
def test_a_certificate_authority_of_ones_own_reaches_every_driver(changes: dict[str, str], effective: str) -> None:
    found = credentials(**changes)
    for said in (found.libpq("x"), found.jdbc_properties("x"), conninfo_to_dict(found.uri("x"))):
        assert (said["sslmode"], said["sslrootcert"]) == (effective, "/etc/ca.pem")
    assert found.ca_file == "/etc/ca.pem"


def test_system_means_the_same_file_for_every_driver() -> None:
    found = credentials(sslrootcert="system", host="localhost")
    for said in (found.libpq("x"), found.jdbc_properties("x"), conninfo_to_dict(found.uri("x"))):
        assert (said["sslmode"], said["sslrootcert"]) == ("verify-full", certifi.where())
    assert found.ca_file is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"host": "/var/run/postgresql"}, "Unix socket"),
        ({"host": "a,b"}, "several hosts"),
        ({"host": ""}, "at least 1"),
        ({"sslmode": "require", "sslrootcert": "system"}, "needs sslmode=verify-full"),
        ({"sslmode": "prefer", "sslrootcert": "/ca.pem"}, "sslrootcert has no use with sslmode=prefer"),
        ({"options": "-c x=y"}, "options cannot be honoured by all drivers; set it for the role"),
        ({"sslcert": "/me.crt"}, "sslcert cannot be honoured by all drivers; .*client certificate"),
    ],
)
def test_what_a_driver_could_not_do_is_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        credentials(**changes)


def test_changed_is_validated_and_keeps_the_rest() -> None:
    found = credentials(sslmode="require", connect_timeout=3)
    assert found.changed() == found
    assert found.changed(port=1, password="x") == credentials(
        sslmode="require", connect_timeout=3, port=1, password="x"
    )
    with pytest.raises(ValidationError):
        found.changed(port=0)


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12)
hosts = st.sampled_from(["db.example.com", "127.0.0.1", "::1"])


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
    assert found.libpq("x")["sslrootcert"] == (found.ca_file or certifi.where()), "verify-full either way"
    assert found.password.get_secret_value() == PASSWORD


def test_the_deployments_authorities_do_not_turn_verifying_on(secrets: Any) -> None:
    content = {"host": "h", "dbname": "d", "username": "u", "password": PASSWORD, "sslmode": "require"}
    secrets.create_secret(Name="good", SecretString=json.dumps(content))
    assert from_secret("good", "rds.pem").effective_sslmode == "require"


class TestSecretsOfRds:
    """They hold a user and a password, and extras; the rest comes from the settings."""

    OWN = {"username": "u", "password": PASSWORD}  # noqa: RUF012
    SETTINGS = {"host": "db.example.com", "port": "5433", "dbname": "d", "sslmode": ""}  # noqa: RUF012

    def test_the_settings_give_what_the_secret_lacks(self, secrets: Any) -> None:
        extras = {"engine": "postgres", "dbClusterIdentifier": "c", "dbInstanceIdentifier": "i", "masterarn": "a"}
        secrets.create_secret(Name="good", SecretString=json.dumps(self.OWN | extras | {"host": ""}))
        found = from_secret("good", given=self.SETTINGS)
        assert found.place == "db.example.com:5433/d"
        assert found.password.get_secret_value() == PASSWORD

    def test_the_secrets_own_values_win(self, secrets: Any) -> None:
        secrets.create_secret(Name="good", SecretString=json.dumps(self.OWN | {"host": "own", "port": 6000}))
        assert from_secret("good", given=self.SETTINGS).place == "own:6000/d"

    def test_what_neither_says_is_named_with_its_settings(self, secrets: Any) -> None:
        secrets.create_secret(Name="bad", SecretString=json.dumps(self.OWN))
        with pytest.raises(TidemarkError) as failed:
            from_secret("bad", given={"port": "5433"})
        assert str(failed.value).startswith("secret 'bad': host, dbname: missing there and in the settings; expected:")
        assert "(source_host, source_dbname, warehouse_host, warehouse_dbname)" in str(failed.value)
        assert PASSWORD not in str(failed.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"port": 1, "dbname": "d", "username": "u", "password": PASSWORD}, "secret 'bad': host: missing"),
        ({"host": "h", "port": 0, "dbname": "d", "username": "u", "password": PASSWORD}, "secret 'bad': port:"),
        ({"host": "h", "dbname": "d", "username": "u", "password": {"x": PASSWORD}}, "secret 'bad': password:"),
        (
            {"host": "h", "dbname": "d", "username": "u", "password": PASSWORD, "sslmode": "yes"},
            "secret 'bad': sslmode:",
        ),
        (PASSWORD, "secret 'bad': content:"),
        ([PASSWORD], "secret 'bad': content:"),
        (
            {"host": "h", "dbname": "d", "username": "u", "password": PASSWORD, "sslcert": "c"},
            "secret 'bad': content: Value error, sslcert cannot be honoured",
        ),
    ],
)
def test_a_bad_secret_is_named_without_its_content(secrets: Any, content: object, message: str) -> None:
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    secrets.create_secret(Name="bad", SecretString=text)
    with pytest.raises(TidemarkError) as failed:
        from_secret("bad")
    assert str(failed.value).startswith(message)
    assert "to do: fix the secret" in str(failed.value)
    assert "w:or" not in str(failed.value)
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__ or failed.value.__context__ is None


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


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        # libpq's words, then pgjdbc's, then the server's
        ('root certificate file "/x/ca.pem" does not exist\nEither provide', "trusted authorities cannot be read"),
        ('could not read root certificate file "/x/timeout.pem": no start line', "trusted authorities cannot be read"),
        ("Could not open SSL root certificate file /x/ca.pem.", "trusted authorities cannot be read"),
        ("SSL error: certificate verify failed", "certificate is not trusted"),
        ("PKIX path building failed: unable to find valid certification path", "certificate is not trusted"),
        ("SSL error: certificate has expired", "has expired, or is not valid yet"),
        ("PKIX path validation failed: validity check failed", "has expired, or is not valid yet"),
        ('server certificate for "a" (and 2 other names) does not match host name "b"', "is for another name"),
        ("The hostname b could not be verified by hostnameverifier PgjdbcHostnameVerifier.", "is for another name"),
        ("FATAL:  connection requires a valid client certificate", "asks for a client certificate"),
        ('FATAL:  certificate authentication failed for user "me"', "asks for a client certificate"),
        ("SSL error: tlsv13 alert certificate required", "asks for a client certificate"),
        ("channel binding required, but server did not offer an authentication method", "channel_binding=require"),
        ('FATAL: database "certificate" does not exist', "the database or role does not exist"),
        ("FATAL: no such database: shop", "the database or role does not exist"),
        (
            'FATAL:  no pg_hba.conf entry for host "1.2.3.4", user "me", database "timeout", no encryption',
            "let this user",
        ),
    ],
)
def test_a_problem_of_certificates_is_no_other_one(text: str, reason: str) -> None:
    what, advice = unreachable("source", credentials(), Exception(text))
    assert reason in what
    assert "{" not in advice


def test_the_password_is_scrubbed_as_a_url_has_it_too() -> None:
    found = credentials()
    what, _ = unreachable("warehouse", found, Exception(f"odd: {found.uri('x')}"))
    assert quote(PASSWORD, safe="") not in what


def test_an_unknown_error_loses_the_password_only() -> None:
    what, advice = unreachable("warehouse", credentials(), Exception(f"odd: {PASSWORD}\n end"))
    assert what == "warehouse db.example.com:5432/shop as me cannot be reached (odd: *** end)"
    assert advice == "check the secret"
