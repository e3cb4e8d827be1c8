"""The fuzz runs on the shop of the integration tests, grown a little, with names of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from local_stack.postgres.server import EmbeddedPostgres
from tests import servers
from tests.fuzz.shop import grow
from tests.integration.conftest import SHOP, Harness, credentials_of, new_landing

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """The server version that the long run asks for."""
    server = servers.start(tmp_path_factory.mktemp("fuzz"), int(os.environ.get("FUZZ_SERVER", servers.NEWEST)))
    yield server
    server.destroy()


@pytest.fixture(scope="module")
def grown_shop(
    aws: None, spark: SparkSession, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Harness]:
    """A shop that no other module touches."""
    folder = tmp_path_factory.mktemp("model") / "fuzz"
    shutil.copytree(SHOP, folder)
    text = (folder / "source.yml").read_text()
    (folder / "source.yml").write_text(text.replace("name: shop\n", "name: fuzz\n"))
    source, warehouse = postgres.create_database("fuzz_source"), postgres.create_database("fuzz_warehouse")
    with source.connect() as connection:
        connection.execute((SHOP / "schema.sql").read_bytes())
        grow(connection, folder)
    reader = credentials_of(postgres.create_reader("fuzz_source", "fuzz_reader"))
    yield Harness(folder, source, reader, new_landing("landing-fuzz"), spark, postgres.create_database, warehouse)
    postgres.drop_database("fuzz_source")
    postgres.drop_database("fuzz_warehouse")
