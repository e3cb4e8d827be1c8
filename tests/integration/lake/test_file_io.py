"""The lake's files for Arrow: what is small is asked for once, what is large in pieces; it is the same file."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from pyiceberg.io.pyarrow import PyArrowFileIO
from tidemark.base import storage
from tidemark.base.aws import AwsRefusal
from tidemark.lake import file_io
from tidemark.lake.reader import catalog_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture
def rows(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Make a table with a few files, one of which lost rows; nothing was read of it yet."""
    monkeypatch.setattr(file_io, "_files", functools.cache(file_io._files.__wrapped__))
    spark.sql("CREATE NAMESPACE IF NOT EXISTS lake.files")
    spark.sql("CREATE TABLE lake.files.t (id bigint, note string) USING iceberg TBLPROPERTIES ('format-version' = '2')")
    for start in (0, 10):
        spark.sql(f"INSERT INTO lake.files.t SELECT /*+ COALESCE(1) */ id, 'n' || id FROM range({start}, {start + 10})")
    spark.sql("ALTER TABLE lake.files.t SET TBLPROPERTIES ('write.delete.mode' = 'merge-on-read')")
    spark.sql("DELETE FROM lake.files.t WHERE id = 3")
    yield "t"
    spark.sql("DROP TABLE lake.files.t")


def read(table: Any) -> list[tuple[int, str]]:
    found = table.scan().to_arrow()
    return sorted(zip(found.column("id").to_pylist(), found.column("note").to_pylist(), strict=True))


def test_small_files_are_asked_for_once(rows: str) -> None:
    wanted = [(number, f"n{number}") for number in range(20) if number != 3]
    with (
        mock.patch.object(storage, "get_small", wraps=storage.get_small) as asked,
        mock.patch.object(PyArrowFileIO, "new_input", side_effect=AssertionError),
    ):
        table = catalog_at("s3://lake/processed").load_table(("files", rows))
        assert read(table) == wanted
        first = asked.call_count
        assert first == len({call.args[0] for call in asked.call_args_list})
        assert read(table) == wanted
    assert asked.call_count == first


@pytest.mark.parametrize(("most", "kept"), [(10, 2**20), (2**20, 10)])
def test_large_files_are_read_in_pieces_and_not_more_is_kept_than_there_is_room(
    rows: str, monkeypatch: pytest.MonkeyPatch, most: int, kept: int
) -> None:
    monkeypatch.setattr(file_io, "_SMALL", most)
    monkeypatch.setattr(file_io, "_MOST_KEPT", kept)
    assert len(read(catalog_at("s3://lake/processed").load_table(("files", rows)))) == 19
    files: Any = file_io.file_io()
    assert not files._kept


def test_what_is_small() -> None:
    storage.put("s3://lake/file-io/ten", b"0123456789")
    storage.put("s3://lake/file-io/none", b"")
    assert storage.get_small("s3://lake/file-io/ten", 10) == b"0123456789"
    assert storage.get_small("s3://lake/file-io/ten", 9) is None
    assert storage.get_small("s3://lake/file-io/none", 9) in (None, b"")
    assert storage.get_small("s3://lake/file-io/nowhere", 9) is None
    with pytest.raises(AwsRefusal):
        storage.get_small("s3://no-such-bucket/x", 9)
