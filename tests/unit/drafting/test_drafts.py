"""Drafting a model without a database: names, texts, types and keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tidemark.drafting import names
from tidemark.drafting.catalog import Database, FoundColumn, Reference, Relation
from tidemark.drafting.references import star_type
from tidemark.drafting.source import SourceDraft, column_type, draft_source
from tidemark.drafting.star import StarDraft, draft_star


def column(name: str, kind: str = "integer", **changes: Any) -> FoundColumn:
    facts: dict[str, Any] = {
        "not_null": False,
        "comment": "",
        "builtin": True,
        "is_text": kind in ("text", "uuid"),
        "time_zone": "UTC",
    }
    return FoundColumn(name=name, type=kind, **(facts | changes))


def relation(oid: int, name: str, *columns: FoundColumn, **changes: Any) -> Relation:
    plain = Relation(
        oid=oid, schema="public", name=name, kind="r", comment="", readable=True, rows=None, populated=True,
        of_extension=False, has_children=False, has_foreign_parts=False, row_security=False,
        columns=columns or (column("id", not_null=True),), primary_key=("id",), uniques=(), references=(),
    )  # fmt: skip
    return replace(plain, **changes)


def draft(*relations: Relation, holds_null: bool = False) -> SourceDraft:
    database = Database(name="shop", comment="", version=170_000, schemas=("public",), relations=relations)
    return draft_source(database, "shop", "reader", lambda *_: holds_null)


def star(*relations: Relation) -> StarDraft:
    return draft_star(draft(*relations).tables, {})


class TestNames:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("orders", "orders"),
            ("OrderLine", "order_line"),
            ("HTTPLog", "httplog"),
            ("order details", "order_details"),
            ("Straße 1", "strasse_1"),
            ("café", "cafe"),
            ("注文", "table"),
            ("--", "table"),
            ("2020", "2020"),
            ("_raw", "_raw"),
        ],
    )
    def test_slug(self, text: str, expected: str) -> None:
        assert names.slug(text, "table") == expected

    def test_unique_names_stay_within_the_limit(self) -> None:
        assert names.unique("a", []) == "a"
        assert names.unique("a", ["a", "a_2"]) == "a_3"
        assert names.unique("a" * 60, ["a" * 55], 55) == "a" * 53 + "_2"

    @pytest.mark.parametrize(
        ("text", "expected"),
        [("version", "source_version"), ("last", "source_last"), ("_id", "id"), ("2nd", "c_2nd"), ("注", "column_7"), ("xmin", "source_xmin"),
         ("_", "column_7"), ("Total", "total")],
    )  # fmt: skip
    def test_star_columns(self, text: str, expected: str) -> None:
        assert names.star_column(text, 7, []) == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [("shop", "shop"), ("My-Shop", "my_shop"), ("etl", "my_etl"), ("pg_stats", "my_pg_stats"), ("public", "my_public"), ("9_lives", "lives"),
         ("注文", "source"), ("_", "source"), ("x" * 60, "x" * 41)],
    )  # fmt: skip
    def test_model_names(self, text: str, expected: str) -> None:
        assert names.model_name(text) == expected
        assert names.model_name(expected) == expected

    def test_texts_are_one_printable_line(self) -> None:
        assert names.one_line(" a\r\n b\x01c\u2028d ") == "a b c d"
        assert len(names.one_line("x" * 999)) == 250
        assert names.shown("My\nSchema", 'a"b') == '"My\\nSchema"."a""b"'
        assert names.in_words("firstName_of") == "First Name of"


class TestSource:
    @pytest.mark.parametrize(
        ("kind", "builtin", "expected"),
        [
            ("timestamp(3) without time zone", True, "timestamp(3)"),
            ("character varying(9)", True, "varchar(9)"),
            ("bpchar", True, "bpchar"),
            ("numeric(5,-2)", True, "numeric(5,-2)"),
            ("public.mood", False, "text"),
        ],
    )
    def test_types(self, kind: str, builtin: bool, expected: str) -> None:
        assert column_type(column("x", kind, builtin=builtin)) == expected

    def test_the_shortest_unique_index_without_null_is_the_key(self) -> None:
        columns = (column("a", not_null=True), column("b", not_null=True), column("c"))
        table = relation(1, "t", *columns, primary_key=(), uniques=(("c",), ("b",), ("a", "b")))
        assert draft(table).tables[0].key == ("b",)
        assert draft(replace(table, uniques=(("c",),))).left_out[0].why.startswith("has no primary key")

    def test_a_materialized_views_unique_index_counts_if_it_holds_no_null(self) -> None:
        view = relation(1, "m", column("a"), kind="m", primary_key=(), uniques=(("a",),))
        assert (draft(view).tables[0].key, draft(view).tables[0].strategy) == (("a",), "full")
        (left,) = draft(view, holds_null=True).left_out
        assert left.why == "its unique column a holds NULL"
        assert left.draft is not None
        assert left.draft.key == ()

    def test_a_partitioned_table_over_foreign_tables_is_read_in_full(self) -> None:
        made = draft(relation(1, "p", kind="p", has_foreign_parts=True))
        assert made.tables[0].strategy == "full"
        assert "foreign tables" in made.notes[0]

    def test_tables_of_one_name_get_names_of_their_own(self) -> None:
        made = draft(relation(1, "T"), relation(2, "t"), relation(3, "t", schema="a"), relation(4, "t", schema="b c"))
        assert {table.relation.oid: table.name for table in made.tables} == {1: "t_2", 2: "t", 3: "a_t", 4: "b_c_t"}


class TestStar:
    def test_what_a_star_can_hold(self) -> None:
        held = {
            kind: star_type(column("x", kind)) for kind in ("integer", "uuid", "numeric", "jsonb", "bytea", "time(3)")
        }
        assert held == {
            "integer": "integer", "uuid": "varchar", "numeric": "numeric(38,10)", "jsonb": None, "bytea": None,
            "time(3)": "time(3)",
        }  # fmt: skip
        assert star_type(column("x", "timestamp", builtin=False)) is None

    def test_facts_refer_to_dimensions_and_nothing_refers_to_them(self) -> None:
        customer = relation(1, "customer")
        order = relation(2, "orders", column("id"), column("customer", comment="Who"), references=(Reference(("customer",), 1, ("id",)),))  # fmt: skip
        alone = relation(3, "alone", column("id"), column("parent"), references=(Reference(("parent",), 3, ("id",)),))
        made = star(customer, order, alone)
        assert [table.name for table in made.tables] == ["dim_customer", "fact_orders"]
        assert made.tables[1].entry()["columns"]["customer"] == {
            "type": "integer", "nullable": True, "references": "dim_customer", "description": "Who",
        }  # fmt: skip
        assert made.date_dimension == ""

    def test_a_reference_has_the_type_of_the_key_that_it_refers_to(self) -> None:
        order = relation(2, "orders", column("id"), column("customer", "bigint"), references=(Reference(("customer",), 1, ("id",)),))  # fmt: skip
        made = star(relation(1, "customer", column("id", "smallint")), order).tables[1]
        assert [(column.name, column.type) for column in made.columns] == [("id", "integer"), ("customer", "smallint")]

    def test_a_reference_of_another_family_is_a_plain_column(self) -> None:
        order = relation(2, "orders", column("id"), column("customer", "numeric(9,0)"), references=(Reference(("customer",), 1, ("id",)),))  # fmt: skip
        assert [table.name for table in star(relation(1, "customer"), order).tables] == ["dim_customer"]

    @pytest.mark.parametrize(
        ("name", "kind", "expected"),
        [
            ("createdAt", "timestamptz", ["id", "c", "created_date", "created_time"]),
            ("order_date", "date", ["id", "c", "order_date"]),
            ("orderdate", "timestamp", ["id", "c", "order_date", "order_time"]),
            ("created", "timestamp", ["id", "c", "created_date", "created_time"]),
            ("due_date", "date", ["id", "c", "due_date"]),
            ("created_at", "text", ["id", "c", "created_at"]),
        ],
    )
    def test_the_date_of_creation_partitions_a_fact(self, name: str, kind: str, expected: list[str]) -> None:
        order = relation(2, "orders", column("id"), column("c"), column(name, kind), references=(Reference(("c",), 1, ("id",)),))  # fmt: skip
        fact = star(relation(1, "customer"), order).tables[1]
        assert [c.name for c in fact.columns] == expected
        assert fact.partition_by == ("" if name in ("due_date", "created_at") else expected[2])

    def test_a_column_called_as_the_lakes_partitions_keeps_its_name(self) -> None:
        reference = (Reference(("c",), 1, ("id",)),)
        columns = (column("id"), column("c"), column("created_at", "date"), column("created_date_month"))
        fact = star(relation(1, "customer"), relation(2, "orders", *columns, references=reference)).tables[1]
        assert [c.name for c in fact.columns] == ["id", "c", "created_date_2", "created_date_month"]
        keyed = (column("day", "date"), column("c"), column("day_month"))
        parted = relation(2, "orders", *keyed, references=reference, primary_key=("day",))
        assert star(relation(1, "customer"), parted).tables[1].partition_by == ""
