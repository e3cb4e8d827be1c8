"""Wall clocks: the model says where they hang, or is refused; the moment they mean is that of Java and Python alike."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo, available_timezones

import pytest
from pyspark.sql import functions as F  # noqa: N812
from tidemark.base.errors import ModelError
from tidemark.model.loader import load_model
from tidemark.model.time_zones import is_time_zone
from tidemark.star.contract import moment

from tests.frames import frame_of

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

SOURCE: Final = """\
name: shop
description: A shop
tables:
  sale:
    description: Sales
    key: [sale_id]
    columns:
      sale_id: {type: integer, description: Key}
      changed: {type: timestamp(3), description: When}
      day: {type: date, description: Day}
      said: {type: text, description: As text}
      moment: {type: timestamptz, description: When}
      n: {type: integer, description: Number}
  item:
    description: Things
    key: [item_id]
    columns:
      item_id: {type: integer, description: Key}
      at: {type: timestamp, description: When}
"""
STAR: Final = """\
facts:
  fact_sale:
    description: Sales
    surrogate_key: sale_record_id
    key: sale_id
    from: sale
    joins: [item]
    columns:
      sale_id: {type: integer, nullable: false, description: Key}
"""


def folder(path: Path, updated: str = "NULL", source: str = SOURCE) -> str:
    (path / "source.yml").write_text(source)
    (path / "star.yml").write_text(STAR)
    (path / "fact_sale.sql").write_text(f"SELECT sale_id, {updated} AS _updated_at FROM sale s JOIN item USING (n)")
    return str(path)


def zones(path: Path, source: str) -> dict[str, str | None]:
    return {column.name: column.time_zone for column in load_model(folder(path, source=source)).tables["sale"].columns}


class TestWhatTheModelSays:
    def test_a_columns_own_zone_goes_before_that_of_all(self, tmp_path: Path) -> None:
        said = SOURCE.replace("tables:\n", "time_zone: Europe/Berlin\ntables:\n")
        said = said.replace("{type: timestamp(3),", "{type: timestamp(3), time_zone: America/New_York,")
        assert zones(tmp_path, said) == {
            "sale_id": None, "changed": "America/New_York", "day": "Europe/Berlin", "said": "Europe/Berlin",
            "moment": None, "n": None,
        }  # fmt: skip
        assert set(zones(tmp_path, SOURCE).values()) == {None}

    @pytest.mark.parametrize(
        "name", ["EST", "CEST", "utc", "+02:00", "<-03>3", "localtime", "Europe/Berlyn", "posix/UTC"]
    )
    def test_only_names_of_iana(self, tmp_path: Path, name: str) -> None:
        for said in (
            SOURCE.replace("tables:\n", f"time_zone: '{name}'\ntables:\n"),
            SOURCE.replace("{type: timestamp(3),", f"{{type: timestamp(3), time_zone: '{name}',"),
        ):
            with pytest.raises(ModelError) as caught:
                load_model(folder(tmp_path, source=said))
            assert f"time_zone '{name}' is not known" in str(caught.value)
            assert "source.yml: sale." in str(caught.value)

    @pytest.mark.parametrize("column", ["moment: {type: timestamptz", "n: {type: integer"])
    def test_a_column_that_is_no_wall_clock_has_no_zone(self, tmp_path: Path, column: str) -> None:
        with pytest.raises(ModelError, match=r"source\.yml: sale\.\w+ is \w+, with a time_zone; expected: one on time"):
            load_model(folder(tmp_path, source=SOURCE.replace(column, f"{column}, time_zone: UTC")))

    def test_a_star_has_none(self, tmp_path: Path) -> None:
        path = folder(tmp_path)
        (tmp_path / "star.yml").write_text(STAR.replace("{type: integer", "{type: integer, time_zone: UTC"))
        with pytest.raises(ModelError, match="time_zone: unknown entry"):
            load_model(path)

    @pytest.mark.parametrize("updated", ["changed", "s.changed", "`s` . `changed`", "CHANGED", "day", "said", "at"])
    def test_what_comes_from_a_wall_clock_without_zone_is_refused(self, tmp_path: Path, updated: str) -> None:
        with pytest.raises(ModelError) as caught:
            load_model(folder(tmp_path, updated))
        said = str(caught.value)
        assert "fact_sale.sql: _updated_at comes from " in said
        assert f"add a line 'time_zone: UTC' (or Europe/Berlin, …) at the top of {tmp_path}/source.yml" in said
        load_model(folder(tmp_path, updated, SOURCE.replace("tables:\n", "time_zone: UTC\ntables:\n")))

    @pytest.mark.parametrize(
        "updated",
        ["moment", "s.moment", "to_utc_timestamp(changed, 'Europe/Berlin')", "NULL", "n", "n AS x, moment",
         "/* , changed AS _updated_at */ moment", "', changed AS _updated_at' AS note, moment"],
    )  # fmt: skip
    def test_what_needs_no_zone_is_not_asked_for_one(self, tmp_path: Path, updated: str) -> None:
        load_model(folder(tmp_path, updated))


# Zone, what the clock showed, the moment in UTC.
CLOCKS: Final = [
    ("UTC", "2024-03-31 02:30:00", "2024-03-31 02:30:00"),
    ("America/New_York", "2024-07-01 12:00:00.123456", "2024-07-01 16:00:00.123456"),
    ("America/New_York", "2024-01-01 12:00:00", "2024-01-01 17:00:00"),
    ("America/New_York", "2024-03-10 02:30:00", "2024-03-10 07:30:00"),  # was not there
    ("America/New_York", "2024-03-10 03:30:00", "2024-03-10 07:30:00"),
    ("America/New_York", "2024-11-03 01:30:00", "2024-11-03 05:30:00"),  # was there twice: the first
    ("America/New_York", "2024-11-03 02:00:00", "2024-11-03 07:00:00"),
    ("Asia/Kolkata", "2024-01-01 00:00:00", "2023-12-31 18:30:00"),
    ("Europe/Berlin", "1899-12-31 23:00:00", "1899-12-31 22:00:00"),
]


@pytest.mark.parametrize(("zone", "clock", "expected"), CLOCKS)
def test_the_moment_of_a_wall_clock(spark: SparkSession, zone: str, clock: str, expected: str) -> None:
    shown, meant = (datetime.fromisoformat(text) for text in (clock, expected))
    frame = frame_of(spark, [(clock,)], "c string")
    kinds = ("timestamp_ntz", "string", "date")
    row = frame.selectExpr(
        *(f"unix_micros({moment(f'CAST(c AS {kind})', kind, zone)}) AS {kind}" for kind in kinds)
    ).first()
    assert row is not None
    micros = round(meant.replace(tzinfo=UTC).timestamp() * 1e6)
    assert row["timestamp_ntz"] == row["string"] == micros
    assert micros == round(shown.replace(tzinfo=ZoneInfo(zone)).timestamp() * 1e6), "as Python has it"
    midnight = datetime.combine(shown.date(), datetime.min.time(), ZoneInfo(zone))
    assert row["date"] == round(midnight.timestamp() * 1e6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-07-01 12:00:00+00", "2024-07-01 12:00:00"),
        ("2024-07-01 12:00:00.5-03:30", "2024-07-01 15:30:00.5"),
        ("2024-07-01T12:00:00Z", "2024-07-01 12:00:00"),
        ("2024-07-01 12:00:00 Asia/Kolkata", "2024-07-01 06:30:00"),
        ("2024-07-01", "2024-07-01 04:00:00"),
        ("infinity", None),
        (None, None),
    ],
)
def test_a_text_that_names_its_own_offset_keeps_it(spark: SparkSession, text: str | None, expected: str | None) -> None:
    frame = frame_of(spark, [(text,)], "c string")
    found = frame.select(F.expr(moment("c", "string", "America/New_York")).cast("string")).first()
    assert found is not None
    assert found[0] == expected


def test_what_is_a_moment_already_stays_it(spark: SparkSession) -> None:
    frame = spark.sql("SELECT timestamp '2024-07-01 12:00:00' AS c")
    found: Any = frame.select(F.expr(moment("c", "timestamp", "America/New_York")).cast("string")).first()
    assert found[0] == "2024-07-01 12:00:00"


def test_every_zone_that_the_loader_takes_is_known_to_spark(spark: SparkSession) -> None:
    """Java's list is some months older than Python's: a place that is new on it may be missing."""
    taken = sorted(filter(is_time_zone, available_timezones()))
    assert {"UTC", "Europe/Berlin", "America/New_York"} <= set(taken)
    known = set(spark._jvm.java.time.ZoneId.getAvailableZoneIds())  # type: ignore[union-attr]
    assert set(taken) - known <= {"America/Coyhaique"}
