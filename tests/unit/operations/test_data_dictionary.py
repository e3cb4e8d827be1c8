"""The data dictionary: a page of any model is whole and well formed, and an old one is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tidemark.model.loader import load_model
from tidemark.operations import data_dictionary
from typer.testing import CliRunner

from tests.shop import SHOP_MODEL
from tidemark_cli.main import app

SHOP = SHOP_MODEL


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["model", "dictionary", *map(str, arguments)])


def test_everything_of_the_model_is_on_the_page() -> None:
    model = load_model(str(SHOP))
    page = data_dictionary.markdown(model)
    assert run(SHOP).output == page
    headings = {line.removeprefix("### ") for line in page.splitlines() if line.startswith("### ")}
    assert {*model.tables, *model.dimensions, *model.facts, str(model.date_dimension)} <= headings
    for table in (*model.tables.values(), *model.star_tables):
        for column in table.columns:
            assert f"| `{column.name}` | {column.type} | {'yes' if column.nullable else 'no'} |" in page


def test_a_bar_in_a_description_stays_in_its_cell(tmp_path: Path) -> None:
    for file in SHOP.iterdir():
        text = file.read_text(encoding="utf-8")
        (tmp_path / file.name).write_text(text.replace("description: Amount", "description: This | that"))
    page = data_dictionary.markdown(load_model(str(tmp_path)))
    assert r"| numeric(10,2) | no | This \| that |" in page


def test_an_old_page_is_told(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    result = run(SHOP, "--output", page, "--check")
    assert result.exit_code == 1
    assert "is not what" in result.stderr
    assert not page.exists()
    assert run(SHOP, "--output", page).exit_code == 0
    assert run(SHOP, "--output", page, "--check").exit_code == 0


def test_a_model_with_a_typo_is_named(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.exit_code == 1
    assert "source.yml does not exist" in result.stderr
