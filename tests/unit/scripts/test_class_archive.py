"""The archive of Java's classes: made once for all clones, and for one alone where Java would not take the shared one."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from scripts import class_archive


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What was built; instead of half a minute of Spark."""
    made: list[Path] = []

    def build(target: Path, spark: Path) -> None:
        assert (spark / "bin" / "spark-submit").exists()
        made.append(target)
        target.unlink(missing_ok=True)  # as the rename does that puts it there
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
    kept = tmp_path / "cache" / "classes" / "jars"
    (jar,) = kept.glob("spark-sql-api_*.jar")
    assert jar.stat().st_nlink > 1, "a hard link, so nothing is lost with the clone that made it"
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["classes", "classes.jsa", "classes.lock"]


@pytest.mark.parametrize("linked_before", [False, True])
def test_where_the_shared_one_is_of_no_use_it_stays_as_it_is(
    tmp_path: Path, built: list[Path], linked_before: bool
) -> None:
    shared, place = tmp_path / "classes.jsa", tmp_path / "spark.jsa"
    shared.write_text("of other files")
    if linked_before:
        place.symlink_to(shared)
    class_archive.provide(place, shared)
    assert built == [place]
    assert shared.read_text() == "of other files"
    assert not place.is_symlink()


@pytest.mark.parametrize("cache", ["not a folder", "on another file system"])
def test_where_nothing_can_be_shared_it_is_the_clones_own(
    tmp_path: Path, built: list[Path], monkeypatch: pytest.MonkeyPatch, cache: str
) -> None:
    if cache == "not a folder":
        (tmp_path / "cache").touch()
    else:
        monkeypatch.setattr(os, "link", refused)
    class_archive.provide(tmp_path / "spark.jsa", tmp_path / "cache" / "classes.jsa")
    assert built == [tmp_path / "spark.jsa"]


def refused(*_: object, **__: object) -> None:
    raise OSError(errno.EXDEV, "Invalid cross-device link")


def test_java_says_whether_an_archive_fits(tmp_path: Path) -> None:
    ours, other = Path(sys.prefix, "spark.jsa"), tmp_path / "other.jsa"
    other.write_bytes(b"no archive")
    assert not class_archive.fits(other)
    if not ours.exists():
        pytest.skip("make setup has made no archive here")
    assert class_archive.fits(ours)
