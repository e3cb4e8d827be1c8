"""What is read from Spark's plan of a star's SQL: never too little."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tidemark.model.definition import Column, Fact
from tidemark.model.types import PgType
from tidemark.star.lineage import Lineage, lineage_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

INPUTS = {
    "orders": "id int, buyer int, amount decimal(10,2), note string, new string",
    "customer": "id int, name string, region int",
    "region": "id int, label string",
}
KEYS = {"orders": ["id"], "customer": ["id"], "region": ["id", "label"]}


def fact(sql: str, columns: tuple[str, ...], key: tuple[str, ...] = ("id",)) -> Fact:
    return Fact(
        name="fact_order",
        description="x",
        key=key,
        columns=tuple(Column(name=name, type=PgType("text"), nullable=True, description="x") for name in columns),
        sql=sql,
        driver="orders",
        from_key=("id",),
        joins=("customer", "region"),
        surrogate_key="surrogate_key",
    )


def read(spark: SparkSession, sql: str) -> Lineage:
    inputs = {name: spark.createDataFrame([], schema) for name, schema in INPUTS.items()}
    with_views = {name: frame.createOrReplaceTempView(name) for name, frame in inputs.items()}
    columns = spark.sql(sql).columns
    for name in with_views:
        spark.catalog.dropTempView(name)
    return lineage_of(spark, fact(sql, tuple(columns)), inputs, KEYS)


JOINED = "FROM orders o LEFT JOIN customer c ON c.id = o.buyer"


@pytest.mark.parametrize(
    ("sql", "columns", "rows"),
    [
        ("SELECT id, upper(note) AS text FROM orders", {"id": "orders.id", "text": "orders.note"}, ""),
        ("SELECT id AS x, x + 1 AS y FROM orders", {"x": "orders.id", "y": "orders.id"}, ""),
        ("SELECT `ID` AS a, Note FROM orders", {"a": "orders.id", "Note": "orders.note"}, ""),
        ("SELECT id, 1 AS one, current_date() AS day FROM orders", {"id": "orders.id", "one": "", "day": ""}, ""),
        # A left join decides what is found, not what rows there are; any other join does.
        (
            f"SELECT o.id, c.name, o.buyer {JOINED}",
            {"id": "orders.id", "name": "customer.name customer.id orders.buyer", "buyer": "orders.buyer"},
            "",
        ),
        (
            f"SELECT o.id, c.name {JOINED} WHERE o.new > 'a'",
            {"id": "orders.id", "name": "customer.name customer.id orders.buyer"},
            "orders.new",
        ),
        (f"SELECT o.id {JOINED} WHERE c.region = 1", {"id": "orders.id"}, "orders.buyer customer.id customer.region"),
        (
            "SELECT o.id, name FROM customer c RIGHT JOIN orders o ON c.id = o.buyer AND c.region = 3",
            {"id": "orders.id", "name": "customer.name customer.id customer.region orders.buyer"},
            "",
        ),
        (
            "SELECT o.id, c.name FROM orders o JOIN customer c ON c.id = o.buyer",
            {"id": "orders.id", "name": "customer.name"},
            "customer.id orders.buyer",
        ),
        (
            "SELECT id FROM orders WHERE buyer IN (SELECT id FROM customer WHERE region = 2)",
            {"id": "orders.id"},
            "orders.buyer customer.id customer.region",
        ),
        (
            "SELECT id FROM orders WHERE NOT EXISTS (SELECT 1 FROM customer c WHERE c.region = orders.buyer)",
            {"id": "orders.id"},
            "orders.buyer customer.region",
        ),
        (
            "SELECT id, EXISTS (SELECT 1 FROM customer c WHERE c.region = orders.buyer) AS known FROM orders",
            {"id": "orders.id", "known": "orders.buyer customer.region"},
            "",
        ),
        (
            "SELECT id, (SELECT max(name) FROM customer c WHERE c.region = orders.buyer) AS name FROM orders",
            {"id": "orders.id", "name": "customer.name customer.region orders.buyer"},
            "",
        ),
        (
            "WITH c AS (SELECT region, max(name) AS name FROM customer WHERE id > 3 GROUP BY region) "
            "SELECT o.id, c.name FROM orders o LEFT JOIN c ON c.region = o.buyer",
            {"id": "orders.id", "name": "customer.name customer.region customer.id orders.buyer"},
            "",
        ),
        (
            f"SELECT o.id, r.label {JOINED} LEFT JOIN region r ON r.id = c.region",
            {"id": "orders.id", "label": "region.label region.id customer.region customer.id orders.buyer"},
            "",
        ),
    ],
)
def test_what_decides_values_and_rows(spark: SparkSession, sql: str, columns: dict[str, str], rows: str) -> None:
    found = read(spark, sql)
    assert {name: of_columns(marks) for name, marks in found.columns.items()} == {
        name: set(marks.split()) for name, marks in columns.items()
    }
    assert of_columns(found.rows) == set(rows.split())
    assert "orders" in found.rows
    assert found.per_row


def of_columns(marks: frozenset[str]) -> set[str]:
    return {mark for mark in marks if "." in mark}


@pytest.mark.parametrize(
    ("sql", "column", "mark"),
    [
        ("SELECT o.id FROM orders o CROSS JOIN region", "", "region"),
        ("SELECT o.id FROM orders o JOIN (SELECT count(*) AS n FROM region) r ON r.n > 0", "", "region"),
        ("SELECT id, (SELECT count(*) FROM region) AS n FROM orders", "n", "region"),
        (f"SELECT o.id, c.name {JOINED}", "name", "customer"),
        # Whether a left join multiplies is seen by whoever counts its rows.
        (f"SELECT o.id, count(*) AS n {JOINED} GROUP BY o.id", "n", "customer.id"),
        (f"SELECT o.id, sum(o.amount) AS s {JOINED} GROUP BY o.id", "s", "orders.buyer"),
        (f"SELECT o.id, count(*) OVER (PARTITION BY o.id) AS n {JOINED}", "n", "customer.id"),
        (f"SELECT o.id {JOINED} GROUP BY o.id HAVING count(*) > 1", "", "customer.id"),
    ],
)
def test_that_there_are_rows_is_a_dependency_too(spark: SparkSession, sql: str, column: str, mark: str) -> None:
    found = read(spark, sql)
    assert mark in (found.columns[column] if column else found.rows)


@pytest.mark.parametrize(
    ("sql", "per_row"),
    [
        ("SELECT id, row_number() OVER (ORDER BY note) AS n FROM orders", False),
        ("SELECT id, sum(amount) OVER (PARTITION BY buyer) AS s FROM orders", False),
        ("SELECT id, row_number() OVER (PARTITION BY id ORDER BY note) AS n FROM orders", True),
        ("SELECT id, (SELECT max(amount) FROM orders) AS m FROM orders", False),
        ("SELECT o.id, p.note FROM orders o LEFT JOIN orders p ON p.id = o.buyer", False),
        ("SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM orders p WHERE p.buyer = o.id)", False),
        ("SELECT DISTINCT id FROM orders", True),
        ("SELECT DISTINCT buyer AS id FROM orders", False),
        ("SELECT max(id) AS id, buyer FROM orders GROUP BY buyer", False),
        (
            "SELECT o.id, count(c.id) AS n FROM orders o LEFT JOIN customer c ON c.region = o.buyer GROUP BY o.id",
            True,
        ),
        ("SELECT id FROM orders ORDER BY note LIMIT 5", False),
        ("SELECT id FROM orders UNION ALL SELECT id FROM customer", False),
        ("SELECT c.id, o.note FROM customer c LEFT JOIN orders o ON c.id = o.buyer", False),
        ("SELECT c.id, o.note FROM customer c FULL JOIN orders o ON c.id = o.buyer", False),
        ("SELECT id FROM customer WHERE id NOT IN (SELECT buyer FROM orders)", False),
        ("SELECT id FROM customer", False),
        ("SELECT id, (SELECT max(amount) FROM orders) AS m FROM customer", False),
        ("SELECT id, note FROM orders CLUSTER BY note", False),
        ("SELECT id, explode(array(1, 2)) AS n FROM orders", False),
        ("WITH t AS (SELECT id, rand() AS r FROM orders) SELECT t.id, u.r FROM t JOIN t u ON t.id = u.id", False),
    ],
)
def test_whether_the_drivers_rows_can_be_evaluated_apart(spark: SparkSession, sql: str, per_row: bool) -> None:
    assert read(spark, sql).per_row is per_row


@pytest.mark.parametrize(
    ("sql", "copied"),
    [
        ("SELECT id, note FROM orders", True),
        ("SELECT o.id FROM (SELECT id, upper(note) AS x FROM orders) o", True),
        (f"SELECT o.id, c.name {JOINED}", True),
        ("SELECT cast(id AS bigint) AS id FROM orders", False),
        ("SELECT abs(id) AS id FROM orders", False),
        ("SELECT c.id FROM orders o JOIN customer c ON c.id = o.id", False),
    ],
)
def test_whether_a_column_is_the_drivers_as_it_is(spark: SparkSession, sql: str, copied: bool) -> None:
    assert (read(spark, sql).passed_through.get("id") == "orders.id") is copied


@pytest.mark.parametrize(
    ("sql", "one_to_one"),
    [
        ("SELECT id, upper(note) AS note FROM orders WHERE buyer > 3", True),
        ("SELECT id, (SELECT count(*) FROM region) AS n FROM orders", True),
        # A join that gives the whole key of what it finds finds one at most.
        (f"SELECT o.id, c.name {JOINED}", True),
        ("SELECT o.id, c.name FROM customer c RIGHT JOIN orders o ON o.buyer + 1 = c.id AND c.name <> 'x'", True),
        ("SELECT o.id, c.name FROM orders o JOIN customer c ON c.id = o.buyer", True),
        ("SELECT o.id, c.name FROM customer c JOIN orders o ON c.id = o.buyer", True),
        (f"SELECT o.id {JOINED} JOIN region r ON r.id = c.region AND r.label = o.note", True),
        (
            "SELECT o.id, n.name FROM orders o JOIN (SELECT id + 0 AS one, id AS n, name FROM customer) n ON n.n = o.id",
            True,
        ),
        ("SELECT id FROM orders WHERE EXISTS (SELECT * FROM customer c WHERE c.region = buyer)", True),
        ("SELECT o.id, (SELECT max(label) FROM region r WHERE r.id = o.buyer) AS label FROM orders o", True),
        ("SELECT o.id FROM orders o JOIN (SELECT id, label FROM region GROUP BY ALL) r ON r.id = o.buyer", False),
        (f"SELECT o.id {JOINED} JOIN region r ON r.id = c.region", False),
        (
            "SELECT o.id FROM orders o JOIN"
            " (SELECT a.id, b.id AS other FROM customer a JOIN customer b ON b.id = a.region) n ON n.other = o.buyer",
            False,
        ),
        ("SELECT o.id, c.name FROM orders o LEFT JOIN customer c ON c.region = o.buyer", False),
        ("SELECT o.id, c.name FROM orders o LEFT JOIN customer c ON c.id = o.buyer OR c.id = o.id", False),
        ("SELECT o.id, c.name FROM orders o LEFT JOIN customer c ON c.id > o.buyer", False),
        ("SELECT o.id, c.name FROM orders o LEFT JOIN customer c ON c.id <=> o.buyer", False),
        ("SELECT o.id, c.name FROM orders o JOIN customer c ON c.id = c.region", False),
        ("SELECT o.id, c.name FROM orders o JOIN customer c ON abs(c.id) = o.buyer", False),
        ("SELECT o.id, c.id AS c FROM customer c LEFT JOIN orders o ON o.id = c.region", False),
        (
            f"SELECT o.id {JOINED} JOIN (SELECT c.id, r.label FROM customer c JOIN region r ON r.id = c.region) n ON n.id = o.id",
            False,
        ),
        ("SELECT o.id FROM orders o JOIN (SELECT id, explode(array(1, 2)) AS n FROM customer) n ON n.id = o.id", False),
        (
            "SELECT o.id FROM orders o JOIN (SELECT id FROM customer UNION ALL SELECT id FROM region) n ON n.id = o.id",
            False,
        ),
        ("SELECT o.id FROM orders o CROSS JOIN (VALUES (1), (2)) v", False),
        ("SELECT id, explode(array(1, 2)) AS n FROM orders", False),
    ],
)
def test_whether_a_row_of_the_driver_can_become_two(spark: SparkSession, sql: str, one_to_one: bool) -> None:
    assert read(spark, sql).one_to_one is one_to_one


def test_what_is_not_understood_depends_on_everything(spark: SparkSession) -> None:
    found = read(spark, "SELECT id FROM orders LIMIT 3")
    everything = {f"{name}.{part.split()[0]}" for name, kinds in INPUTS.items() for part in kinds.split(", ")}
    everything |= {*INPUTS}
    assert found.rows == found.columns["id"] == everything
