"""Values that the source takes for equal and writes differently: as keys they are kept, as references refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from tidemark.base.errors import ContractError
from tidemark.source.equality import spellings, unlike

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg
    from tidemark.base.database_url import Credentials

    from tests.integration.conftest import Harness

pytestmark = pytest.mark.servers

TYPES: Final = """
CREATE EXTENSION IF NOT EXISTS citext;
DO $$ BEGIN
    CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
EXCEPTION WHEN feature_not_supported THEN  -- a build without ICU: its catalogue can say the same
    CREATE COLLATION ci FROM "C"; UPDATE pg_collation SET collisdeterministic = false WHERE collname = 'ci';
END $$;
CREATE COLLATION plain FROM "C";
CREATE DOMAIN mail AS citext; CREATE DOMAIN mails AS mail; CREATE DOMAIN code AS varchar(9) COLLATE ci;
CREATE TYPE mood AS ENUM ('calm', 'cross'); CREATE TYPE pair AS (a int, b text); CREATE TYPE loose AS (a int, b text COLLATE ci);
CREATE TYPE price AS RANGE (subtype = float8); CREATE TYPE words AS RANGE (subtype = text, collation = ci);
"""
# Type, and two literals that are equal in it and written differently.
SEVERAL: Final = [
    ("citext", "Ann", "ANN"),
    ("mail", "Ann", "ANN"),
    ("mails", "Ann", "ANN"),
    ("citext[]", "{Ann}", "{ANN}"),
    ("text COLLATE ci", "Ann", "ANN"),
    ("varchar(9) COLLATE ci", "Ann", "ANN"),
    ("char(5) COLLATE ci", "Ann", "ANN"),
    ("text[] COLLATE ci", "{Ann}", "{ANN}"),
    ("code", "Ann", "ANN"),
    ("loose", "(1,Ann)", "(1,ANN)"),
    ("loose[]", '{"(1,Ann)"}', '{"(1,ANN)"}'),
    ("words", "[Ann,B)", "[ANN,B)"),
    ("numeric", "1.0", "1.00"),
    ("numeric[]", "{1.0}", "{1.00}"),
    ("numrange", "[1.0,2]", "[1.00,2]"),
    ("nummultirange", "{[1.0,2]}", "{[1.00,2]}"),
    ("real", "0", "-0"),
    ("double precision", "0", "-0"),
    ("double precision[]", "{0}", "{-0}"),
    ("price", "[0,1]", "[-0,1]"),
    ("interval", "24:00", "1 day"),
    ("interval", "30 days", "1 mon"),
    ("jsonb", '{"a": 1}', '{"a": 1.0}'),
    ("bpchar[]", "{ab}", '{"ab "}'),
]
ONE: Final = [
    *("smallint", "integer", "bigint", "oid", "boolean", "text", "varchar(9)", "char(4)", "bpchar", "name", '"char"'),
    *("text COLLATE plain", 'text COLLATE "C"', "uuid", "bytea", "date", "timestamp", "timestamp(3)", "timestamptz"),
    *("time", "timetz", "inet", "cidr", "macaddr", "bit(5)", "varbit", "money", "pg_lsn", "numeric(10,2)", "numeric(60,30)"),
    *("mood", "mood[]", "pair", "pair[]", "integer[]", "int4range", "tstzrange", "int4multirange", "text[]"),
]  # fmt: skip


@pytest.fixture
def database(new_database: Callable[..., Credentials]) -> Iterator[psycopg.Connection[Any]]:
    with new_database("spelled").connect() as connection:
        connection.execute(TYPES.encode())
        yield connection


def found(database: psycopg.Connection[Any], *kinds: str) -> list[Any]:
    """How columns of some types are written."""
    columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate(kinds))
    database.execute(f"CREATE TABLE written ({columns})".encode())
    row = database.execute("SELECT 'written'::regclass::oid::bigint").fetchone()
    assert row is not None
    written = spellings(database, [row[0]])
    return [written[row[0], f"c{number}"] for number in range(len(kinds))]


def knows(database: psycopg.Connection[Any], kind: str) -> bool:
    """Whether the server has a type; there are no multiranges before 14."""
    return database.execute("SELECT to_regtype(%s)", [kind.partition(" COLLATE ")[0]]).fetchone() != (None,)


class TestTypes:
    def test_equal_values_of_several_spellings(self, database: psycopg.Connection[Any]) -> None:
        has_icu = (
            database.execute("SELECT FROM pg_collation WHERE collname = 'ci' AND collprovider = 'i'").fetchone()
            is not None
        )
        several = [known for known in SEVERAL if knows(database, known[0])]
        for (kind, one, other), spelling in zip(several, found(database, *(kind for kind, *_ in several)), strict=True):
            base, _, collation = kind.partition(" COLLATE ")
            value = f"%s::{base}" + (f" COLLATE {collation}" if collation else "")
            same = database.execute(f"SELECT {value} = {value}, %s::{base}::text COLLATE \"C\" = %s::{base}::text".encode(),
                                    (one, other, one, other)).fetchone()  # fmt: skip
            if has_icu or "collation ci" not in spelling.reason:
                assert same == (True, False), kind
            assert spelling.reason, kind
            assert unlike(spelling, spelling) == f"{spelling.type}: {spelling.reason}"

    def test_types_that_are_as_they_are_written(self, database: psycopg.Connection[Any]) -> None:
        ones = [kind for kind in ONE if knows(database, kind)]
        for kind, spelling in zip(ones, found(database, *ones), strict=True):
            assert not spelling.reason, kind
            assert not unlike(spelling, spelling)

    def test_pairs(self, database: psycopg.Connection[Any]) -> None:
        kinds = ("char(4)", "char(9)", "varchar(9)", "text", "citext", "integer", "bigint", "numeric(9,2)", "numeric(12,2)",
                 "numeric(9,3)", "name", "date", "timestamp", "inet", "cidr", "mood")  # fmt: skip
        by_kind = dict(zip(kinds, found(database, *kinds), strict=True))
        alike = {
            (here, there) for here in kinds for there in kinds if not unlike(by_kind[here], by_kind[there])
        } - {(kind, kind) for kind in kinds}  # fmt: skip
        texts = {"varchar(9)", "text", "name"}
        expected = {
            (here, there) for here in {*texts, "citext", "char(4)", "char(9)"} for there in texts if here != there
        }
        pairs = (("char(4)", "char(9)"), ("integer", "bigint"), ("numeric(9,2)", "numeric(12,2)"), ("inet", "cidr"))
        for one, other in pairs:
            expected |= {(one, other), (other, one)}
        assert alike == expected
        assert unlike(by_kind["text"], by_kind["char(4)"]) == (
            "text keeps blanks at the end, which do not count in character(4)"
        )


SOURCE: Final = """  account:
    description: Accounts
    key: [email]
    columns:
      email: {{type: {kind}, nullable: false, description: Who}}
      plan: {{type: text, nullable: false, description: Plan}}
  purchase:
    description: Purchases
    key: [id]
    columns:
      id: {{type: integer, nullable: false, description: Key}}
      email: {{type: {fed}, nullable: false, description: Who}}
