"""Types: reading, widening, and their forms on the way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidemark.base.errors import ModelError
from tidemark.model.types import STAR_TYPES, PgType, star_type

MICROSECONDS = (
    "(pg_catalog.date_part('epoch', pg_catalog.date_trunc('second', \"a`b\"))::bigint * 1000000"
    ' + pg_catalog.date_part(\'microseconds\', "a`b")::bigint % 1000000) AS "a`b"'
)
BASES = (
    *("smallint", "integer", "bigint", "real", "double precision", "boolean", "date", "bytea", "text", "uuid", "jsonb"),
    *("numeric", "varchar", "char", "time", "timetz", "timestamp", "timestamptz", "inet", "tsvector"),
)
types = st.builds(
    PgType, st.sampled_from(BASES), st.lists(st.integers(0, 1000), max_size=2).map(tuple)
) | st.sampled_from(
    [PgType('"PaymentTypeName"'), PgType("other.color"), PgType("integer[]"), PgType("numeric(10,2)[]")]
)


@given(types)
def test_a_type_reads_back_from_its_own_text(kind: PgType) -> None:
    assert PgType.parse(str(kind)) == kind


@given(types, types, types)
def test_widening_is_a_partial_order_within_a_family(one: PgType, two: PgType, three: PgType) -> None:
    assert one.fits_in(one)
    if one.fits_in(two):
        assert one.family == two.family
        if two.fits_in(three):
            assert one.fits_in(three)


@pytest.mark.parametrize(
    ("text", "base", "args"),
    [
        ("int4", "integer", ()),
        ("INTEGER", "integer", ()),
        ("Numeric(10, 2)", "numeric", (10, 2)),
        ("decimal(7)", "numeric", (7,)),
        ("character varying(3)", "varchar", (3,)),
        ("bpchar", "char", ()),
        ("character(2)", "char", (2,)),
        ("timestamp(3) without time zone", "timestamp", (3,)),
        ("timestamp without time zone", "timestamp", ()),
        ("timestamp(6) with time zone", "timestamptz", (6,)),
        ("time(3) without time zone", "time", (3,)),
        ("time with time zone", "timetz", ()),
        ('"PaymentTypeName"', '"PaymentTypeName"', ()),
        ("numeric(10,2)[]", "numeric(10,2)[]", ()),
        ("geometry(Point,4326)", "geometry(Point,4326)", ()),
        ("  bigint ", "bigint", ()),
    ],
)
def test_forms_that_postgresql_and_people_write(text: str, base: str, args: tuple[int, ...]) -> None:
    assert PgType.parse(text) == PgType(base, args)


@pytest.mark.parametrize(
    ("text", "family", "lake"),
    [
        ("smallint", "integer", "int"),
        ("integer", "integer", "int"),
        ("bigint", "integer", "bigint"),
        ("real", "float", "float"),
        ("double precision", "float", "double"),
        ("boolean", "boolean", "boolean"),
        ("date", "date", "date"),
        ("timestamp(3)", "timestamp", "timestamp_ntz"),
        ("timestamptz", "timestamptz", "timestamp"),
        ("bytea", "bytea", "binary"),
        ("numeric(10,2)", "numeric", "decimal(10,2)"),
        ("numeric(7)", "numeric", "decimal(7,0)"),
        ("numeric(38,38)", "numeric", "decimal(38,38)"),
        ("numeric", "numeric", "string"),
        ("numeric(39,2)", "numeric", "string"),
        ("numeric(5,-2)", "text", "string"),
        ("numeric(2,5)", "numeric", "string"),
        ("time", "text", "string"),
        ("uuid", "text", "string"),
        ("jsonb", "text", "string"),
        ("text[]", "text", "string"),
        ('"PaymentTypeName"', "text", "string"),
    ],
)
def test_family_and_lake_form(text: str, family: str, lake: str) -> None:
    assert (PgType.parse(text).family, PgType.parse(text).spark) == (family, lake)


@pytest.mark.parametrize(
    ("narrow", "wide", "fits"),
    [
        ("smallint", "integer", True),
        ("integer", "bigint", True),
        ("bigint", "integer", False),
        ("real", "double precision", True),
        ("double precision", "real", False),
        ("numeric(10,2)", "numeric(12,2)", True),
        ("numeric(12,2)", "numeric(10,2)", False),
        ("numeric(10,2)", "numeric(12,3)", False),
        ("numeric(10,2)", "numeric", True),
        ("numeric", "numeric(10,2)", False),
        ("numeric", "numeric", True),
        ("varchar(3)", "text", True),
        ("uuid", "text", True),
        ("timestamp", "timestamptz", False),
        ("timestamp(6)", "timestamp(3)", True),
        ("integer", "text", False),
        ("integer", "numeric", False),
        ("date", "timestamp", False),
    ],
)
def test_what_fits_in_what(narrow: str, wide: str, fits: bool) -> None:
    assert PgType.parse(narrow).fits_in(PgType.parse(wide)) is fits


@pytest.mark.parametrize(
    ("text", "reader", "landing"),
    [
        (
            "date",
            '("a`b" OPERATOR(pg_catalog.-) DATE \'1970-01-01\') AS "a`b"',
            "date_from_unix_date(`a``b`) AS `a``b`",
        ),
        (
            "timestamp(3)",
            MICROSECONDS,
            "CAST(timestamp_micros(`a``b`) AS timestamp_ntz) AS `a``b`",
        ),
        (
            "timestamptz",
            MICROSECONDS,
            "CAST(timestamp_micros(`a``b`) AS timestamp) AS `a``b`",
        ),
        ("uuid", '"a`b"::text AS "a`b"', "CAST(`a``b` AS string) AS `a``b`"),
        ("numeric(10,2)", '"a`b"', "CAST(`a``b` AS decimal(10,2)) AS `a``b`"),
    ],
)
def test_reader_and_landing_expressions(text: str, reader: str, landing: str) -> None:
    kind = PgType.parse(text)
    assert kind.reader_expression("a`b") == reader
    assert kind.landing_expression("a`b") == landing


REFERENCES = [
    ("smallint", "bigint", True),
    ("integer", "integer", True),
    ("bigint", "integer", False),
    ("integer", "numeric(10)", False),
    ("numeric(5)", "numeric(7,0)", True),
    ("numeric(7,2)", "numeric(5,2)", False),
    ("numeric(5,1)", "numeric(7,2)", False),
    ("varchar(3)", "varchar(3)", True),
    ("varchar(3)", "varchar(5)", True),
    ("varchar(5)", "varchar(3)", False),
    ("varchar", "varchar(3)", False),
    ("text", "varchar(3)", False),
    ("varchar(3)", "text", True),
    ("varchar", "text", True),
    ("text", "varchar", True),
    ("char(3)", "char(3)", True),
    ("char(3)", "char(5)", False),
    ("char(3)", "varchar(5)", False),
    ("varchar(3)", "char(3)", False),
    ("char(3)", "text", False),
    ("time", "time", True),
    ("time(3)", "time", False),
    ("time", "text", False),
    ("text", "time", False),
    ("real", "real", True),
    ("real", "double precision", False),
    ("timestamp", "timestamp", True),
    ("timestamp(3)", "timestamp(6)", False),
    ("timestamp", "timestamptz", False),
    ("date", "timestamp", False),
    ("date", "date", True),
    ("boolean", "boolean", True),
    ("boolean", "integer", False),
]


@pytest.mark.parametrize(("column", "key", "fits"), REFERENCES)
def test_what_a_fact_may_refer_to(column: str, key: str, fits: bool) -> None:
    assert PgType.parse(column).can_refer_to(PgType.parse(key)) is fits


star_types = st.sampled_from([kind for pair in REFERENCES for kind in pair[:2]]).map(PgType.parse)


@given(star_types, star_types, star_types)
def test_a_reference_loses_nothing_and_reads_the_same(one: PgType, two: PgType, three: PgType) -> None:
    assert one.can_refer_to(one)
    if one.can_refer_to(two):
        assert one.fits_in(two)
        assert (one.spark == two.spark) or one.family in ("integer", "numeric")
        if two.can_refer_to(three):
            assert one.can_refer_to(three)


@pytest.mark.parametrize("text", ["integer", "numeric(10,2)", "varchar(3)", "char(2)", "time", "timestamptz", "text"])
def test_types_a_star_can_hold(text: str) -> None:
    assert str(star_type(text, "here")) == text
    assert PgType.parse(text).base in STAR_TYPES


@pytest.mark.parametrize("text", ["numeric", "numeric(40,2)", "jsonb", "bytea", "integr", "text[]", "interval"])
def test_types_a_star_cannot_hold(text: str) -> None:
    with pytest.raises(
        ModelError, match=r"^star\.yml: t\.c: type .* cannot be held by a star; expected: one of bigint"
    ):
        star_type(text, "star.yml: t.c")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("text(50)", "text alone"),
        ("integer(3)", "integer alone"),
        ("int8(20)", "bigint alone"),
        ("boolean(1)", "boolean alone"),
        ("date(3)", "date alone"),
        ("double precision(3)", "double precision alone"),
        ("numeric(10,2,3)", "one of bigint"),
        ("numeric(0)", "one of bigint"),
        ("numeric(2,3)", "one of bigint"),
        ("numeric(1 0,2)", "one of bigint"),
        ("numeric(10,,2)", "one of bigint"),
        ("varchar(0)", "varchar(n), n from 1 to 10485760, or varchar alone"),
        ("varchar(10485761)", "varchar(n), n from 1 to 10485760, or varchar alone"),
        ("varchar(3,4)", "varchar(n), n from 1 to 10485760, or varchar alone"),
        ("character(0)", "char(n), n from 1 to 10485760, or char alone"),
        ("time(7)", "time(n), n from 0 to 6, or time alone"),
        ("timestamp(9)", "timestamp(n), n from 0 to 6, or timestamp alone"),
        ("timestamp(9) with time zone", "timestamptz(n), n from 0 to 6, or timestamptz alone"),
    ],
)
def test_arguments_that_postgresql_does_not_take(text: str, expected: str) -> None:
    with pytest.raises(ModelError) as failed:
        star_type(text, "star.yml: t.c")
    assert str(failed.value).startswith(f"star.yml: t.c: type {text!r} cannot be held by a star; expected: {expected}")
    assert str(failed.value).endswith("; to do: fix the type.")


@pytest.mark.parametrize(
    "text",
    ["timestamp(0)", "timestamptz(6)", "time(3)", "varchar(1)", "char(10485760)", "numeric(38,38)", "numeric(1)"],
)
def test_arguments_at_their_ends(text: str) -> None:
    assert str(star_type(text, "here")) == text


def test_only_whole_numbers_are_grouped_by_ranges() -> None:
    assert [
        text
        for text in ("smallint", "integer", "bigint", "text", "numeric(5)", "date")
        if PgType.parse(text).is_integer
    ] == [
        "smallint",
        "integer",
        "bigint",
    ]
