"""Mistakes in a star's SQL that only its data shows: one sentence, nothing recorded, mended by mending the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tidemark.errors import ModelError

if TYPE_CHECKING:
    from tests.integration.conftest import Pipeline


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    amount,", "    amount / (order_id - 7) AS amount,", r"fact_order\.sql: \[DIVIDE_BY_ZERO.*try_cast"),
        ("    note,", "    cast(note AS int) AS note,", r"fact_order\.sql: \[CAST_INVALID_INPUT.*try_cast"),
        (
            "    order_id,",
            "    order_id % 10 AS order_id,",
            r"fact_order\.sql gives 300 rows for order_id \d; expected: one",
        ),
        (
            "    order_id,",
            "    greatest(order_id, 2) AS order_id,",
            r"fact_order\.sql gives 2 rows for order_id 2; expected",
        ),
    ],
)
def test_sql_that_only_the_data_refuses(shop: Pipeline, old: str, new: str, message: str) -> None:
    shop.edit("fact_order.sql", old, new)
    shop.must_extract()
    with pytest.raises(ModelError, match=message):
        shop.transform()
    assert shop.reader_of_the_lake().last_run() is None
    shop.edit("fact_order.sql", new, old)
    shop.transform()
    assert shop.load() == 1
    assert shop.query(f"SELECT count(*) FROM {shop.model.name}.fact_order", shop.warehouse()) == [(3000,)]


def test_a_row_without_a_key_waits_in_quarantine_whatever_the_model_allows(shop: Pipeline) -> None:
    shop.edit("fact_order.sql", "    order_id,", "    nullif(order_id, 7) AS order_id,")
    shop.edit("star.yml", "order_id: {type: integer, nullable: false", "order_id: {type: integer, nullable: true")
    shop.tick()
    (entry,) = shop.reader_of_the_lake().quarantined()
    assert (entry["key"], entry["reason"]) == ("NULL", "order_id is NULL")
    shop.execute("UPDATE orders SET note = 'again' WHERE order_id IN (7, 8)")
    shop.tick()
    assert len(shop.lake("fact_order")) == 3000, "2,999 and the second version of order 8"
