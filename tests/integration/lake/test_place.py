"""Tables as Iceberg's own builder makes them: the same as by CREATE TABLE, with their first rows or without."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from tidemark.base.quoting import spark as spark_name
from tidemark.base.quoting import spark_literal
from tidemark.base.spark import java_class
from tidemark.lake.iceberg import IcebergTable
from tidemark.lake.inventory import Inventory
from tidemark.lake.place import Place

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.usefixtures("aws")

TYPES = (
    *("boolean", "int", "bigint", "float", "double", "decimal(38,9)", "decimal(5,0)", "string", "binary"),
    *("date", "timestamp", "timestamp_ntz"),
)
ODD = 'It\'s a "comment" \\ with `everything` ${x} \n and Größe 🌊'
PROPERTIES = {"format-version": "2", "write.parquet.compression-codec": "zstd", "odd": ODD}
_numbers = count(1)


@pytest.fixture
def place(spark: SparkSession) -> Iterator[Callable[[], str]]:
    """Give a function that returns the name of a table that is not there; whatever is made is dropped."""
    spark.sql("CREATE NAMESPACE IF NOT EXISTS lake.places")
    names: list[str] = []

    def new() -> str:
        names.append(f"`lake`.`places`.`t{next(_numbers)}`")
        return names[-1]

    yield new
    for name in names:
        spark.sql(f"DROP TABLE IF EXISTS {name}")


def told(spark: SparkSession, name: str) -> tuple[Any, Any, dict[str, str]]:
    """What Iceberg knows of a table: columns with ids, types and comments; partitions; properties but for its owner."""
    table = IcebergTable(spark, name).java
    schema = java_class(spark, "org.apache.iceberg.SchemaParser").toJson(table.schema())
    spec = java_class(spark, "org.apache.iceberg.PartitionSpecParser").toJson(table.spec())
    properties = dict(table.properties())
    properties.pop("owner", None)
    return json.loads(schema), json.loads(spec), properties


@pytest.mark.parametrize("month_of", [None, "c9", "c10", "c11"])
def test_it_is_the_table_that_create_table_makes(
    spark: SparkSession, place: Callable[[], str], month_of: str | None
) -> None:
    columns = {f"c{number}": (kind, ODD if number % 2 else "") for number, kind in enumerate(TYPES)}
    columns["Odd `name`"] = ("string", "x")
    ours, theirs = place(), place()
    Place(spark, ours).create(columns, ODD, PROPERTIES, month_of)

    listed = ", ".join(
        f"{spark_name(name)} {kind} COMMENT {spark_literal(said)}" for name, (kind, said) in columns.items()
    )
    properties = ", ".join(f"'{name}' = {spark_literal(value)}" for name, value in PROPERTIES.items())
    partition = f"PARTITIONED BY (month({month_of}))" if month_of else ""
    spark.sql(
        f"CREATE TABLE {theirs} ({listed}) USING iceberg {partition} COMMENT {spark_literal(ODD)} TBLPROPERTIES ({properties})"
    )
    assert told(spark, ours) == told(spark, theirs)


def test_with_its_first_rows_it_has_one_snapshot_and_goes_on_like_any_other(
    spark: SparkSession, place: Callable[[], str]
) -> None:
    name, columns = place(), {"id": ("bigint", ""), "note": ("string", ""), "more": ("int", "")}
    Place(spark, name).create(columns, "", PROPERTIES, rows=pa.table({"id": [1, 2], "note": ["a", None]}))
    spark.sql(f"INSERT INTO {name} VALUES (3, 'c', 3)")
    found = sorted(tuple(row) for row in spark.table(name).collect())
    assert found == [(1, "a", None), (2, None, None), (3, "c", 3)]
    assert spark.sql(f"SELECT * FROM {name}.snapshots").count() == 2


def test_a_death_before_the_commit_leaves_no_table(
    spark: SparkSession, place: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = place()

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tidemark.base.storage.put", dies)
    with pytest.raises(KeyboardInterrupt):
        Place(spark, name).create({"id": ("int", "")}, "", PROPERTIES, rows=pa.table({"id": [1]}))
    assert name not in Inventory(spark, ["places"])


def test_the_inventory_knows_what_was_there_and_what_this_process_does(
    spark: SparkSession, place: Callable[[], str]
) -> None:
    there, later = place(), place()
    Place(spark, there).create({"id": ("int", "")}, "", PROPERTIES)
    spark.range(1).createOrReplaceTempView("places_view")
    inventory = Inventory(spark, ["no_such_database", "places"])
    assert there in inventory
    assert later not in inventory
    assert "`lake`.`places`.`places_view`" not in inventory
    assert "`lake`.`places`.`any`" not in inventory
    inventory.add(later)
    inventory.discard(there)
    assert later in inventory
    assert there not in inventory


def test_an_empty_database_has_no_tables(spark: SparkSession) -> None:
    spark.sql("CREATE NAMESPACE IF NOT EXISTS lake.nothing_there")
    assert Place(spark, "`lake`.`nothing_there`.`any`").tables_beside() == []
    assert Place(spark, "`lake`.`not_there_either`.`any`").tables_beside() == []
