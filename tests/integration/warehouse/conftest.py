"""A lake for the load's tests, whatever the warehouse."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from local_stack.postgres.server import EmbeddedPostgres
from tests import servers
from tests.integration.conftest import Harness

pytest.register_assert_rewrite("tests.integration.warehouse.load_suite")


@pytest.fixture(scope="module")
def ready(module_pipelines: Callable[[], Harness]) -> Harness:
    """A lake with three runs; tests load it and never change it (those that do make their own shop)."""
    shop = module_pipelines()
    shop.must_extract()
    shop.execute("UPDATE orders SET note = 'second' WHERE order_id = 5", "DELETE FROM customer WHERE customer_id = 20")
    shop.must_extract()
    shop.execute("UPDATE orders SET note = 'third' WHERE order_id = 5", "DELETE FROM orders WHERE order_id = 6")
    shop.must_extract()
    shop.transform()
    return shop


@pytest.fixture(scope="module")
def both_ends(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[EmbeddedPostgres]]:
    """The newest and the oldest server that we name, where that is there: the same lake is loaded into both."""
    found = [postgres]
    if servers.are_there(servers.OLDEST):
        found.append(servers.start(tmp_path_factory.mktemp("oldest"), servers.OLDEST))
    yield found
    for server in found[1:]:
        server.destroy()
