"""What changes the text of a value without writing its row, and what a source can hide: both are seen or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tidemark.base.errors import ContractError

if TYPE_CHECKING:
    from tests.integration.conftest import Harness

pytestmark = pytest.mark.servers


def add_table(shop: Harness, definition: str, columns: dict[str, str], more: str = "") -> None:
    """Create table ``odd`` in the source and name it, with these columns, in the model."""
    shop.execute(f"CREATE TABLE odd ({definition})", "GRANT SELECT ON odd TO PUBLIC")
    listed = "".join(f"      {name}: {{type: '{kind}', description: x}}\n" for name, kind in columns.items())
    table = f"  odd:\n    description: Odd\n    key: [id]\n{more}    columns:\n{listed}"
    shop.edit("source.yml", "tables:\n", f"tables:\n{table}")


def values(shop: Harness) -> list[Any]:
    """Extract, expecting a full compare of the odd table; return its last column as it was landed."""
    manifest = shop.must_extract()
    assert (manifest.tables["odd"].mode, manifest.tables["odd"].why) == ("full", "its definition changed in the source")
    return [row[-1] for row in shop.landed(manifest, "odd")]


@pytest.mark.parametrize(
    ("types", "column", "value", "change", "before", "after"),
    [
        (
            "CREATE TYPE mood AS ENUM ('calm'); CREATE TYPE state AS (m mood, n int)",
            "state",
            "ROW('calm', 1)",
            "ALTER TYPE mood RENAME VALUE 'calm' TO 'quiet'",
            "(calm,1)",
            "(quiet,1)",
        ),
        (
            "CREATE TYPE mood AS ENUM ('calm'); CREATE DOMAIN moods AS mood[]; CREATE DOMAIN some_moods AS moods",
            "some_moods",
            "'{calm}'",
            "ALTER TYPE mood RENAME VALUE 'calm' TO 'quiet'",
            "{calm}",
            "{quiet}",
        ),
        (
            "CREATE TYPE mood AS ENUM ('calm', 'cross'); CREATE TYPE moods AS RANGE (subtype = mood)",
            "moods[]",
            "ARRAY[moods('calm', 'cross')]",
            "ALTER TYPE mood RENAME VALUE 'calm' TO 'quiet'",
            '{"[calm,cross)"}',
            '{"[quiet,cross)"}',
        ),
        (
            "CREATE TYPE mood AS ENUM ('calm', 'cross'); CREATE TYPE moods AS RANGE (subtype = mood, multirange_type_name = many)",
            "many",
            "many(moods('calm', 'cross'))",
            "ALTER TYPE mood RENAME VALUE 'calm' TO 'quiet'",
            "{[calm,cross)}",
            "{[quiet,cross)}",
        ),
        (
            "CREATE TYPE point2 AS (x int, y int)",
            "point2",
            "ROW(1, 2)",
            "ALTER TYPE point2 ADD ATTRIBUTE z int",
            "(1,2)",
            "(1,2,)",
        ),
    ],
    ids=["enum in a composite", "domains over an array", "array of a range", "multirange", "composite grows"],
)
def test_a_type_deep_inside_a_column_changes(
    shop: Harness, types: str, column: str, value: str, change: str, before: str, after: str
) -> None:
    if "multirange" in types and shop.server_version() < 14:
        pytest.skip("there are no multiranges before PostgreSQL 14")
    shop.execute(types)
    add_table(shop, f"id int PRIMARY KEY, v {column}", {"id": "integer", "v": "text"})
    shop.execute(f"INSERT INTO odd VALUES (1, {value})")
    assert [row[-1] for row in shop.landed(shop.must_extract(), "odd")] == [before]
    assert shop.extract() is None
    shop.execute(change)
    assert values(shop) == [after]
    assert shop.extract() is None


def test_a_virtual_column_gets_another_expression(shop: Harness) -> None:
    if shop.server_version() < 18:
        pytest.skip("there are no virtual columns before PostgreSQL 18")
    add_table(
        shop,
        "id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) VIRTUAL",
        {"id": "integer", "a": "integer", "twice": "integer"},
    )
    shop.execute("INSERT INTO odd (id, a) VALUES (1, 10)")
    assert shop.landed(shop.must_extract(), "odd") == [(1, 10, 20)]
    shop.execute("ALTER TABLE odd ALTER COLUMN twice SET EXPRESSION AS (a * 3)")
    assert values(shop) == [30]


def test_a_domain_over_a_domain_is_what_it_is_made_of(shop: Harness) -> None:
    shop.execute("CREATE DOMAIN amount AS numeric(12,3); CREATE DOMAIN price AS amount; CREATE DOMAIN cost AS price")
    add_table(shop, "id int PRIMARY KEY, v cost", {"id": "integer", "v": "numeric(12,3)"})
    shop.execute("INSERT INTO odd VALUES (1, 12.5)")
    manifest = shop.must_extract()
    assert manifest.tables["odd"].columns["v"] == "decimal(12,3)"
    assert [str(row[-1]) for row in shop.landed(manifest, "odd")] == ["12.500"]


class TestRowLevelSecurity:
    """A row that a policy shows again has an old xmin: no snapshot difference can see it."""

    def secured(self, shop: Harness, more: str = "") -> None:
        add_table(shop, "id int PRIMARY KEY, v text", {"id": "integer", "v": "text"}, more)
        shop.execute(
            "INSERT INTO odd VALUES (1, 'for all'), (2, 'for some')",
            "ALTER TABLE odd ENABLE ROW LEVEL SECURITY",
            "CREATE POLICY shown ON odd USING (id = 1)",
        )

    def test_it_is_refused_before_anything_lands(self, shop: Harness) -> None:
        self.secured(shop)
        with pytest.raises(ContractError, match=r"row-level security of public\.odd .*BYPASSRLS.*incremental: full"):
            shop.extract()
        assert not shop.objects()

    def test_the_strategy_full_moves_what_is_shown(self, shop: Harness) -> None:
        self.secured(shop, more="    incremental: full\n")
        shop.tick()
        assert [row["id"] for row in shop.lake("odd", source=True)] == [1]
        shop.execute("ALTER POLICY shown ON odd USING (true)")
        shop.tick()
        assert sorted(row["id"] for row in shop.lake("odd", source=True)) == [1, 2]
        shop.execute("ALTER POLICY shown ON odd USING (id = 2)")
        shop.tick(accept="odd")
        assert [row["id"] for row in shop.lake("odd", source=True)] == [2]


class TestKeysThatAreNone:
    """A key that no index of the source keeps is looked at whenever its table changed."""

    @pytest.fixture
    def odd(self, shop: Harness) -> Harness:
        add_table(shop, "id int, v text", {"id": "integer", "v": "text"})
        shop.execute("INSERT INTO odd VALUES (1, 'a'), (2, 'b')")
        return shop

    @pytest.mark.parametrize(
        ("fault", "said"),
        [
            ("INSERT INTO odd VALUES (2, 'twice')", r"id = 2: 2 rows"),
            ("INSERT INTO odd VALUES (NULL, 'none')", r"id = NULL: 1 rows"),
        ],
    )
    def test_it_stops_the_run_and_mending_goes_on(self, odd: Harness, fault: str, said: str) -> None:
        odd.tick()
        odd.execute(fault)
        with pytest.raises(ContractError, match=rf'key id of "public"\."odd" does not identify a row \({said}\)'):
            odd.extract()
        odd.execute("DELETE FROM odd WHERE v IN ('twice', 'none')", "UPDATE odd SET v = 'c' WHERE id = 1")
        odd.tick()
        assert sorted((row["id"], row["v"]) for row in odd.lake("odd", source=True)) == [(1, "c"), (2, "b")]

    def test_an_index_over_a_part_of_the_key_proves_nothing_of_the_rest(self, odd: Harness) -> None:
        odd.execute("ALTER TABLE odd ADD PRIMARY KEY (id)", "INSERT INTO odd VALUES (3, NULL)")
        odd.edit("source.yml", "description: Odd\n    key: [id]", "description: Odd\n    key: [id, v]")
        with pytest.raises(ContractError, match=r"does not identify a row \(id = 3, v = NULL: 1 rows\)"):
            odd.extract()

    @pytest.mark.parametrize(
        ("index", "asked"),
        [
            ("ALTER TABLE odd ADD PRIMARY KEY (id)", False),
            ("ALTER TABLE odd ALTER id SET NOT NULL, ADD UNIQUE (id) DEFERRABLE INITIALLY DEFERRED", False),
            ("CREATE UNIQUE INDEX ON odd (id)", True),
            ("ALTER TABLE odd ALTER id SET NOT NULL; CREATE UNIQUE INDEX ON odd (id) WHERE v <> ''", True),
            ("ALTER TABLE odd ALTER id SET NOT NULL, ALTER v SET NOT NULL, ADD UNIQUE (id, v)", True),
            ("ALTER TABLE odd ADD PRIMARY KEY (id); CREATE TABLE heir () INHERITS (odd)", True),
        ],
    )
    def test_only_what_an_index_does_not_prove_is_asked(
        self, odd: Harness, index: str, asked: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        questions: list[str] = []

        def ask(table: object) -> str:
            questions.append(str(table))
            return "SELECT 1 WHERE false"

        monkeypatch.setattr("tidemark.source.queries.repeated_key", ask)
        odd.execute(index)
        odd.must_extract()
        assert bool(questions) == asked
