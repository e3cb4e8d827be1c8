"""The source's tables change, alone or together with the model: what is read on, what is held back, what stops.

The table of outcomes is in docs/model.md, "When the source changes". In all of it: no version without a change of the
row's own data.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tidemark.base.errors import ContractError, ModelError

from tests.integration.conftest import Harness

TABLE = """
CREATE TYPE mood AS ENUM ('calm', 'cross');
CREATE TABLE thing (
    id integer PRIMARY KEY, wide integer NOT NULL, code varchar(5), price numeric(6,2), number integer, label text NOT NULL,
    mood mood, gone text, old_name text, last_updated timestamp(3) NOT NULL DEFAULT '2024-01-01'
);
INSERT INTO thing SELECT i, i, 'c' || i, i, i, 'l' || i, 'calm', 'g' || i, 'o' || i FROM generate_series(1, 6) i;
GRANT SELECT ON thing TO PUBLIC;
"""
COLUMNS = {
    "id": ("integer", "integer", False),
    "wide": ("integer", "integer", False),
    "code": ("varchar(5)", "varchar(5)", True),
    "price": ("numeric(6,2)", "numeric(6,2)", True),
    "number": ("integer", "integer", True),
    "label": ("text", "varchar", False),
    "mood": ("mood", "varchar", True),
    "gone": ("text", "varchar", True),
    "old_name": ("text", "varchar", True),
}


def declaration(columns: dict[str, tuple[str, str, bool]], star: bool) -> str:
    lines = [
        f"      {name}: {{type: '{kinds[star]}', nullable: {str(kinds[2]).lower()}, description: x}}\n"
        for name, kinds in columns.items()
    ]
    return "".join(lines)


def write_model(pipeline: Harness, columns: dict[str, tuple[str, str, bool]], select: str = "") -> None:
    """Write the model of table ``thing`` and its fact, in place of what was said of them before."""
    head = "  thing:\n    description: Things\n    key: [id]\n    columns:\n"
    updated = "      last_updated: {type: timestamp(3), nullable: false, description: x}\n"
    source = head + declaration(columns, star=False) + updated
    fact = "  fact_thing:\n    description: Things\n    surrogate_key: thing_record_id\n    key: id\n    from: thing\n    columns:\n"
    for file, text in (("source.yml", source), ("star.yml", fact + declaration(columns, star=True))):
        path = pipeline.folder / file
        kept = path.read_text().split("  thing:\n")[0].split("  fact_thing:\n")[0]
        path.write_text(kept + text)
    listed = ", ".join(columns)
    (pipeline.folder / "fact_thing.sql").write_text(
        f"SELECT {select or listed}, last_updated AS _updated_at FROM thing\n"
    )


def with_thing(new_pipeline: Callable[[], Harness]) -> Harness:
    pipeline = new_pipeline()
    pipeline.execute(TABLE)
    write_model(pipeline, COLUMNS)
    return pipeline


def versions(pipeline: Harness) -> dict[int, int]:
    """Number of versions of every key, the same in lake and warehouse."""
    lake: dict[int, int] = {}
    for row in pipeline.lake("fact_thing"):
        lake[row["id"]] = lake.get(row["id"], 0) + 1
    query = f"SELECT id, count(*)::int FROM {pipeline.model.name}.fact_thing GROUP BY id"
    assert lake == dict(pipeline.query(query, pipeline.warehouse()))
    return lake


def current(pipeline: Harness, columns: str) -> list[tuple[object, ...]]:
    query = f"SELECT id, {columns} FROM {pipeline.model.name}.fact_thing_current ORDER BY id"
    return pipeline.query(query, pipeline.warehouse())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("DROP COLUMN gone", r"column public\.thing\.gone is missing"),
        ("RENAME COLUMN old_name TO new_name", r"column public\.thing\.old_name is missing .*new_name"),
        ("ALTER COLUMN number TYPE text", r"column public\.thing\.number is text, expected integer"),
        ("ALTER COLUMN label TYPE date USING '2024-01-01'", None),
        ("ALTER COLUMN wide TYPE smallint", None),
    ],
)
def test_the_source_alone_loses_or_retypes_a_column(
    new_pipeline: Callable[[], Harness], change: str, says: str | None
) -> None:
    pipeline = with_thing(new_pipeline)
    pipeline.must_extract()
    pipeline.execute(f"ALTER TABLE thing {change}")
    if says is None:  # every value still fits the declared type
        assert pipeline.must_extract().tables["thing"].mode == "full"
        return
    with pytest.raises(ContractError, match=says):
        pipeline.extract()
    assert len(pipeline.pending()) == 1, "nothing was landed"


def test_no_drift_makes_a_version_of_a_row_that_did_not_change(new_pipeline: Callable[[], Harness]) -> None:
    pipeline = with_thing(new_pipeline)
    pipeline.tick()
    once = dict.fromkeys(range(1, 7), 1)
    assert versions(pipeline) == once

    # The source alone: columns added, wider, nullable; a label more; another order of columns.
    pipeline.execute(
        "ALTER TABLE thing ADD COLUMN extra text DEFAULT 'x', ALTER COLUMN wide TYPE bigint, "
        "ALTER COLUMN code TYPE varchar(9), ALTER COLUMN price TYPE numeric(9,2), ALTER COLUMN label DROP NOT NULL",
        "ALTER TYPE mood ADD VALUE 'glad'",
        "CREATE TABLE other AS SELECT last_updated, extra, mood, label, old_name, gone, number, price, code, wide, id FROM thing",
        "BEGIN; DROP TABLE thing; ALTER TABLE other RENAME TO thing; ALTER TABLE thing ADD PRIMARY KEY (id); COMMIT;",
        "GRANT SELECT ON thing TO PUBLIC",
    )
    pipeline.tick()
    assert versions(pipeline) == once

    # Values that only the wider source can hold: the last good version stays, the row waits in quarantine.
    pipeline.execute(
        "UPDATE thing SET wide = 3000000000 WHERE id = 1",
        "UPDATE thing SET code = 'longer' WHERE id = 2",
        "UPDATE thing SET price = 1234567.89 WHERE id = 3",
        "UPDATE thing SET label = NULL WHERE id = 4",
        "UPDATE thing SET mood = 'glad' WHERE id = 5",
    )
    pipeline.tick()
    assert versions(pipeline) == once | {5: 2}
    waiting = {row["key"]: row["reason"] for row in pipeline.lake("quarantine") if row["resolved_batch"] is None}
    assert waiting == {
        "1": "wide: '3000000000' is not a valid integer",
        "2": "code: 'longer' is not a valid varchar(5)",
        "3": "price: '1234567.89' is not a valid numeric(6,2)",
        "4": "label is NULL",
    }

    # The model follows: what waited passes, nothing else moves.
    followed = COLUMNS | {
        "wide": ("bigint", "bigint", False),
        "code": ("varchar(9)", "varchar(9)", True),
        "price": ("numeric(9,2)", "numeric(9,2)", True),
        "label": ("text", "varchar", True),
    }
    write_model(pipeline, followed)
    pipeline.tick()
    assert versions(pipeline) == {1: 2, 2: 2, 3: 2, 4: 2, 5: 2, 6: 1}
    assert not [row for row in pipeline.lake("quarantine") if row["resolved_batch"] is None]
    assert current(pipeline, "wide, code, price::text, label, mood")[:4] == [
        (1, 3000000000, "c1", "1.00", "l1", "calm"),
        (2, 2, "longer", "2.00", "l2", "calm"),
        (3, 3, "c3", "1234567.89", "l3", "calm"),
        (4, 4, "c4", "4.00", None, "calm"),
    ]

    # Source and model together: a column dropped, one renamed, one of another type, one more.
    before = versions(pipeline)
    pipeline.execute(
        "ALTER TABLE thing DROP COLUMN gone, ALTER COLUMN number TYPE text",
        "ALTER TABLE thing RENAME COLUMN old_name TO new_name",
    )
    changed = {name: kinds for name, kinds in followed.items() if name not in ("gone", "old_name")}
    changed |= {
        "number": ("text", "integer", True),
        "new_name": ("text", "varchar", True),
        "extra": ("text", "varchar", True),
    }
    write_model(pipeline, changed)
    pipeline.tick()
    assert versions(pipeline) == before
    assert current(pipeline, "number, new_name, extra")[0] == (1, 1, "o1", "x")
    query = f"SELECT old_name, new_name FROM {pipeline.model.name}.fact_thing WHERE id = 1 ORDER BY version"
    assert pipeline.query(query, pipeline.warehouse()) == [("o1", None), ("o1", "o1")], (
        "history keeps the dropped column"
    )
    pipeline.execute("UPDATE thing SET number = 'seven', new_name = 'n' WHERE id = 6")
    pipeline.execute("UPDATE thing SET new_name = 'n' WHERE id = 5")
    pipeline.tick()
    assert versions(pipeline) == before | {5: 3}
    assert {row["key"]: row["reason"] for row in pipeline.lake("quarantine") if row["resolved_batch"] is None} == {
        "6": "number: 'seven' is not a valid integer"
    }


def test_a_star_column_of_another_type_needs_a_new_name(new_pipeline: Callable[[], Harness]) -> None:
    pipeline = with_thing(new_pipeline)
    pipeline.tick()
    write_model(pipeline, COLUMNS | {"number": ("integer", "varchar", True)})
    with pytest.raises(
        ModelError, match=r"fact_thing\.number is string, and int in the lake; .*a new name in star\.yml"
    ):
        pipeline.tick()
