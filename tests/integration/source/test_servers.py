"""A tick on every server version that the README names, while others write: in this database and in another one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from local_stack.postgres.server import EmbeddedPostgres
from tests import servers
from tests.integration.conftest import SHOP, Harness, credentials_of, new_landing, shop_called

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(params=servers.ALL, ids=lambda major: f"pg{major}")
def shop(
    request: pytest.FixtureRequest, aws: None, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Harness]:
    major: int = request.param
    server: EmbeddedPostgres = servers.start(tmp_path_factory.mktemp(f"pg{major}"), major)
    source = server.create_database("shop")
    with source.connect() as connection:
        connection.execute((SHOP / "schema.sql").read_bytes())
        found = connection.execute("SHOW server_version_num").fetchone()
    assert found is not None
    assert int(found[0]) // 10000 == major
    folder = shop_called(f"shop_on_{major}", tmp_path_factory.mktemp("model"))
    reader = credentials_of(server.create_reader("shop", "shop_reader"))
    landing = new_landing(f"landing-on-{major}")
    yield Harness(folder, source, reader, landing, spark, server.create_database)
    server.destroy()


@pytest.mark.usefixtures("by_spark")
def test_ticks_succeed_while_others_write(shop: Harness) -> None:
    """Read by Spark, whose sessions are what differs from server to server; three cuts, brought on their way as one."""
    with servers.clerk(shop.new_database("other").connect), servers.clerk(shop.source.connect):
        for tick in range(3):
            shop.execute(
                f"UPDATE orders SET note = 'tick {tick}' WHERE order_id % 100 = {tick}",
                f"DELETE FROM orders WHERE order_id = {3000 - tick}",
            )
            manifest = shop.must_extract()
            assert manifest.tables["orders"].mode == ("delta" if tick else "full")
            assert manifest.tables["orders"].rows == (30 if tick else 2999)
        assert shop.extract() is None
    shop.transform()
    assert shop.load() == manifest.batch
    assert shop.differences() == []
    (row,) = shop.query("SELECT count(*), sum(order_id) FROM orders")
    published = shop.query(
        f"SELECT count(*), sum(order_id) FROM {shop.model.name}.fact_order_current", shop.warehouse()
    )
    assert published == [row]
