"""Members that versions refer to: found in hand, by look-ups or by joins, and always the same ones."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest
from tidemark.lake.tables import Lake
from tidemark.model.definition import Column, Dimension, Fact, Model
from tidemark.model.types import PgType
from tidemark.star import inferred_members
from tidemark.star.calendar import add_years

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.usefixtures("aws")

_numbers = count(1)
# Kinds of keys: the key's type, that of the column which refers to it, SQL for a key that is there and one that is not.
KINDS = {
    "big": ("bigint", "integer", "1", "2147483647"),
    "small": ("integer", "bigint", "-7", "2147483647"),
    "word": ("text", "varchar(20)", "'a''b'", "'007'"),
    "amount": ("numeric(10,2)", "numeric(10,2)", "1.50", "-0.05"),
    "day": ("date", "date", "date '2024-02-29'", "date '1582-10-01'"),
    "moment": (
        "timestamptz",
        "timestamptz",
        "timestamp '2024-02-29 01:02:03.000001'",
        "timestamp '1970-01-01 00:00:00'",
    ),
}
WHENS = "date '2024-05-05'", "date '-0005-03-01'"


def _column(name: str, kind: str, references: str | None = None) -> Column:
    return Column(name=name, type=PgType.parse(kind), nullable=True, description="", references=references)


def _model() -> Model:
    dimensions = {
        name: Dimension(
            name=name,
            description="",
            key=("id",),
            columns=(_column("id", kind),),
            sql="",
            driver=name,
            from_key=("id",),
        )
        for name, (kind, *_) in KINDS.items()
    }
    columns = [_column(f"{name}_id", kind, name) for name, (_, kind, *_) in KINDS.items()]
    columns += [_column("when", "date", "dates"), _column("n", "bigint")]
    fact = Fact(
        name="fact",
        description="",
        key=("n",),
        columns=tuple(columns),
        sql="",
        driver="fact",
        from_key=("n",),
        surrogate_key="record",
    )
    return Model(
        name=f"members_{next(_numbers)}",
        description="",
        tables={},
        dimensions=dimensions,
        facts={"fact": fact},
        date_dimension="dates",
    )


@pytest.fixture
def lake(spark: SparkSession) -> Iterator[Lake]:
    """Give a lake whose dimensions have one member each, and whose calendar has one year."""
    model = _model()
    lake = Lake(spark, model)
    lake.create_databases()
    for name, (*_, there, _) in KINDS.items():
        lake.append(_member(lake, name, there), lake.ensure_star(model.dimensions[name]))
    add_years(lake, "dates", [2024], 1)
    yield lake
    for name in (*KINDS, "dates"):
        lake.drop(lake.star(name))


def _member(lake: Lake, name: str, key: str) -> DataFrame:
    kind = lake.model.dimensions[name].column("id").type.spark
    return lake.spark.sql(
        f"SELECT CAST({key} AS {kind}) AS id, false AS is_deleted, false AS is_inferred, 1L AS recorded_batch"
    )


def _versions(lake: Lake, rows: int) -> DataFrame:
    """Rows of the fact: half of them refer to what is there, half to what is not; one refers to nothing."""
    columns = {column.name: column.type.spark for column in lake.model.facts["fact"].columns}
    keys = {f"{name}_id": pair for name, (_, _, *pair) in KINDS.items()} | {"when": WHENS}
    values = [
        f"CAST(CASE WHEN n = 0 THEN NULL WHEN n % 2 = 0 THEN {there} ELSE {missing} END AS {columns[name]}) AS `{name}`"
        for name, (there, missing) in keys.items()
    ]
    return lake.spark.range(rows).selectExpr("id AS n").selectExpr("n", *values)


def _in_hand(rows: DataFrame) -> pa.Table:
    return rows.toArrow()


def _as_frame(rows: DataFrame) -> DataFrame:
    return rows


@pytest.mark.parametrize("form", [_in_hand, _as_frame])
@pytest.mark.parametrize("many", ["", "too many versions to look at", "too many keys to name"])
def test_what_is_not_there_is_added_once(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, form: Callable[[DataFrame], pa.Table | DataFrame], many: str
) -> None:
    if many == "too many versions to look at":
        monkeypatch.setattr(inferred_members, "few_of", lambda _: None)
    if many == "too many keys to name":
        monkeypatch.setattr(inferred_members, "FEW_KEYS", 0)
    versions = {"fact": form(_versions(lake, 20))}
    wanted = dict.fromkeys(KINDS, 1) | {"dates": 365}
    assert inferred_members.add_missing(lake, versions, 2) == wanted
    for name, (*_, missing) in KINDS.items():
        found = lake.spark.table(lake.star(name)).where("is_inferred")
        assert found.selectExpr("id").collect() == _member(lake, name, missing).selectExpr("id").collect(), name
    years = lake.spark.table(lake.star("dates")).selectExpr("year").distinct().collect()
    assert {row[0] for row in years} == {2024, -5}
    assert inferred_members.add_missing(lake, versions, 3) == {}


def test_a_key_that_the_dimension_cannot_hold_is_not_looked_for(lake: Lake) -> None:
    """It is missing; that it cannot be added either is said by the placeholder's cast."""
    small = next(column for column in lake.model.dimensions["small"].columns)
    assert inferred_members._values(small, ["1", "-2147483648", "2147483648"]) == [1, -2147483648]
    assert inferred_members._values(small, ["1", "01"]) is None
    assert inferred_members._values(small, ["one"]) is None
    assert inferred_members._known(lake, "small", {"2147483648"}) == set()
    assert inferred_members._known(lake, "small", {"2147483648", "-7"}) == {"-7"}
