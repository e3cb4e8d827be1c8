"""Days of years that have no four digits, from the source to the warehouse, and the calendar that they refer to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests import servers

if TYPE_CHECKING:
    from tests.integration.conftest import Harness

pytestmark = pytest.mark.servers

# Each format once, each server once.
FORMATS = {servers.NEWEST: "parquet", servers.OLDEST: "csv"}
DAYS = ["0044-03-15", "0044-03-15 BC", "0001-12-31 BC", "0001-01-01", "20240-02-29", "2024-02-29"]
STAR = """\
  fact_event:
    description: Events
    surrogate_key: event_record_id
    key: id
    from: event
    partition_by: day
    columns:
      id: {type: integer, nullable: false, description: Key}
      day: {type: date, nullable: false, references: dim_date, description: Day}
"""
SOURCE = """\
  event:
    description: Events
    key: [id]
    columns:
      id: {type: integer, nullable: false, description: Key}
      day: {type: date, nullable: false, description: Day}
"""


def test_far_days_and_their_calendar(new_pipeline: Callable[[], Harness]) -> None:
    pipeline = new_pipeline()
    landing_format = FORMATS[pipeline.server_version()]
    listed = ", ".join(f"({number}, '{day}')" for number, day in enumerate(DAYS))
    pipeline.execute(
        "CREATE TABLE event (id int PRIMARY KEY, day date NOT NULL)",
        f"INSERT INTO event VALUES {listed}",
        "GRANT SELECT ON event TO PUBLIC",
    )
    for file, text in (("source.yml", SOURCE), ("star.yml", STAR)):
        path = pipeline.folder / file
        path.write_text(path.read_text() + text)
    (pipeline.folder / "fact_event.sql").write_text("SELECT id, day FROM event")
    pipeline.tick(landing_format=landing_format)
    star = pipeline.model.name
    found = pipeline.query(f"SELECT day::text FROM {star}.fact_event ORDER BY id", pipeline.warehouse())
    assert [day for (day,) in found] == DAYS
    calendar = (
        "SELECT year, count(*)::int, min(date_id)::text, max(date_id)::text, "
        "bool_and(day_of_week = extract(isodow FROM date_id) AND month = extract(month FROM date_id) "
        "AND day = extract(day FROM date_id) AND quarter = extract(quarter FROM date_id)) "
        f"FROM {star}.dim_date WHERE year <> 2026 GROUP BY year ORDER BY year"
    )
    assert pipeline.query(calendar, pipeline.warehouse()) == [
        (-43, 365, "0044-01-01 BC", "0044-12-31 BC", True),
        (0, 366, "0001-01-01 BC", "0001-12-31 BC", True),
        (1, 365, "0001-01-01", "0001-12-31", True),
        (44, 366, "0044-01-01", "0044-12-31", True),
        (2024, 366, "2024-01-01", "2024-12-31", True),
        (20240, 366, "20240-01-01", "20240-12-31", True),
    ]
    assert pipeline.differences() == []

    # A later run adds a year to them, and what is there stays as it is.
    pipeline.execute("INSERT INTO event VALUES (99, '0100-12-31 BC')")
    pipeline.tick(landing_format=landing_format)
    assert pipeline.query(f"SELECT count(*)::int FROM {star}.dim_date WHERE year = -99", pipeline.warehouse()) == [
        (365,)
    ]
