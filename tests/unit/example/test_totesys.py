"""The shipped model, against what it promises to publish and against the database that it reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from tidemark.model.added_columns import DATE_COLUMNS
from tidemark.model.definition import Column, Model
from tidemark.model.loader import load_model
from tidemark.model.types import PgType
from tidemark.operations import data_dictionary

from local_stack.postgres.server import Credentials
from local_stack.simulator.day import create_schema

ROOT = Path(__file__).resolve().parents[3]
TOTESYS, DICTIONARY = ROOT / "model" / "totesys", ROOT / "docs" / "data-dictionary.md"
NewDatabase = Callable[..., Credentials]

# Published names, order, types and nullability (a ? where NULL is allowed), written down from the star's description.
STARS: Final = {
    "dim_staff": "staff_id int, first_name varchar, last_name varchar, department_name varchar, location varchar?, "
    "email_address varchar",
    "dim_location": "location_id int, address_line_1 varchar, address_line_2 varchar?, district varchar?, city varchar, "
    "postal_code varchar, country varchar, phone varchar",
    "dim_currency": "currency_id int, currency_code varchar, currency_name varchar",
    "dim_design": "design_id int, design_name varchar, file_location varchar, file_name varchar",
    "dim_counterparty": "counterparty_id int, counterparty_legal_name varchar, "
    "counterparty_legal_address_line_1 varchar, counterparty_legal_address_line_2 varchar?, "
    "counterparty_legal_district varchar?, counterparty_legal_city varchar, counterparty_legal_postal_code varchar, "
    "counterparty_legal_country varchar, counterparty_legal_phone_number varchar",
    "dim_transaction": "transaction_id int, transaction_type varchar, sales_order_id int?, purchase_order_id int?",
    "dim_payment_type": "payment_type_id int, payment_type_name varchar",
    "fact_sales_order": "sales_order_id int, created_date date, created_time time, last_updated_date date, "
    "last_updated_time time, sales_staff_id int, counterparty_id int, units_sold int, unit_price numeric(10,2), "
    "currency_id int, design_id int, agreed_payment_date date, agreed_delivery_date date, "
    "agreed_delivery_location_id int",
    "fact_purchase_order": "purchase_order_id int, created_date date, created_time time, last_updated_date date, "
    "last_updated_time time, staff_id int, counterparty_id int, item_code varchar, item_quantity int, "
    "item_unit_price numeric(10,2), currency_id int, agreed_delivery_date date, agreed_payment_date date, "
    "agreed_delivery_location_id int",
    "fact_payment": "payment_id int, created_date date, created_time time, last_updated_date date, "
    "last_updated_time time, transaction_id int, counterparty_id int, payment_amount numeric(10,2), currency_id int, "
    "payment_type_id int, paid boolean, payment_date date",
}
DATES: Final = (
    "date_id date, year int, month int, day int, day_of_week int, day_name varchar, month_name varchar, quarter int"
)
RECORD_IDS: Final = {
    "fact_sales_order": "sales_record_id",
    "fact_purchase_order": "purchase_record_id",
    "fact_payment": "payment_record_id",
}
REFERENCES: Final = {
    "sales_staff_id": "dim_staff",
    "staff_id": "dim_staff",
    "counterparty_id": "dim_counterparty",
    "currency_id": "dim_currency",
    "design_id": "dim_design",
    "agreed_delivery_location_id": "dim_location",
    "transaction_id": "dim_transaction",
    "payment_type_id": "dim_payment_type",
}


@pytest.fixture(scope="module")
def totesys() -> Model:
    return load_model(str(TOTESYS))


def described(columns: tuple[Column, ...]) -> list[tuple[str, PgType, bool]]:
    return [(column.name, column.type, column.nullable) for column in columns]


def published(text: str) -> list[tuple[str, PgType, bool]]:
    pairs = [part.split(" ", 1) for part in text.split(", ")]
    return [(name, PgType.parse(kind.removesuffix("?")), kind.endswith("?")) for name, kind in pairs]


@pytest.mark.parametrize("name", STARS)
def test_star_tables_have_the_published_columns(totesys: Model, name: str) -> None:
    table = {**totesys.dimensions, **totesys.facts}[name]
    assert described(table.columns) == published(STARS[name])
    assert table.key == (table.columns[0].name,)


def test_there_are_no_other_star_tables(totesys: Model) -> None:
    assert {table.name for table in totesys.star_tables} == set(STARS)
    assert totesys.date_dimension == "dim_date"
    assert described(DATE_COLUMNS) == published(DATES)
    assert {name: fact.surrogate_key for name, fact in totesys.facts.items()} == RECORD_IDS
    assert (totesys.source_database, totesys.star_database) == ("totesys_source", "totesys_star")


def test_every_id_and_date_of_a_fact_points_at_its_dimension(totesys: Model) -> None:
    for fact in totesys.facts.values():
        for column in fact.columns[1:]:
            expected = "dim_date" if column.name.endswith("_date") else REFERENCES.get(column.name)
            assert column.references == expected, f"{fact.name}.{column.name}"
        assert fact.partition_by == "created_date"
        assert "last_updated AS _updated_at" in fact.sql


def test_source_tables_are_the_databases_own(totesys: Model, new_database: NewDatabase) -> None:
    """Names, physical order, nullability and key of all eleven, as PostgreSQL's catalog has them."""
    with new_database().connect() as connection:
        create_schema(connection)
        found = connection.execute(
            "SELECT c.relname, array_agg(a.attname::text ORDER BY attnum), array_agg(NOT attnotnull ORDER BY attnum),"
            " array_agg(format_type(atttypid, atttypmod) ORDER BY attnum) FROM pg_class c JOIN pg_attribute a"
            " ON attrelid = c.oid AND attnum > 0 WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace GROUP BY 1"
        ).fetchall()
    assert {row[0] for row in found} == set(totesys.tables)
    for name, columns, nullable, types in found:
        table = totesys.tables[name]
        assert [column.name for column in table.columns] == columns
        assert [column.nullable for column in table.columns] == nullable
        assert table.key == (f"{name}_id",)
        assert table.integer_key == f"{name}_id"
        for column, kind in zip(table.columns, types, strict=True):
            assert column.type == (PgType("text") if '"' in kind else PgType.parse(kind)), f"{name}.{column.name}"


def test_everything_is_described(totesys: Model) -> None:
    tables = [*totesys.tables.values(), *totesys.star_tables]
    for table in tables:
        assert len(table.description) > 5
        assert all(column.description for column in table.columns)


def test_the_committed_dictionary_is_up_to_date(totesys: Model) -> None:
    assert DICTIONARY.read_text(encoding="utf-8") == data_dictionary.markdown(totesys), (
        "run: tidemark model dictionary model/totesys --output docs/data-dictionary.md"
    )
