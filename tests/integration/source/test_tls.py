"""TLS as users meet it: verify-full with all three drivers, against right and wrong certificates."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import certifi
import pytest
from tidemark.base import database_url as connections
from tidemark.base.credentials import Credentials
from tidemark.base.errors import SourceError, WarehouseError
from tidemark.base.metrics import Metrics
from tidemark.jobs.load import load
from tidemark.landing.writer import read_all
from tidemark.source.queries import PlannedRead
from tidemark.source.snapshot import SourceSnapshot, open_snapshot
from tidemark.warehouse.postgres.warehouse import PostgresWarehouse

from tests.integration.conftest import PROCESSED, Harness, credentials_of
from tests.integration.tls_proxy import Authority, TlsProxy

if TYPE_CHECKING:
    from local_stack.postgres.server import EmbeddedPostgres

# By Spark: its sessions are what is tested here.
pytestmark = pytest.mark.usefixtures("by_spark")

OURS = "localhost"
WRONG = {
    "another authority": "certificate is not trusted",
    "another name": "certificate is for another name",
    "expired": "certificate is not trusted",
}


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Authority]:
    folder = tmp_path_factory.mktemp("authorities")
    return Authority.make(folder, "ours"), Authority.make(folder, "theirs")


@pytest.fixture
def proxy(
    postgres: EmbeddedPostgres, authorities: tuple[Authority, Authority], tmp_path: Path
) -> Iterator[Callable[[str], TlsProxy]]:
    """Give a function that puts TLS, right or wrong in a given way, in front of the embedded server."""
    made: list[TlsProxy] = []

    def make(fault: str = "") -> TlsProxy:
        ours, theirs = authorities
        by = theirs if fault == "another authority" else ours
        host = "db.example.org" if fault == "another name" else OURS
        file = by.certify(tmp_path, host, lasts=timedelta(days=-1 if fault == "expired" else 1))
        made.append(TlsProxy(file, postgres.server.port))
        return made[-1]

    yield make
    for one in made:
        one.close()


def through(proxy: TlsProxy, credentials: Credentials, authority: Authority) -> Credentials:
    changes = {"host": OURS, "port": proxy.port, "sslmode": "verify-full", "sslrootcert": str(authority.file)}
    return credentials.model_copy(update=changes)


def read(shop: Harness, snapshot: SourceSnapshot) -> None:
    """Read one small table."""
    planned = PlannedRead(table=shop.model.tables["country"], expected_rows=2)
    read_all(lambda: shop.spark, snapshot, [planned], shop.landing.data_uri("tls"), "parquet")


def test_a_whole_tick_over_verified_tls(
    shop: Harness, proxy: Callable[[str], TlsProxy], authorities: tuple[Authority, Authority]
) -> None:
    right = proxy("")
    shop.reader = through(right, shop.reader, authorities[0])
    shop.must_extract()
    shop.transform()
    read = right.encrypted
    assert read > 1, "the driver's session and the readers'"
    warehouse = through(right, credentials_of(shop.warehouse()), authorities[0])
    assert load(shop.model, shop.landing, PROCESSED, PostgresWarehouse(shop.model, warehouse), Metrics("tests")) == 1
    assert right.encrypted > read
    assert right.plain == 0


@pytest.mark.parametrize("fault", WRONG)
class TestWrongCertificates:
    def test_of_the_source(
        self, fault: str, shop: Harness, proxy: Callable[[str], TlsProxy], authorities: tuple[Authority, Authority]
    ) -> None:
        wrong = proxy(fault)
        shop.reader = through(wrong, shop.reader, authorities[0])
        with pytest.raises(SourceError, match=f"source localhost:{wrong.port}/.*{WRONG[fault]}.*to do: "):
            shop.extract()
        assert not shop.objects()
        assert wrong.plain == 0, "and nobody falls back to an open line"

    def test_met_by_the_readers_alone(
        self, fault: str, shop: Harness, proxy: Callable[[str], TlsProxy], authorities: tuple[Authority, Authority]
    ) -> None:
        wrong = proxy(fault)
        with open_snapshot(shop.reader, shop.model, "tests") as snapshot:
            bad = replace(snapshot, credentials=through(wrong, shop.reader, authorities[0]))
            with pytest.raises(SourceError, match=r"certificate|PKIX|hostname|host name|valid"):
                read(shop, bad)
        assert (wrong.plain, shop.objects()) == (0, set())

    def test_of_the_warehouse(
        self, fault: str, shop: Harness, proxy: Callable[[str], TlsProxy], authorities: tuple[Authority, Authority]
    ) -> None:
        wrong = proxy(fault)
        warehouse = PostgresWarehouse(shop.model, through(wrong, credentials_of(shop.warehouse()), authorities[0]))
        with (
            pytest.raises(WarehouseError, match=f"warehouse localhost:{wrong.port}/.*{WRONG[fault]}"),
            warehouse.load(),
        ):
            pass
        assert wrong.plain == 0

    def test_said_by_the_command_line(
        self, fault: str, shop: Harness, proxy: Callable[[str], TlsProxy], authorities: tuple[Authority, Authority]
    ) -> None:
        given = shop.source
        url = f"postgresql://{given.username}@{OURS}:{proxy(fault).port}/{given.dbname}?sslmode=verify-full"
        with pytest.raises(connections.DatabaseUrlError, match=rf"Cannot open .*{WRONG[fault]}"):
            connections.resolve(f"{url}&sslrootcert={authorities[0].file}")


def trusting_the_public(proxy: TlsProxy, credentials: Credentials) -> Credentials:
    return credentials.changed(host=OURS, port=proxy.port, sslmode="verify-full")


class TestWithoutAFileOfAuthorities:
    """Then the public ones count, the same for every driver, from a file that is there."""

    def test_a_private_authority_is_not_trusted(
        self, shop: Harness, proxy: Callable[[str], TlsProxy], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        right = proxy("")
        good, shop.reader = shop.reader, trusting_the_public(right, shop.reader)
        with pytest.raises(SourceError, match="the server's certificate is not trusted; to do: set sslrootcert"):
            shop.extract()
        warehouse = PostgresWarehouse(shop.model, trusting_the_public(right, credentials_of(shop.warehouse())))
        with pytest.raises(WarehouseError, match="the server's certificate is not trusted"), warehouse.load():
            pass
        with open_snapshot(good, shop.model, "tests") as snapshot:
            bad = replace(snapshot, credentials=shop.reader)
            with pytest.raises(SourceError, match=r"PKIX|certificate"):
                read(shop, bad)
        url = f"postgresql://{shop.source.username}@{OURS}:{right.port}/{shop.source.dbname}?sslmode=verify-full"
        with pytest.raises(connections.DatabaseUrlError, match="the server's certificate is not trusted"):
            connections.resolve(url)
        assert right.plain == 0

    def test_a_public_authority_is(
        self,
        shop: Harness,
        proxy: Callable[[str], TlsProxy],
        authorities: tuple[Authority, Authority],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        bundle = tmp_path / "public authorities 100%.pem"
        bundle.write_bytes(Path(certifi.where()).read_bytes() + authorities[0].file.read_bytes())
        monkeypatch.setattr(certifi, "where", lambda: str(bundle))
        right = proxy("")
        shop.reader = trusting_the_public(right, shop.reader)
        shop.must_extract()
        shop.transform()
        read = right.encrypted
        assert read > 1, "the driver's session and the readers'"
        warehouse = PostgresWarehouse(shop.model, trusting_the_public(right, credentials_of(shop.warehouse())))
        assert load(shop.model, shop.landing, PROCESSED, warehouse, Metrics("tests")) == 1
        assert right.encrypted > read
        assert right.plain == 0


def test_a_client_certificate_is_asked_for(
    shop: Harness,
    postgres: EmbeddedPostgres,
    authorities: tuple[Authority, Authority],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One in the home directory, which libpq would find, does not help the URL past a server where the jobs fail."""
    ours = authorities[0]
    home = tmp_path / ".postgresql"
    home.mkdir()
    certificate = ours.certify(tmp_path, "shop_reader")
    for name in ("postgresql.crt", "postgresql.key"):
        shutil.copy(certificate, home / name)
        (home / name).chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    wants = TlsProxy(ours.certify(tmp_path, OURS), postgres.server.port, clients=ours)
    reader = through(wants, shop.reader, ours)
    url = f"{reader}?sslmode=verify-full&sslrootcert={ours.file}"
    with pytest.raises(connections.DatabaseUrlError, match="asks for a client certificate; let it take a password"):
        connections.resolve(url)
    shop.reader = reader
    with pytest.raises(SourceError, match="asks for a client certificate"):
        shop.extract()
    warehouse = PostgresWarehouse(shop.model, through(wants, credentials_of(shop.warehouse()), ours))
    with pytest.raises(WarehouseError, match="asks for a client certificate"), warehouse.load():
        pass
    wants.close()


def test_a_server_without_tls_is_not_spoken_to(shop: Harness) -> None:
    shop.reader = shop.reader.model_copy(update={"sslmode": "verify-full"})
    with pytest.raises(SourceError, match="the server has no TLS"):
        shop.extract()
