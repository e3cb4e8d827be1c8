"""Long YAML texts, kept as JSON in the user's cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tidemark.model import yaml_text

CONTENT = {
    f"t{number}": {"key": ["id"], "on": True, "size": 1.5, "none": None, "text": "Größe 🌊"} for number in range(9)
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of what is kept; every text is long."""
    monkeypatch.setenv("TIDEMARK_CACHE", str(tmp_path))
    monkeypatch.setattr(yaml_text, "_LONG", 0)
    return tmp_path / "models"


def _text(content: Any) -> str:
    return str(yaml.safe_dump(content, allow_unicode=True))


def test_it_is_parsed_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert yaml_text.parse(_text(CONTENT)) == CONTENT
    (kept,) = cache.iterdir()
    assert json.loads(kept.read_text()) == CONTENT
    with monkeypatch.context() as broken:
        broken.setattr(yaml_text, "_parse", None)
        assert yaml_text.parse(_text(CONTENT)) == CONTENT
    assert yaml_text.parse(_text({**CONTENT, "more": 1})) == {**CONTENT, "more": 1}, "another text"


@pytest.mark.parametrize("text", ["day: 2024-01-01", "1: a number", "a: .nan"])
def test_what_json_would_change_is_not_kept(cache: Path, text: str) -> None:
    found = yaml_text.parse(text)
    assert repr(found) == repr(yaml_text.parse(text)) == repr(yaml.safe_load(text))
    assert not cache.exists()


def test_half_a_file_and_no_place_to_keep_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    yaml_text.parse(_text(CONTENT))
    (kept,) = cache.iterdir()
    kept.write_text('{"t1"')
    assert yaml_text.parse(_text(CONTENT)) == CONTENT
    assert json.loads(kept.read_text()) == CONTENT, "it is made again"
    nowhere = cache.parent / "file"
    nowhere.write_text("")
    monkeypatch.setenv("TIDEMARK_CACHE", str(nowhere))
    assert yaml_text.parse(_text(CONTENT)) == CONTENT


def test_old_ones_go(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_text, "_MOST_KEPT", 3)
    for number in range(5):
        yaml_text.parse(f"n: {number}")
    assert len(list(cache.iterdir())) == 3


def test_a_key_that_appears_twice_is_an_error() -> None:
    with pytest.raises(yaml.YAMLError, match="'a' appears twice"):
        yaml_text.parse("a: 1\nb: 2\na: 1")
