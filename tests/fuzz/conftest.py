"""The fuzz runs on the shop of the integration tests, grown a little, with names of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from local_stack.postgres.server import EmbeddedPostgres
from tests import servers
from tests.fuzz.shop import grow
from tests.integration.conftest import SHOP, Harness, credentials_of, new_landing, shop_called

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from local_stack.postgres.server import Credentials as Database


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """The server version that the long run asks for."""
    server = servers.start(tmp_path_factory.mktemp("fuzz"), int(os.environ.get("FUZZ_SERVER", servers.NEWEST)))
    yield server
    server.destroy()


@pytest.fixture(scope="module")
def grow_shop(
    aws: None, spark: SparkSession, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[int], Harness]]:
    """Give a function that makes the shop of a campaign, which no other touches."""
    made: list[str] = []

    def new_database(name: str) -> Database:
        made.append(name)
        return postgres.create_database(name)

    def make(seed: int) -> Harness:
        name = f"fuzz{seed}"
        folder = shop_called(name, tmp_path_factory.mktemp("model"))
        source, warehouse = new_database(f"{name}_source"), new_database(f"{name}_warehouse")
        with source.connect() as connection:
            connection.execute((SHOP / "schema.sql").read_bytes())
            grow(connection, folder)
        reader = credentials_of(postgres.create_reader(source.dbname, "fuzz_reader"))
        landing = new_landing(f"landing-{name}")
        return Harness(folder, source, reader, landing, spark, lambda what: new_database(f"{name}_{what}"), warehouse)

    yield make
    for database in made:
        postgres.drop_database(database)
