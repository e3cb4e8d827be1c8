"""What a small tick asks of Java: counted, since nobody sees a hundred calls more."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from py4j.clientserver import ClientServerConnection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.conftest import Harness

_FREED = "m"  # py4j's letter for an object that Python has no more


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Count the calls of Java by py4j's letters; those in which objects are let go come when Python collects them."""
    found: Counter[str] = Counter()
    send = ClientServerConnection.send_command

    def noted(self: ClientServerConnection, command: str, *arguments: Any) -> Any:
        found[command[0]] += 1
        return send(self, command, *arguments)

    with mock.patch.object(ClientServerConnection, "send_command", noted):
        yield found


def cost(shop: Harness, rows: int) -> tuple[int, int]:
    """Calls and Spark jobs of a transform for so many changed orders, a changed customer and a deleted order."""
    shop.execute(
        f"UPDATE orders SET amount = amount + 1 WHERE order_id <= {rows}",
        "UPDATE customer SET name = name || '!' WHERE customer_id = 3",
        "DELETE FROM orders WHERE order_id = (SELECT max(order_id) FROM orders)",
    )
    shop.must_extract()
    tracker = shop.spark.sparkContext.statusTracker()
    before = set(tracker.getJobIdsForGroup(None))
    with counted() as calls:
        shop.transform()
    return sum(calls.values()) - calls[_FREED], len(set(tracker.getJobIdsForGroup(None)) - before)


def test_a_small_tick_asks_little_of_java_and_no_more_for_more_rows(shop: Harness) -> None:
    shop.tick()
    cost(shop, 1)  # classes and methods are looked up by the first
    few, jobs = cost(shop, 10)
    many, as_many_jobs = cost(shop, 900)
    assert few <= 1200
    assert abs(many - few) < 40
    assert jobs == as_many_jobs
    assert jobs <= 11
