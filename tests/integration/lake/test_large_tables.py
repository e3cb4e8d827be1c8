"""Few rows into large tables: nothing but the change is written, and everybody reads the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any
from unittest import mock

import pyarrow as pa
import pytest
from py4j.protocol import Py4JJavaError
from tidemark.lake import few_rows, lookup, reader
from tidemark.lake.data_file import conform
from tidemark.lake.iceberg import MOST_FILES, IcebergTable
from tidemark.lake.wanted import Wanted
from tidemark.landing.manifest import KeyList

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.usefixtures("aws")

_numbers = count(1)
NewTable = Callable[..., str]
ROWS = 2_000
# So small that a few thousand rows are many groups.
_GROUPS = "'write.parquet.row-group-size-bytes' = '2048', 'write.parquet.row-group-check-min-record-count' = '10'"
_PAGES = "'write.parquet.page-row-limit' = '50', 'write.parquet.row-group-check-max-record-count' = '100'"


@pytest.fixture(scope="module")
def new_table(aws: None, spark: SparkSession) -> Iterator[NewTable]:
    """Give a function that makes a table and returns its name."""
    spark.sql("CREATE NAMESPACE IF NOT EXISTS lake.large")
    made: list[str] = []

    def make(columns: str, partition: str = "") -> str:
        made.append(f"lake.large.t{next(_numbers)}")
        settings = f"'format-version' = '2', 'write.merge.mode' = 'merge-on-read', {_GROUPS}, {_PAGES}"
        spark.sql(f"CREATE TABLE {made[-1]} ({columns}) USING iceberg {partition} TBLPROPERTIES ({settings})")
        return made[-1]

    yield make
    for name in made:
        spark.sql(f"DROP TABLE {name}")


@pytest.fixture(autouse=True)
def _large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every file of more than a few rows be a large one."""
    monkeypatch.setattr(lookup, "MOST_ROWS", 100)


def merged(spark: SparkSession, name: str, key: list[str], changes: pa.Table, gone: list[bool]) -> lookup.Parts | None:
    table = IcebergTable(spark, name)
    read = lookup.look_up(table, Wanted(conform(changes.select(key), table.schema_of(key))))
    if read is not None:
        few_rows.merge(table, read, changes, key, [c for c in changes.column_names if c not in key], gone)
    return read


def by_pyiceberg(name: str) -> pa.Table:
    _, database, table = name.split(".")
    return reader.catalog_at("s3://lake/processed").load_table((database, table)).scan().to_arrow()


def plain(rows: Any) -> list[Any]:
    return sorted((tuple(row.values()) for row in rows), key=repr)


def number_of(spark: SparkSession, name: str, kind: str) -> int:
    return spark.table(f"{name}.{kind}").count()


KEYS = {
    "a number": ("n bigint", "id AS n"),
    "a small number": ("n int", "CAST(id AS int) AS n"),
    "a text": ("n string", "concat('key ', id) AS n"),
    "a text out of order": ("n string", "md5(CAST(id AS string)) AS n"),
    "a decimal": ("n decimal(20,2)", "CAST(id / 4 AS decimal(20,2)) AS n"),
    "a moment": ("n timestamp", "timestamp_micros(id * 1000001) AS n"),
    "a wall clock": ("n timestamp_ntz", "CAST(timestamp_micros(id * 1000001) AS timestamp_ntz) AS n"),
    "a day": ("n date", "date_from_unix_date(CAST(id AS int) - 1500) AS n"),
    "bytes": ("n binary", "CAST(concat('key ', id) AS binary) AS n"),
    "two": ("n bigint, m string", "id DIV 3 AS n, concat('x', id % 3) AS m"),
    "with a floating one": ("n double, m bigint", "CAST(id % 7 AS double) AS n, id AS m"),
}


@pytest.mark.parametrize("kind", KEYS)
def test_all_read_what_a_merge_would_have_left(spark: SparkSession, new_table: NewTable, kind: str) -> None:
    columns, made = KEYS[kind]
    name = new_table(f"{columns}, note string, size double")
    spark.sql(f"INSERT INTO {name} SELECT /*+ COALESCE(2) */ {made}, 'old', id / 8 FROM range({ROWS})")
    key = [column.split()[0] for column in columns.split(", ")]
    key = key if kind != "a decimal" else ["n"]
    expected = {tuple(row[name] for name in key): row for row in by_pyiceberg(name).to_pylist()}
    large = number_of(spark, name, "data_files")
    choice = random.Random(kind)  # noqa: S311 - it chooses rows
    for turn in range(MOST_FILES + 2):
        some = choice.sample(list(expected), 20)
        changes = pa.Table.from_pylist(
            [{**expected[at], "note": f"turn {turn}"} for at in some], IcebergTable(spark, name).schema
        )
        gone = [at % 5 == 0 for at in range(len(some))]
        assert merged(spark, name, key, changes, gone)
        for row, at, away in zip(changes.to_pylist(), some, gone, strict=True):
            expected[at] = row
            if away:
                del expected[at]

        assert plain(by_pyiceberg(name).to_pylist()) == plain(expected.values())
    assert plain(spark.table(name).toArrow().to_pylist()) == plain(expected.values())
    assert number_of(spark, name, "delete_files") == 1
    assert number_of(spark, name, "data_files") <= large + MOST_FILES + 1


