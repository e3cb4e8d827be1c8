"""Few rows committed by Iceberg's own library: files, partitions, statistics, and whoever writes meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any
from unittest import mock

import pyarrow as pa
import pytest
from py4j.protocol import Py4JJavaError
from tidemark.lake import few_rows, lookup
from tidemark.lake.data_file import conform
from tidemark.lake.iceberg import MOST_FILES, IcebergTable
from tidemark.lake.wanted import Wanted

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.usefixtures("aws")

_numbers = count(1)
NewTable = Callable[..., str]


@pytest.fixture(scope="module")
def new_table(aws: None, spark: SparkSession) -> Iterator[NewTable]:
    """Give a function that makes a table and returns its name."""
    spark.sql("CREATE NAMESPACE IF NOT EXISTS lake.few_rows")
    made: list[str] = []

    def make(columns: str, *, partition: str = "", properties: str = "") -> str:
        made.append(f"lake.few_rows.t{next(_numbers)}")
        settings = f"'write.merge.mode' = 'copy-on-write' {properties}"
        spark.sql(f"CREATE TABLE {made[-1]} ({columns}) USING iceberg {partition} TBLPROPERTIES ({settings})")
        return made[-1]

    yield make
    for name in made:
        spark.sql(f"DROP TABLE {name}")


def rows(spark: SparkSession, name: str, *columns: str) -> list[tuple[Any, ...]]:
    return sorted((tuple(row) for row in spark.table(name).selectExpr(*columns or ("*",)).collect()), key=repr)


def files(spark: SparkSession, name: str) -> set[str]:
    return {row["file_path"] for row in spark.sql(f"SELECT file_path FROM {name}.files").collect()}


def merged(spark: SparkSession, name: str, changes: pa.Table, gone: list[bool] | None = None) -> bool:
    """Merge by the first column; say whether it was done."""
    table = IcebergTable(spark, name)
    key, *others = changes.column_names
    read = lookup.read_small(table) or lookup.look_up(
        table, Wanted(conform(changes.select([key]), table.schema_of([key])))
    )
    if read is not None:
        few_rows.merge(table, read, changes, [key], others, gone or [False] * changes.num_rows)
    return read is not None


def test_only_files_in_which_a_key_is_met_are_written_again(
    spark: SparkSession, new_table: NewTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(few_rows, "_TINY", 9)
    name = new_table("id bigint, note string")
    for start in (1, 11):
        few_rows.append(IcebergTable(spark, name), pa.table({"id": range(start, start + 10), "note": ["old"] * 10}))
    before = files(spark, name)
    assert merged(spark, name, pa.table({"id": [3, 4, 99], "note": ["new", "", "inserted"]}), [False, True, False])
    assert len(before) == 2
    assert len(files(spark, name) & before) == 1
    found = dict(rows(spark, name))
    assert (len(found), found[3], found[99], found.get(4), found[12]) == (20, "new", "inserted", None, "old")


def test_rows_go_to_the_month_of_any_year_and_are_found_there(spark: SparkSession, new_table: NewTable) -> None:
    name = new_table("id bigint, day date", partition="PARTITIONED BY (month(day))")
    days = [None, 0, -1, 19_000, -719_529, -2_440_588, 106_751_991]
    table = pa.table({"id": range(len(days)), "day": pa.array(days, pa.int32()).cast(pa.date32())})
    few_rows.append(IcebergTable(spark, name), table)
    spark.sql(f"INSERT INTO {name} SELECT id + 100, day FROM {name}")
    months = {row[0] for row in spark.sql(f"SELECT partition.day_month FROM {name}.partitions").collect()}
    assert len(months) == len(days), "what Spark writes goes to the same partitions"
    for number, day in enumerate(days):
        condition = "day IS NULL" if day is None else f"day = date_from_unix_date({day})"
        found = spark.table(name).where(condition).selectExpr("id").collect()
        assert sorted(row[0] for row in found) == [number, number + 100], day


def test_a_row_whose_partition_changes_moves(spark: SparkSession, new_table: NewTable) -> None:
    name = new_table("id bigint, at timestamp", partition="PARTITIONED BY (month(at))")
    moments = pa.array([0, 86_400_000_000 * 40], pa.timestamp("us", "UTC"))
    few_rows.append(IcebergTable(spark, name), pa.table({"id": [1, 2], "at": moments}))
    assert merged(spark, name, pa.table({"id": [1], "at": pa.array([86_400_000_000 * 41], pa.timestamp("us", "UTC"))}))
    assert rows(spark, f"{name}.partitions", "record_count") == [(2,)]
    assert rows(spark, name, "id", "unix_date(date(at))") == [(1, 41), (2, 40)]


def test_statistics_are_those_that_spark_writes(spark: SparkSession, new_table: NewTable) -> None:
    columns = "id bigint, price decimal(10,2), note string, at timestamp, size double"
    ours, theirs = new_table(columns), new_table(columns)
    spark.sql(
        f"INSERT INTO {theirs} SELECT /*+ COALESCE(1) */ * FROM VALUES (1, 1.25, NULL, timestamp '1500-01-01 00:00:00', double('NaN')), "
        f"(-5, -3.00, '{'long ' * 10}', timestamp '2026-01-01 00:00:00', 2.5)"
    )
    few_rows.append(IcebergTable(spark, ours), spark.table(theirs).toArrow())
    statistics = "SELECT record_count, null_value_counts, lower_bounds, upper_bounds FROM {}.files"
    assert spark.sql(statistics.format(ours)).collect() == spark.sql(statistics.format(theirs)).collect()
    assert repr(rows(spark, ours)) == repr(rows(spark, theirs))  # NaN is not NaN for Python


def test_who_writes_meanwhile_is_not_overwritten(spark: SparkSession, new_table: NewTable) -> None:
    name = new_table("id bigint, note string")
    for number in (1, 2):
        spark.sql(f"INSERT INTO {name} VALUES ({number}, 'old')")
    change = pa.table({"id": [1], "note": ["new"]})
    replace = IcebergTable.replace

    def meanwhile(statement: str) -> Any:
        def first(table: IcebergTable, *given: Any) -> None:
            spark.sql(statement.format(name=name))
            replace(table, *given)

        return mock.patch.object(IcebergTable, "replace", first)

    compaction = "CALL lake.system.rewrite_data_files(table => '{name}', options => map('min-input-files', '2', 'rewrite-all', 'true'))"
    for statement in ("INSERT INTO {name} VALUES (3, 'theirs')", "UPDATE {name} SET note = 'theirs'", compaction):
        with meanwhile(statement), pytest.raises(Py4JJavaError, match=r"ValidationException"):
            merged(spark, name, change)
        assert "new" not in str(rows(spark, name)), statement
    assert merged(spark, name, change)
    assert rows(spark, name) == [(1, "new"), (2, "theirs"), (3, "theirs")]


def test_rows_that_a_delete_file_takes_do_not_come_back(spark: SparkSession, new_table: NewTable) -> None:
    name = new_table("id bigint, note string", properties=", 'write.delete.mode' = 'merge-on-read'")
    spark.sql(f"INSERT INTO {name} SELECT /*+ COALESCE(1) */ id, 'old' FROM range(5)")
    spark.sql(f"DELETE FROM {name} WHERE id = 2")
    assert spark.table(f"{name}.delete_files").count() == 1
    assert merged(spark, name, pa.table({"id": [1], "note": ["new"]}))
    assert rows(spark, name) == [(0, "old"), (1, "new"), (3, "old"), (4, "old")]


def test_delete_files_of_another_kind_are_left_to_spark(spark: SparkSession, new_table: NewTable) -> None:
    name = new_table(
        "id bigint, note string", properties=", 'write.delete.mode' = 'merge-on-read', 'format-version' = '3'"
    )
    spark.sql(f"INSERT INTO {name} SELECT /*+ COALESCE(1) */ id, 'old' FROM range(5)")
    spark.sql(f"DELETE FROM {name} WHERE id = 2")
    assert spark.table(f"{name}.delete_files").collect()[0]["file_format"] == "PUFFIN"
    assert not merged(spark, name, pa.table({"id": [1], "note": ["new"]}))
    assert rows(spark, name, "id") == [(0,), (1,), (3,), (4,)]


def test_a_table_of_another_partition_is_left_to_spark(spark: SparkSession, new_table: NewTable) -> None:
    name = new_table("id bigint, note string", partition="PARTITIONED BY (bucket(4, id))")
    change = pa.table({"id": [1], "note": ["new"]})
    assert not IcebergTable(spark, name).can_be_written()
    assert not merged(spark, name, change)


@pytest.mark.parametrize("bound", ["_MOST_KEYS", "_MOST_MEMORY"])
def test_what_does_not_fit_is_left_to_spark(
    spark: SparkSession, new_table: NewTable, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    name = new_table("id bigint, note string")
    spark.sql(f"INSERT INTO {name} SELECT /*+ COALESCE(1) */ id, 'old' FROM range(50)")
    monkeypatch.setattr(lookup, "MOST_ROWS", 49)
    assert lookup.read_small(IcebergTable(spark, name)) is None
    monkeypatch.setattr(lookup, bound, 3)
    assert not merged(spark, name, pa.table({"id": [1], "note": ["new"]}))
    assert rows(spark, name, "note")[0] == ("old",)


@pytest.mark.parametrize("tiny", [2_000, 0])
def test_small_files_become_one(
    spark: SparkSession, new_table: NewTable, monkeypatch: pytest.MonkeyPatch, tiny: int
) -> None:
    monkeypatch.setattr(few_rows, "_TINY", tiny)
    name = new_table("id bigint, note string")
    number_of_files = 2 if tiny else MOST_FILES + 1
    for number in range(number_of_files):
        few_rows.append(IcebergTable(spark, name), pa.table({"id": [number], "note": ["old"]}))
    assert len(files(spark, name)) == number_of_files
    assert merged(spark, name, pa.table({"id": [0], "note": ["new"]}))
    assert len(files(spark, name)) == 1
    assert len(rows(spark, name)) == number_of_files


def test_where_nothing_is_met_nothing_is_committed(spark: SparkSession, new_table: NewTable) -> None:
    name = new_table("id bigint, note string")
    spark.sql(f"INSERT INTO {name} VALUES (1, 'old')")
    before = IcebergTable(spark, name).snapshot_id
    assert merged(spark, name, pa.table({"id": [9], "note": [""]}), [True])
    assert IcebergTable(spark, name).snapshot_id == before
