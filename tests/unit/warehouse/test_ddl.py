"""Warehouse DDL as text, and how an existing table is brought to a changed model."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidemark.model.definition import Column
from tidemark.model.loader import load_model
from tidemark.model.types import PgType, star_type
from tidemark.warehouse.postgres import ddl

from tests.shop import SHOP_MODEL

SHOP = load_model(str(SHOP_MODEL))


def column(name: str, kind: str, *, nullable: bool = True) -> Column:
    return Column(name=name, type=PgType.parse(kind), nullable=nullable, description="x")


def evolve(*columns: Column, **found: tuple[str, bool]) -> list[str]:
    have = {name: (PgType.parse(kind), not_null) for name, (kind, not_null) in found.items()}
    return ddl.evolution("t", "the_key", columns, have)


def test_nothing_to_do() -> None:
    assert (
        evolve(column("a", "integer", nullable=False), column("b", "text"), a=("integer", True), b=("text", False))
        == []
    )


def test_a_new_column_is_added_and_may_be_null_for_history_has_no_value() -> None:
    assert evolve(column("a", "integer"), column("b", "numeric(10,2)", nullable=False), a=("integer", False)) == [
        'ALTER TABLE t ADD COLUMN "b" numeric(10,2)'
    ]


@pytest.mark.parametrize(
    ("have", "want"),
    [
        ("integer", "bigint"),
        ("smallint", "integer"),
        ("real", "double precision"),
        ("numeric(10,2)", "numeric(12,2)"),
        ("varchar(3)", "varchar(5)"),
        ("varchar(3)", "varchar"),
        ("varchar(3)", "text"),
        ("char(3)", "text"),
        ("char(3)", "char(5)"),
        ("time", "text"),
        ("timestamp(3)", "timestamp"),
    ],
)
def test_a_type_is_widened(have: str, want: str) -> None:
    assert evolve(column("a", want), a=(have, False)) == [f'ALTER TABLE t ALTER COLUMN "a" TYPE {want}']


@pytest.mark.parametrize(
    ("have", "want"),
    [
        ("numeric(10,2)", "numeric(12,3)"),
        ("integer", "text"),
        ("date", "timestamp"),
        ("timestamp", "timestamptz"),
    ],
)
def test_a_type_is_never_changed(have: str, want: str) -> None:
    with pytest.raises(ValueError, match=r'^t\."a" is .* in the warehouse and .* in the model$'):
        evolve(column("a", want), a=(have, False))


@pytest.mark.parametrize(
    ("have", "want"),
    [
        ("bigint", "integer"),
        ("double precision", "real"),
        ("numeric(10,2)", "numeric(9,2)"),
        ("varchar(5)", "varchar(3)"),
        ("varchar", "varchar(3)"),
        ("text", "varchar(3)"),
        ("text", "time"),
        ("char(5)", "char(3)"),
        ("timestamp", "timestamp(3)"),
    ],
)
def test_a_wider_type_holds_all_the_same_and_is_left(have: str, want: str) -> None:
    """A widening that was taken back after a load that failed has left it."""
    assert evolve(column("a", want), a=(have, False)) == []


def test_null_is_let_in_where_the_model_lets_it_in_or_gave_the_column_up() -> None:
    assert evolve(column("a", "integer"), a=("integer", True), gone=("text", True), free=("text", False)) == [
        'ALTER TABLE t ALTER COLUMN "a" DROP NOT NULL',
        'ALTER TABLE t ALTER COLUMN "gone" DROP NOT NULL',
    ]


def test_the_digest_follows_every_word_of_the_model() -> None:
    same = load_model(str(SHOP_MODEL))
    assert ddl.digest(SHOP) == ddl.digest(same)
    fact = SHOP.facts["fact_order"]
    changed = replace(fact, columns=(*fact.columns[:-1], replace(fact.columns[-1], description="another")))
    assert ddl.digest(replace(SHOP, facts={**SHOP.facts, "fact_order": changed})) != ddl.digest(SHOP)


def test_dimensions_come_before_the_facts_that_point_at_them() -> None:
    created = [text.split('"')[3] for text in ddl.statements(SHOP) if text.startswith("CREATE TABLE")]
    assert created == [str(SHOP.date_dimension), *SHOP.dimensions, *SHOP.facts]


def test_keys_and_checks_of_a_fact() -> None:
    (text,) = [text for text in ddl.statements(SHOP) if 'EXISTS "shop"."fact_order" (' in text]
    for part in (
        '"order_record_id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY',
        'UNIQUE ("order_id", "version")',
        'CHECK ("valid_from" < "valid_to")',
        'FOREIGN KEY ("customer_id") REFERENCES "shop"."dim_customer" ("customer_id")',
        'FOREIGN KEY ("created_date") REFERENCES "shop"."dim_date" ("date_id")',
        'FOREIGN KEY ("due_date") REFERENCES "shop"."dim_date" ("date_id")',
        '"amount" numeric(10,2) NOT NULL',
        '"created_time" time NOT NULL',
    ):
        assert part in text
    assert text.count("FOREIGN KEY") == 3


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_a_description_cannot_leave_its_comment(words: str) -> None:
    dimension = replace(SHOP.dimensions["dim_customer"], description=words)
    model = replace(SHOP, dimensions={"dim_customer": dimension}, facts={})
    (text,) = [text for text in ddl.statements(model) if text.startswith('COMMENT ON TABLE "shop"."dim_customer"')]
    literal = text.split(" IS ", 1)[1]
    body = literal.removeprefix("E")[1:-1]
    assert "'" not in body.replace("''", "")
    assert body.replace("''", "'").replace("\\\\", "\\" if literal.startswith("E") else "\\\\") == words


@pytest.mark.parametrize(
    ("kind", "staged"),
    [
        ("integer", "integer"),
        ("smallint", "integer"),
        ("bigint", "bigint"),
        ("numeric(10,2)", "numeric"),
        ("varchar(3)", "text"),
        ("time", "text"),
        ("date", "date"),
        ("boolean", "boolean"),
        ("timestamp", "timestamp"),
        ("timestamptz", "timestamptz"),
        ("real", "real"),
        ("double precision", "double precision"),
    ],
)
def test_staging_takes_what_arrow_brings(kind: str, staged: str) -> None:
    assert ddl.stage_type(PgType.parse(kind)) == staged


@pytest.mark.parametrize(("text", "there"), [("bpchar", "bpchar"), ("char", "bpchar"), ("char(3)", "char(3)")])
def test_a_char_without_a_length_has_no_end(text: str, there: str) -> None:
    assert ddl.column_type(star_type(text, "here")) == there
    assert PgType.parse(there) == PgType.parse(text), "what the warehouse says of it is what the model says"


def test_a_key_stays_not_null_whatever_the_model_says() -> None:
    column = Column(name="id", type=PgType("integer"), nullable=True, description="x")
    assert ddl.evolution("t", "id", (column,), {"id": (PgType("integer"), True)}) == []
    assert ddl.evolution("t", "other", (column,), {"id": (PgType("integer"), True)}) == [
        'ALTER TABLE t ALTER COLUMN "id" DROP NOT NULL'
    ]


def test_references_that_the_model_gave_up() -> None:
    """Found foreign keys (name, column, target): the one that the model has stays."""
    fact = SHOP.facts["fact_order"]
    kept = [(f"kept {column.name}", column.name, str(column.references)) for column in fact.references]
    assert ddl.dropped_references(fact, kept) == []
    other = [("other target", kept[0][1], "dim_other"), ("no reference", fact.key[0], kept[0][2])]
    assert ddl.dropped_references(fact, kept + other) == ["other target", "no reference"]


def test_columns_that_rows_lack_though_they_are_declared_not_null() -> None:
    """Counted NULLs per column; a column that is not there at all lacks every value, and a key is never NULL."""
    fact = SHOP.facts["fact_order"]
    strict = [column.name for column in fact.columns if not column.nullable]
    assert fact.key[0] in strict
    assert ddl.lacking(fact, dict.fromkeys(strict, 0)) == []
    assert ddl.lacking(fact, {}) == [name for name in strict if name not in fact.key]
    assert ddl.lacking(fact, {**dict.fromkeys(strict, 0), strict[-1]: 2, fact.key[0]: 1}) == [strict[-1]]
    loose = replace(fact, columns=tuple(replace(column, nullable=True) for column in fact.columns))
    assert ddl.lacking(loose, {}) == []
