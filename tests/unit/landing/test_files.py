"""Landing files: whatever is written comes back exactly, from Parquet and from CSV alike, by Spark or without it."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tidemark.base import storage
from tidemark.base.errors import LandingError
from tidemark.landing import files as landing_format

from tests.frames import frame_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

WAYS = ("parquet", "csv", "few")
NASTY = (
    *(
        "",
        " ",
        "  lead",
        "trail  ",
        "\t",
        "\ttab\t",
        '"',
        '""',
        "'",
        "a,b",
        'a"b',
        '",',
        "\\",
        "\\\\",
        '\\"',
        "\\N",
        "\\n",
    ),
    *(
        "\n",
        "\r",
        "\r\n",
        "a\nb\rc\r\nd",
        "\n\n",
        "%N",
        "%E",
        "%Z",
        "%",
        "%%",
        "%25",
        "%250A",
        "%0A",
        "%0D",
        "%22",
        "%2525",
    ),
    *("null", "NULL", "None", "NaN", "#", "# comment", "\ufeffBOM", "\u2028", "\u2029", "\x85", "\x01", "\x1f", "\x7f"),
    *("O'Hara", "08841", "1e5", "-0", "🧳", "👩‍👩‍👧", "é", "e\u0301", "\U0010ffff", ";|", "=1+1", "x" * 70_000),
)


def files(folder: Path) -> list[str]:
    return sorted(f"file://{path}" for path in folder.iterdir() if path.name.startswith("part-"))


def round_trip(spark: SparkSession, frame: DataFrame, folder: Path, file_format: str) -> DataFrame:
    if file_format == "few":
        kept: dict[str, bytes] = {}
        with pytest.MonkeyPatch.context() as s3:
            s3.setattr(storage, "put", kept.__setitem__)
            s3.setattr(storage, "get", kept.get)
            few = landing_format.write_few(frame.toArrow(), "s3://landing/t")
            return landing_format.read(spark, [few], dict(frame.dtypes), "parquet")
    landing_format.write(frame, f"file://{folder}", file_format)
    return landing_format.read(spark, files(folder), dict(frame.dtypes), file_format)


@pytest.mark.parametrize("file_format", WAYS)
def test_nasty_texts(spark: SparkSession, tmp_path: Path, file_format: str) -> None:
    rows = [(number, text, text) for number, text in enumerate(NASTY)] + [
        (-1, None, "x"),
        (-2, "x", None),
        (-3, None, None),
    ]
    frame = frame_of(spark, rows, 'n int, `odd, "name" ``x` string, last string')
    found = round_trip(spark, frame.repartition(3), tmp_path / "t", file_format)
    assert found.dtypes == frame.dtypes
    assert sorted(map(tuple, found.collect()), key=lambda row: row[0]) == sorted(rows, key=lambda row: row[0])


@pytest.mark.parametrize("file_format", WAYS)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.none()
        | st.text(st.sampled_from("%NEZ025AD2 \n\r\"'\\,#") | st.characters(exclude_categories=["Cs"]), max_size=9),
        min_size=60,
        max_size=150,
    )
)
def test_any_text(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, file_format: str, values: list[str | None]
) -> None:
    values = [None if value is None else value.replace("\0", "") for value in values]
    frame = frame_of(spark, list(enumerate(values)), "n int, t string").coalesce(1)
    found = round_trip(spark, frame, tmp_path_factory.mktemp("any") / "t", file_format)
    assert [row.t for row in found.orderBy("n").collect()] == values


VALUES = {
    "int": ("-2147483648", "2147483647", "0", "NULL"),
    "bigint": ("-9223372036854775808L", "9223372036854775807L", "NULL"),
    "boolean": ("true", "false", "NULL"),
    "decimal(10,2)": ("-99999999.99", "0.00", "1.10", "NULL"),
    "decimal(38,10)": ("-9999999999999999999999999999.9999999999", "1E-10BD", "NULL"),
    "decimal(38,38)": ("0.99999999999999999999999999999999999999", "1E-38BD", "NULL"),
    "float": ("0.1F", "float('3.4028235E38')", "float('1.4E-45')", "float('NaN')", "float('-Infinity')", "NULL"),
    "double": ("0.1D", "1.7976931348623157E308D", "4.9E-324D", "double('NaN')", "double('Infinity')", "NULL"),
    "date": ("DATE'0001-01-01'", "DATE'1582-10-10'", "DATE'1969-12-31'", "DATE'9999-12-31'", "NULL"),
    "timestamp": (
        "TIMESTAMP'0001-01-01 00:00:00.000001Z'",
        "TIMESTAMP'1582-10-10 11:12:13.999999Z'",
        "TIMESTAMP'1969-12-31 23:59:59.999999Z'",
        "TIMESTAMP'2024-08-22 07:55:11.000Z'",
        "TIMESTAMP'9999-12-31 23:59:59.999999Z'",
        "NULL",
    ),
    "timestamp_ntz": (
        "TIMESTAMP_NTZ'0001-01-01 00:00:00.000001'",
        "TIMESTAMP_NTZ'1582-10-10 11:12:13.999999'",
        "TIMESTAMP_NTZ'1883-11-18 12:03:58.5'",
        "TIMESTAMP_NTZ'1969-12-31 23:59:59.999999'",
        "TIMESTAMP_NTZ'2026-03-29 01:30:00'",
        "TIMESTAMP_NTZ'9999-12-31 23:59:59.999999'",
        "NULL",
    ),
    "binary": ("X''", "X'00'", "X'FF00250A22'", "repeat('x', 500)", "NULL"),
}


@pytest.mark.parametrize("file_format", WAYS)
def test_values_of_every_kind(spark: SparkSession, tmp_path: Path, file_format: str) -> None:
    longest = max(map(len, VALUES.values()))
    columns = [f"c{number}" for number in range(len(VALUES))]
    rows = ", ".join(
        "("
        + ", ".join([str(n), *(f"CAST({values[n % len(values)]} AS {kind})" for kind, values in VALUES.items())])
        + ")"
        for n in range(longest)
    )
    frame = spark.sql(f"SELECT * FROM VALUES {rows} AS t(n, {', '.join(columns)})")
    assert [kind for _, kind in frame.dtypes[1:]] == list(VALUES)
    found = round_trip(spark, frame, tmp_path / "t", file_format)
    assert found.dtypes == frame.dtypes
    exact = [f"to_json(struct({name})) AS {name}" for name in columns]
    exact += [f"unix_micros(CAST({name} AS timestamp)) AS u_{name}" for name in ("c9", "c10")]
    exact += ["hex(c11) AS h", "unix_date(c8) AS d", "CAST(c5 AS string) AS s"]
    assert found.orderBy("n").selectExpr(*exact).collect() == frame.orderBy("n").selectExpr(*exact).collect()
    first = found.select("n", "c3", "c11").orderBy("n").first()
    assert first is not None
    assert first.c3 == Decimal("-99999999.99")
    assert bytes(first.c11) == b""


def test_no_rows_are_no_rows(spark: SparkSession, tmp_path: Path) -> None:
    for file_format in WAYS:
        frame = frame_of(spark, [], "a int, b string")
        assert round_trip(spark, frame, tmp_path / file_format, file_format).collect() == []


def test_a_line_is_a_row_in_csv(spark: SparkSession, tmp_path: Path) -> None:
    frame = frame_of(spark, [(1, "a\nb\r\n"), (2, None), (3, ""), (4, '50 %, "x"')], "n int, t string").coalesce(1)
    landing_format.write(frame, f"file://{tmp_path / 't'}", "csv")
    (file,) = files(tmp_path / "t")
    text = gzip.decompress(Path(file.removeprefix("file://")).read_bytes()).decode()
    assert text == '"n","t"\n"1","a%0Ab%0D%0A"\n"2","%N"\n"3","%E"\n"4","50 %25, %22x%22"\n'


def test_a_file_of_a_few_rows_is_part_of_the_query(spark: SparkSession, tmp_path: Path) -> None:
    frame = round_trip(spark, frame_of(spark, [(1, "x")], "n int, t string"), tmp_path, "few")
    assert frame.inputFiles() == []
    assert frame._jdf.queryExecution().optimizedPlan().nodeName() == "LocalRelation", "the whole plan is its rows"


def test_a_large_file_is_sparks_to_read(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = frame_of(spark, [(1, "x")], "n int, t string")
    monkeypatch.setattr(storage, "put", lambda _, content: (tmp_path / "part-00000.zstd.parquet").write_bytes(content))
    landing_format.write_few(rows.toArrow(), "s3://landing/t")
    file = f"file://{tmp_path}/part-00000.zstd.parquet"
    monkeypatch.setattr(storage, "get", lambda _: bytes(2**20 + 1))
    found = landing_format.read(spark, [file], dict(rows.dtypes), "parquet")
    assert found.inputFiles() == [file]
    assert found.collect() == rows.collect()


def test_a_file_that_is_gone_is_named(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "get", lambda _: None)
    file = "s3://landing/t/part-00000.zstd.parquet"
    with pytest.raises(
        LandingError, match=f"the landing file {file} is not there, and a manifest names it; to do: restore"
    ):
        landing_format.read(spark, [file], {"n": "int"}, "parquet")
