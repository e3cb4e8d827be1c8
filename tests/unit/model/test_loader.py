"""Where a model may lie, and every way in which a model file can be wrong."""

from __future__ import annotations

import io
import re
import shutil
import zipfile
from pathlib import Path
from typing import Final

import pytest
from tidemark.base import storage
from tidemark.base.errors import ModelError
from tidemark.model.definition import Model
from tidemark.model.loader import load_model

from tests.shop import SHOP_MODEL

SHOP = SHOP_MODEL


@pytest.fixture(scope="module")
def shop() -> Model:
    return load_model(str(SHOP))


def test_s3_and_a_folder_give_the_same_model(shop: Model, aws: None) -> None:
    for file in SHOP.iterdir():
        storage.put(f"s3://lake/models/a/{file.name}", file.read_bytes())
    assert load_model("s3://lake/models/a/") == shop
    with pytest.raises(ModelError, match=r"^s3://lake/models/b/source\.yml does not exist; expected: "):
        load_model("s3://lake/models/b")


def zipped(folder: Path, *, without: str = "") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for file in folder.iterdir():
            if file.name != without:
                archive.write(file, file.name)
    return content.getvalue()


def test_a_zipped_folder_on_s3_gives_the_same_model(shop: Model, aws: None) -> None:
    """The CDK brings a folder as one object, named by its content."""
    storage.put("s3://lake/models/0123abcd.zip", zipped(SHOP))
    found = load_model("s3://lake/models/0123abcd.zip")
    assert found == shop
    assert found.digest == shop.digest


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"s3://lake/models/bad\.zip does not exist; expected: a zipped model folder; to do: deploy again"),
        (b"name: shop", r"s3://lake/models/bad\.zip is not a zip archive; expected: a zipped model folder"),
        (zipped(SHOP, without="star.yml"), r"s3://lake/models/bad\.zip/star\.yml does not exist; expected: "),
        (zipped(SHOP, without="dim_customer.sql"), r"s3://lake/models/bad\.zip/dim_customer\.sql does not exist"),
    ],
)
def test_a_zip_that_is_no_model_is_named(aws: None, content: bytes | None, message: str) -> None:
    storage.delete("s3://lake/models/bad.zip")
    if content is not None:
        storage.put("s3://lake/models/bad.zip", content)
    with pytest.raises(ModelError, match=f"^{message}"):
        load_model("s3://lake/models/bad.zip")


def test_a_deployment_may_name_the_lake_databases(shop: Model) -> None:
    staged = load_model(str(SHOP), "shop_dev")
    assert (staged.source_database, staged.star_database) == ("shop_dev_source", "shop_dev_star")
    assert (staged.name, staged.digest) == (shop.name, shop.digest), "the warehouse's schema keeps its name"


