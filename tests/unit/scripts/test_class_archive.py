"""The archive of Java's classes: made once for all clones, and for one alone where Java would not take the shared one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scripts import class_archive


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What was built; instead of half a minute of Spark."""
    made: list[Path] = []

    def build(target: Path) -> None:
        made.append(target)
        target.write_text("classes")

    monkeypatch.setattr(class_archive, "build", build)
    monkeypatch.setattr(class_archive, "fits", lambda archive: archive.read_text() == "classes")
    return made


def test_the_first_clone_makes_it_and_the_next_one_has_it(tmp_path: Path, built: list[Path]) -> None:
    shared, one, other = (tmp_path / name for name in ("cache/classes.jsa", "one.jsa", "other.jsa"))
    one.write_text("its own, of an earlier set-up")
    for place in (one, other, one):
        class_archive.provide(place, shared)
        assert place.is_symlink()
        assert place.read_text() == "classes"
    assert built == [shared]


def test_where_the_shared_one_is_of_no_use_it_stays_as_it_is(tmp_path: Path, built: list[Path]) -> None:
    shared, place = tmp_path / "classes.jsa", tmp_path / "spark.jsa"
    shared.write_text("of other files")
    class_archive.provide(place, shared)
    assert built == [place]
    assert shared.read_text() == "of other files"
    assert not place.is_symlink()


def test_java_says_whether_an_archive_fits(tmp_path: Path) -> None:
    ours, other = Path(sys.prefix, "spark.jsa"), tmp_path / "other.jsa"
    other.write_bytes(b"no archive")
    assert not class_archive.fits(other)
    if not ours.exists():
        pytest.skip("make setup has made no archive here")
    assert class_archive.fits(ours)
