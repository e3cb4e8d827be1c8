"""The data dictionary: the committed page is what the model says now, and a page of any model is well formed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tidemark.model.loader import load_model
from tidemark.operations import data_dictionary

SHOP = Path(__file__).resolve().parents[1] / "integration" / "shop"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["data_dictionary.py", *arguments])
    return data_dictionary.main()


def test_the_committed_page_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "--check") == 0, "run: .venv/bin/python tidemark/operations/data_dictionary.py"


def test_everything_of_the_model_is_on_the_page() -> None:
    model = load_model(str(data_dictionary.MODEL))
    page = data_dictionary.markdown(model)
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


def test_an_old_page_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    assert run(monkeypatch, "--check", "--model", str(SHOP), "--output", str(page)) == 1
    assert "out of date" in capsys.readouterr().err
    assert run(monkeypatch, "--model", str(SHOP), "--output", str(page)) == 0
    assert run(monkeypatch, "--check", "--model", str(SHOP), "--output", str(page)) == 0


def test_a_model_with_a_typo_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--model", str(tmp_path)) == 1
    assert "source.yml does not exist" in capsys.readouterr().err