SOURCE: Final = """\
name: shop
description: A shop
tables:
  item:
    description: Things
    key: [item_id]
    columns:
      item_id: {type: bigint, nullable: false, description: Key}
      name: {type: text, description: Name}
      sold_at: {type: timestamp(3), description: When}
  sale:
    description: Sales
    schema: other
    relation: sales
    key: [sale_id]
    incremental: full
    columns:
      sale_id: {type: integer, nullable: false, description: Key}
      item_id: {type: integer, nullable: false, description: Thing}
      day: {type: text, description: Day}
      changed: {type: timestamptz, description: Last change}
"""
STAR: Final = """\
date_dimension: dim_date
dimensions:
  dim_item:
    description: Things
    key: item_id
    from: item
    columns:
      item_id: {type: bigint, nullable: false, description: Key}
      name: {type: varchar(20), description: Name}
facts:
  fact_sale:
    description: Sales
    surrogate_key: sale_record_id
    key: sale_id
    from: sale
    partition_by: day
    columns:
      sale_id: {type: integer, nullable: false, description: Key}
      item_id: {type: integer, nullable: false, references: dim_item, description: Thing}
      day: {type: date, references: dim_date, description: Day}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "model"
    target.mkdir()
    (target / "source.yml").write_text(SOURCE)
    (target / "star.yml").write_text(STAR)
    (target / "dim_item.sql").write_text("SELECT item_id, name FROM item;\n")
    (target / "fact_sale.sql").write_text("SELECT sale_id, item_id, day FROM sale")
    return target


def test_defaults_and_overrides(folder: Path) -> None:
    model = load_model(f"{folder}/")
    item, sale = model.tables["item"], model.tables["sale"]
    assert (item.schema, item.relation, item.strategy, item.shrink_guard) == ("public", "item", "snapshot", 0.1)
    assert (sale.schema, sale.relation, sale.strategy) == ("other", "sales", "full")
    assert item.column("name").nullable
    assert model.dimensions["dim_item"].sql == "SELECT item_id, name FROM item"
    assert model.facts["fact_sale"].inputs == ("sale",)
    assert model.facts["fact_sale"].from_key == ("sale_id",)


def test_the_digest_changes_with_every_file(folder: Path) -> None:
    digests = {load_model(str(folder)).digest}
    for file in sorted(folder.iterdir()):
        file.write_text(file.read_text().replace("item_id", "item_id "))
        digests.add(load_model(str(folder)).digest)
    assert len(digests) == 5
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    assert load_model(str(copy)).digest == load_model(str(folder)).digest


# File, what is replaced, by what, and the message's beginning after the folder.
TYPOS: Final = {
    "unknown entry at the top": (
        "source.yml",
        "name: shop",
        "nam: shop",
        "source.yml: name: Field required and 1 more",
    ),
    "unknown entry of a table": (
        "source.yml",
        "    incremental: full",
        "    incrementl: full",
        "source.yml: tables.sale.incrementl: unknown entry (found 'full')",
    ),
    "unknown entry of a column": (
        "source.yml",
        "name: {type: text, desc",
        "name: {tipe: text, type: text, desc",
        "source.yml: tables.item.columns.name.tipe: unknown entry (found 'text')",
    ),
    "unknown entry of a fact": (
        "star.yml",
        "    partition_by:",
        "    partition_bi:",
        "star.yml: facts.fact_sale.partition_bi: unknown entry (found 'day')",
    ),
    "unknown strategy": (
        "source.yml",
        "incremental: full",
        "incremental: fully",
        "source.yml: tables.sale.incremental: Input should be 'snapshot', 'full' or 'cursor' (found 'fully')",
    ),
    "no description": (
        "source.yml",
        "description: Name}",
        "description: ''}",
        "source.yml: tables.item.columns.name.description: String should have at least 1 character (found '')",
    ),
    "no type": (
        "star.yml",
        "name: {type: varchar(20), ",
        "name: {",
        "star.yml: dimensions.dim_item.columns.name.type: Field required",
    ),
    "nullable is no boolean": (
        "source.yml",
        "nullable: false, description: Thing",
        "nullable: never, description: Thing",
        "source.yml: tables.sale.columns.item_id.nullable: Input should be a valid boolean, unable to interpret input "
        "(found 'never')",
    ),
    "no columns": (
        "star.yml",
        STAR[STAR.index("    columns:\n      item_id: {type: bigint") : STAR.index("facts:")],
        "    columns: {}\n",
        "star.yml: dimensions.dim_item.columns: Dictionary should have at least 1 item",
    ),
    "guard beyond 1": (
        "source.yml",
        "    schema: other",
        "    shrink_guard: 10",
        "source.yml: tables.sale.shrink_guard: Input should be less than or equal to 1 (found 10)",
    ),
    "entry twice": ("source.yml", "  sale:\n", "  item:\n", "source.yml is not valid YAML: 'item' appears twice in "),
    "column twice": (
        "star.yml",
        "      day: {",
        "      sale_id: {",
        "star.yml is not valid YAML: 'sale_id' appears twice in ",
    ),
    "not YAML": ("source.yml", "tables:", "tables: [", "source.yml is not valid YAML: while parsing a flow "),
    "a list": ("star.yml", STAR, "- a\n- b\n", "star.yml: the file: Input should be a valid dictionary"),
    "NUL": ("star.yml", "Things", "Thi\0ngs", "star.yml is not valid YAML: "),
    "name of the model": (
        "source.yml",
        "name: shop",
        "name: My-Shop",
        "source.yml: name is 'My-Shop'; expected: lower",
    ),
    "key is no column": (
        "source.yml",
        "key: [item_id]",
        "key: [itm_id]",
        "source.yml: item: key column 'itm_id' is not among its columns; expected: item_id, name, sold_at",
    ),
    "cursor without column": (
        "source.yml",
        "incremental: full",
        "incremental: cursor",
        "source.yml: sale: incremental: cursor without cursor",
    ),
    "cursor is no column": (
        "source.yml",
        "incremental: full",
        "incremental: cursor\n    cursor: chnged",
        "source.yml: sale: cursor 'chnged' is not among its columns; expected: ",
    ),
    "star type misspelt": (
        "star.yml",
        "type: varchar(20)",
        "type: varchr(20)",
        "star.yml: dim_item.name: type 'varchr(20)' cannot be held by a star; expected: one of ",
    ),
    "numeric without precision": (
        "star.yml",
        "type: varchar(20)",
        "type: numeric",
        "star.yml: dim_item.name: type 'numeric' cannot be held by a star; expected: one of ",
    ),
    "unknown driver": (
        "star.yml",
        "from: item",
        "from: items",
        "star.yml: dim_item: 'items' is not a table of source.yml; expected: item, sale",
    ),
    "unknown join": (
        "star.yml",
        "    from: item",
        "    from: item\n    joins: [sales]",
        "star.yml: dim_item: 'sales' is not a table of source.yml; expected: item, sale",
    ),
    "key is no star column": (
        "star.yml",
        "    key: sale_id",
        "    key: sal_id",
        "star.yml: fact_sale: key 'sal_id' is not among its columns; expected: sale_id, item_id, day",
    ),
    "driver key is not the key": (
        "star.yml",
        "    from: item",
        "    from: item\n    from_key: name",
        "star.yml: dim_item: from_key 'name' is not the key of item; expected: item_id",
    ),
    "unknown reference": (
        "star.yml",
        "references: dim_item",
        "references: dim_itm",
        "star.yml: fact_sale.item_id refers to 'dim_itm', which is not there; expected: dim_item",
    ),
    "reference of another type": (
        "star.yml",
        "{type: integer, nullable: false, references",
        "{type: text, nullable: false, references",
        "star.yml: fact_sale.item_id is text; expected: bigint, as dim_item.item_id",
    ),
    "reference of a wider type": (
        "star.yml",
        "item_id: {type: integer, nullable: false, references",
        "item_id: {type: numeric(5), nullable: false, references",
        "star.yml: fact_sale.item_id is numeric(5); expected: bigint, as dim_item.item_id",
    ),
    "reference to a narrower type": (
        "star.yml",
        "item_id: {type: bigint, nullable: false, description: Key",
        "item_id: {type: smallint, nullable: false, description: Key",
        "star.yml: fact_sale.item_id is integer; expected: smallint, as dim_item.item_id",
    ),
    "a length of a type that has none": (
        "star.yml",
        "type: varchar(20)",
        "type: text(20)",
        "star.yml: dim_item.name: type 'text(20)' cannot be held by a star; expected: text alone",
    ),
    "date reference that is not a date": (
        "star.yml",
        "day: {type: date",
        "day: {type: text",
        "star.yml: fact_sale.day refers to dim_date, but is text; expected: date",
    ),
    "partition is no column": (
        "star.yml",
        "partition_by: day",
        "partition_by: dy",
        "star.yml: fact_sale: partition_by 'dy' is not among its columns; expected: sale_id, item_id, day",
    ),
    "partition is not a date": (
        "star.yml",
        "partition_by: day",
        "partition_by: item_id",
        "star.yml: fact_sale: partition_by 'item_id' is integer; expected: a date or a timestamp",
    ),
    "a table of Tidemark's own": (
        "star.yml",
        "  fact_sale:",
        "  quarantine:",
        "star.yml: quarantine: the name is taken; expected: a name that no other star table has",
    ),
    "a calendar called as a dimension": (
        "star.yml",
        "date_dimension: dim_date",
        "date_dimension: dim_item",
        "star.yml: dim_item: the name is taken; expected: a name that no other star table has",
    ),
    "record id of Tidemark's own": (
        "star.yml",
        "surrogate_key: sale_record_id",
        "surrogate_key: version",
        "star.yml: fact_sale: surrogate_key 'version'; expected: another name",
    ),
    "composite key of a driver that has one column": (
        "star.yml",
        "    key: sale_id",
        "    key: [sale_id, item_id]",
        "star.yml: fact_sale: from_key ['sale_id', 'item_id'] is not the key of sale; expected: sale_id",
    ),
    "record id is a column": (
        "star.yml",
        "surrogate_key: sale_record_id",
        "surrogate_key: day",
        "star.yml: fact_sale: surrogate_key 'day' is also a column",
    ),
    "a model called as the ledger's schema": (
        "source.yml",
        "name: shop",
        "name: etl",
        "source.yml: name is 'etl'; expected: ",
    ),
    "a table that the catalogue does not take": (
        "source.yml",
        "  item:\n",
        "  Item Lines:\n",
        "source.yml: Item Lines: a name that the lake's catalogue does not take; expected: lower-case letters",
    ),
    "a column of the mirrors' own": (
        "source.yml",
        "      name: {",
        "      _Old_name: {",
        "source.yml: item: column '_Old_name'; expected: another name",
    ),
    "a column of Tidemark's own": (
        "star.yml",
        "      name: {type: varchar",
        "      valid_from: {type: varchar",
        "star.yml: dim_item: column 'valid_from'; expected: ",
    ),
    "a column that PostgreSQL has in every table": (
        "star.yml",
        "      name: {type: varchar",
        "      xmin: {type: varchar",
        "star.yml: dim_item: column 'xmin'; expected: another name: every star table has this one",
    ),
    "a column called as the lake's partitions": (
        "star.yml",
        "      item_id: {type: integer",
        "      day_month: {type: integer, description: Month}\n      item_id: {type: integer",
        "star.yml: fact_sale: column 'day_month'; expected: another name: the lake's partitions by day have this one",
    ),
    "columns that only Spark takes for one": (
        "source.yml",
        "      name: {",
        "      \u0131tem_id: {type: text, description: A Turkish letter}\n      name: {",
        "source.yml: item: column 'item_id'; expected: names that differ in more than their case",
    ),
    "a column with a line end": (
        "source.yml",
        "      name: {",
        '      "a\\nb": {type: text, description: Two lines}\n      name: {',
        "source.yml: item: column 'a\\nb'; expected: a name without line ends and other control characters",
    ),
    "a column that Iceberg gives a meaning": (
        "source.yml",
        "      name: {",
        "      _Row_Id: {type: text, description: Row}\n      name: {",
        "source.yml: item: column '_Row_Id'; expected: another name",
    ),
    "a table called as another's primary key": (
        "star.yml",
        "  fact_sale:",
        "  dim_item_pkey:",
        "star.yml: dim_item_pkey: the name is taken; expected: ",
    ),
    "a calendar called as a fact's sequence": (
        "star.yml",
        "date_dimension: dim_date",
        "date_dimension: fact_sale_sale_record_id_seq",
        "star.yml: fact_sale_sale_record_id_seq: the name is taken; expected: ",
    ),
    "a calendar called as a fact's unique index": (
        "star.yml",
        "date_dimension: dim_date",
        "date_dimension: fact_sale_sale_id_version_key",
        "star.yml: fact_sale_sale_id_version_key: the name is taken; expected: ",
    ),
    "a model called as a schema that is there": (
        "source.yml",
        "name: shop",
        "name: public",
        "source.yml: name is 'public'; expected: ",
    ),
    "name of a star table": ("star.yml", "  dim_item:", "  Dim_Item:", "star.yml: Dim_Item: not a table name"),
}


@pytest.mark.parametrize("case", TYPOS)
def test_a_typo_is_named_with_file_table_and_column(folder: Path, case: str) -> None:
    file, old, new, message = TYPOS[case]
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    with pytest.raises(ModelError) as failed:
        load_model(str(folder))
    assert str(failed.value).startswith(f"{folder}/{message}")
    assert "; to do: " in str(failed.value)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("file", ["source.yml", "star.yml", "dim_item.sql", "fact_sale.sql"])
def test_a_missing_file_is_named(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(ModelError, match=rf"^{re.escape(str(folder))}/{file} does not exist; expected: .*; to do: add"):
        load_model(str(folder))


@pytest.mark.parametrize("file", ["source.yml", "star.yml", "dim_item.sql"])
def test_a_file_that_is_not_utf8_is_named(folder: Path, file: str) -> None:
    (folder / file).write_bytes((folder / file).read_bytes() + b"# caf\xe9\n")
    with pytest.raises(ModelError, match=rf"^{re.escape(str(folder))}/{file} is not UTF-8 text; to do: "):
        load_model(str(folder))


def test_an_empty_file_is_named(folder: Path) -> None:
    (folder / "source.yml").write_text("")
    with pytest.raises(ModelError, match=r"source\.yml: name: Field required"):
        load_model(str(folder))


def test_yaml_cannot_make_objects(folder: Path) -> None:
    text = (folder / "source.yml").read_text()
    (folder / "source.yml").write_text(text.replace("A shop", "!!python/object/apply:os.getpid []"))
    with pytest.raises(ModelError, match=r"source\.yml is not valid YAML: could not determine a constructor"):
        load_model(str(folder))