def test_only_groups_that_hold_a_key_are_read(spark: SparkSession, new_table: NewTable) -> None:
    name = new_table("id bigint, note string")
    spark.sql(f"INSERT INTO {name} SELECT /*+ COALESCE(1) */ id, uuid() FROM range({ROWS})")
    change = pa.table({"id": [7, 8], "note": ["new", "new"]})
    read = merged(spark, name, ["id"], change, [False, False])
    assert read is not None
    assert read.rows.num_rows == 2
    assert spark.table(f"{name}.data_files").where("record_count > 2").count() == 1
    assert [row["record_count"] for row in spark.table(f"{name}.delete_files").collect()] == [2]
    snapshots = spark.table(f"{name}.snapshots").orderBy("committed_at").collect()
    assert snapshots[-1]["summary"]["added-records"] == "2", "nothing else was written"


def test_ranges_are_read_with_all_their_keys(spark: SparkSession, new_table: NewTable) -> None:
    name = new_table("id int, note string")
    spark.sql(f"INSERT INTO {name} SELECT /*+ COALESCE(1) */ CAST(id AS int) - 1000, 'old' FROM range({ROWS})")
    table = IcebergTable(spark, name)
    keys = pa.table({"id": pa.array([934], pa.int32())})
    read = lookup.look_up(table, Wanted(keys, KeyList(files=(), rows=0, groups=(-3, 5), shift=4)))
    assert read is not None
    assert sorted(read.rows.column("id").to_pylist()) == [*range(-48, -32), *range(80, 96), 934]
    assert lookup.look_up(table, Wanted(keys, KeyList(files=(), rows=0))) is None, "all keys there are"


def test_rows_of_partitions_are_taken_where_they_are(spark: SparkSession, new_table: NewTable) -> None:
    name = new_table("id bigint, day date, note string", "PARTITIONED BY (month(day))")
    for _ in range(2):  # the second time, what is there has delete files
        spark.sql(
            f"INSERT INTO {name} SELECT /*+ REPARTITION(1) */ id, date_from_unix_date(CAST(id % 90 AS int)), 'old' "
            f"FROM range({ROWS})"
        )
        rows = spark.table(name).where("id IN (5, 40, 75) AND note = 'old'").dropDuplicates(["id"]).toArrow()
        moved = rows.set_column(1, "day", pa.array([100] * rows.num_rows, pa.int32()).cast(pa.date32()))
        spark.sql(f"DELETE FROM {name} WHERE id = 100")
        assert merged(spark, name, ["id", "day"], rows.set_column(2, "note", pa.array(["new"] * 3)), [False] * 3)
        assert merged(spark, name, ["id", "day"], moved, [False] * 3)
        found = spark.table(name).where("id IN (5, 40, 75)").groupBy("note").count().collect()
        assert {row["note"]: row["count"] for row in found} == {"new": 3, "old": 3}
        assert by_pyiceberg(name).num_rows == spark.table(name).count() == ROWS + 3 - 1
        spark.sql(f"TRUNCATE TABLE {name}")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO {} VALUES (-3, 'theirs')",
        "UPDATE {} SET note = 'theirs' WHERE id = 7",
        "DELETE FROM {} WHERE id = 7",
        "CALL lake.system.rewrite_data_files(table => '{}', options => map('rewrite-all', 'true'))",
    ],
)
def test_who_writes_meanwhile_is_not_overwritten(spark: SparkSession, new_table: NewTable, statement: str) -> None:
    name = new_table("id bigint, note string")
    spark.sql(f"INSERT INTO {name} SELECT /*+ COALESCE(1) */ id, 'old' FROM range({ROWS})")
    replace = IcebergTable.replace

    def meanwhile(table: IcebergTable, *given: Any) -> None:
        spark.sql(statement.format(name))
        replace(table, *given)

    with (
        mock.patch.object(IcebergTable, "replace", meanwhile),
        pytest.raises(Py4JJavaError, match=r"ValidationException"),
    ):
        merged(spark, name, ["id"], pa.table({"id": [7], "note": ["new"]}), [False])
    assert spark.table(name).where("note = 'new'").count() == 0


def test_appends_leave_few_small_files(spark: SparkSession, new_table: NewTable) -> None:
    name = new_table("id bigint, note string")
    for number in range(40):
        few_rows.append(IcebergTable(spark, name), pa.table({"id": [number], "note": ["x"]}))
    assert number_of(spark, name, "data_files") <= 12
    assert by_pyiceberg(name).sort_by("id").column("id").to_pylist() == list(range(40))


def test_a_file_from_which_rows_are_taken_does_not_become_part_of_another(
    spark: SparkSession, new_table: NewTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked at by itself it is large, and small among all: both at once would bring its rows back."""
    name = new_table("id bigint, note string")
    for start in range(0, 70, 10):
        few_rows.append(IcebergTable(spark, name), pa.table({"id": range(start, start + 10), "note": ["old"] * 10}))
    monkeypatch.setattr(lookup, "MOST_ROWS", 5)
    table = IcebergTable(spark, name)
    read = lookup.look_up(table, Wanted(pa.table({"id": [3]})))
    monkeypatch.setattr(lookup, "MOST_ROWS", 100)
    assert read is not None
    assert [part.places for part in read.parts] == [[3]]
    assert table.commits % 8 == 7, "it is time to look at small files"
    few_rows.merge(table, read, pa.table({"id": [3], "note": ["new"]}), ["id"], ["note"], [False])
    assert len(by_pyiceberg(name)) == 70
    assert number_of(spark, name, "data_files") == 2