"""
DIMENSION: Final = """  dim_account:
    description: Accounts
    key: email
    from: account
    columns:
      email: {{type: '{star}', nullable: false, description: Who}}
      plan: {{type: varchar, nullable: false, description: Plan}}
"""
FACT: Final = """  fact_purchase:
    description: Purchases
    surrogate_key: purchase_record_id
    key: id
    from: purchase
    columns:
      id: {{type: integer, nullable: false, description: Key}}
      email: {{type: '{star}', nullable: true, references: dim_account, description: Who}}
"""


def add_accounts(shop: Harness, kind: str, fed: str, *, star: str = "varchar", declared: str = "text") -> None:
    """Give the shop accounts whose key is of a type, and purchases that refer to them by another."""
    shop.execute(
        TYPES,
        f"CREATE TABLE account (email {kind} PRIMARY KEY, plan text NOT NULL)",
        f"CREATE TABLE purchase (id int PRIMARY KEY, email {fed} NOT NULL REFERENCES account)",
        "GRANT SELECT ON account, purchase TO PUBLIC",
    )
    shop.edit("source.yml", "tables:\n", "tables:\n" + SOURCE.format(kind=declared, fed=declared))
    shop.edit("star.yml", "dimensions:\n", "dimensions:\n" + DIMENSION.format(star=star))
    shop.edit("star.yml", "facts:\n", "facts:\n" + FACT.format(star=star))
    (shop.folder / "dim_account.sql").write_text("SELECT email, plan FROM account")
    (shop.folder / "fact_purchase.sql").write_text("SELECT id, email FROM purchase")


@pytest.mark.parametrize(
    ("kind", "fed", "star", "declared", "why"),
    [
        ("citext", "citext", "varchar", "text", "citext: the type says itself what is equal"),
        ("mails", "mail", "text", "text", "citext: the type says itself what is equal"),
        ("text COLLATE ci", "text COLLATE ci", "varchar", "text", "text: collation ci takes texts for equal that differ"),
        ("numeric", "numeric", "text", "text", "numeric: 1.0 and 1.00 are equal"),
        ("float8", "float8", "double precision", "double precision", "double precision: 0 and -0 are equal"),
        ("interval", "interval", "varchar", "interval", "interval: 24:00:00 and 1 day are equal"),
        ("char(4)", "varchar(9)", "varchar", "text",
         "character varying(9) keeps blanks at the end, which do not count in character(4)"),
        ("numeric(9,2)", "numeric(9,3)", "text", "text",
         "numeric(9,3) and numeric(9,2) write equal values differently"),
        ("timestamp", "date", "text", "text",
         "date and timestamp without time zone write equal values differently"),
    ],
)  # fmt: skip
def test_a_reference_by_hand_is_refused_before_anything_lands(
    shop: Harness, kind: str, fed: str, star: str, declared: str, why: str
) -> None:
    add_accounts(shop, kind, fed, star=star, declared=declared)
    with pytest.raises(ContractError) as caught:
        shop.extract()
    said = str(caught.value)
    assert "fact_purchase.email refers to dim_account by the text of public.account.email" in said
    assert why in said
    assert "join account in fact_purchase.sql and take account.email, or take references away" in said
    assert not any("data" in name for name in shop.objects())


@pytest.mark.parametrize(
    ("kind", "fed", "star", "declared", "sql"),
    [
        ("text", "citext", "varchar", "text", "SELECT id, email FROM purchase"),
        ("char(4)", "char(9)", "varchar", "text", "SELECT id, email FROM purchase"),
        ("varchar(9)", "char(4)", "varchar", "text", "SELECT id, email FROM purchase"),
        ("char(4)", "varchar(9)", "varchar", "text", "SELECT id, rtrim(email) AS email FROM purchase"),
        ("numeric", "numeric", "numeric(20,5)", "text", "SELECT id, email FROM purchase"),
    ],
)
def test_references_that_always_find_their_row_are_taken(
    shop: Harness, kind: str, fed: str, star: str, declared: str, sql: str
) -> None:
    add_accounts(shop, kind, fed, star=star, declared=declared)
    (shop.folder / "fact_purchase.sql").write_text(sql)
    assert shop.extract() is not None


def test_a_join_gives_a_reference_the_keys_spelling_and_follows_it(shop: Harness) -> None:
    add_accounts(shop, "citext", "citext")
    shop.edit("star.yml", "    from: purchase\n", "    from: purchase\n    joins: [account]\n")
    joined = "FROM purchase p LEFT JOIN account a ON lower(p.email) = lower(a.email)"
    (shop.folder / "fact_purchase.sql").write_text(f"SELECT p.id, p.email {joined}")
    with pytest.raises(ContractError, match=r"fact_purchase\.email refers to dim_account"):
        shop.extract()
    (shop.folder / "fact_purchase.sql").write_text(f"SELECT p.id, a.email {joined}")
    shop.execute(
        "INSERT INTO account VALUES ('Ann', 'gold'), ('bob', 'free')",
        "INSERT INTO purchase VALUES (1, 'ann'), (2, 'ANN'), (3, 'bob')",
    )
    shop.tick()
    name = shop.model.name
    plans = f"SELECT id, plan FROM {name}.fact_purchase_current JOIN {name}.dim_account USING (email) ORDER BY 1"
    members = f'SELECT email, is_inferred, is_deleted FROM {name}.dim_account ORDER BY email COLLATE "C"'
    assert shop.query(plans, shop.warehouse()) == [(1, "gold"), (2, "gold"), (3, "free")]
    assert shop.query(members, shop.warehouse()) == [("Ann", False, False), ("bob", False, False)]
    shop.execute("UPDATE account SET email = 'ANN' WHERE plan = 'gold'")  # the same key to the source
    shop.tick()
    assert shop.query(plans, shop.warehouse()) == [(1, "gold"), (2, "gold"), (3, "free")]
    assert shop.query(members, shop.warehouse()) == [
        ("ANN", False, False), ("Ann", False, True), ("bob", False, False),
    ]  # fmt: skip
    assert not shop.differences()


@pytest.mark.parametrize(
    ("kind", "declared", "before", "after"),
    [
        ("citext", "text", "Ann", "ANN"),
        ("interval", "interval", "24:00:00", "1 day"),
        ("numeric", "text", "1.0", "1.00"),
    ],
)
def test_a_key_that_is_only_spelled_anew_is_another_key(
    shop: Harness, kind: str, declared: str, before: str, after: str
) -> None:
    add_accounts(shop, kind, kind, declared=declared)
    shop.edit("star.yml", ", references: dim_account", "")
    (shop.folder / "fact_purchase.sql").write_text("SELECT id, email FROM purchase")
    shop.execute(f"INSERT INTO account VALUES ('{before}', 'gold')", "INSERT INTO account VALUES ('7', 'free')")
    shop.tick()
    shop.execute(f"UPDATE account SET email = '{after}' WHERE plan = 'gold'")
    shop.tick()
    rows = {row["email"]: row["is_deleted"] for row in shop.lake("dim_account") if row["plan"] == "gold"}
    assert rows == {before: True, after: False}
    assert {row["email"] for row in shop.lake("account", source=True) if row["plan"] == "gold"} == {after}
    assert shop.extract() is None
    assert not shop.differences()


def test_zero_and_minus_zero_are_one_key(shop: Harness) -> None:
    add_accounts(shop, "float8", "float8", star="double precision", declared="double precision")
    shop.edit("star.yml", ", references: dim_account", "")
    shop.execute("INSERT INTO account VALUES (0, 'gold'), (1, 'free')")
    shop.tick()
    shop.execute("UPDATE account SET email = '-0' WHERE email = 0")
    shop.tick()
    assert sorted((row["email"], row["is_deleted"]) for row in shop.lake("dim_account")) == [(0.0, False), (1.0, False)]
    assert not shop.differences()
