"""What goes into the zip of wheels, and how it is written."""

from __future__ import annotations

import sys
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from scripts import wheels
from scripts.wheels import Pin, WheelsError, closure, digest, is_made, is_whole, read_lock, write_archive

if TYPE_CHECKING:
    from pathlib import Path

ONE, TWO = "1" * 64, "2" * 64
LOCK = f"""
# This file was made by make lock
alpha==1.0 \\
    --hash=sha256:{ONE} \\
    --hash=sha256:{TWO}
    # via -r requirements.in
Beta_Two==2.0 ; python_full_version < '3.12' \\
    --hash=sha256:{ONE}
beta-two==3.0 ; python_full_version >= '3.12' and sys_platform != 'win32' \\
    --hash=sha256:{TWO}
only-windows==1.0 ; sys_platform == 'win32' \\
    --hash=sha256:{ONE}
"""


def test_the_lock_is_read_as_glue_would() -> None:
    assert read_lock(LOCK) == {"alpha": Pin("alpha", "1.0", (ONE, TWO)), "beta-two": Pin("beta-two", "3.0", (TWO,))}
    assert read_lock(LOCK)["alpha"].line == f"alpha==1.0 --hash=sha256:{ONE} --hash=sha256:{TWO}"


@pytest.mark.parametrize("line", ["alpha>=1", "alpha==1.0", f"alpha --hash=sha256:{ONE}", "alpha==1.0 --hash=md5:1"])
def test_a_line_that_does_not_pin_is_refused(line: str) -> None:
    with pytest.raises(
        WheelsError, match=r"^requirements\.txt: expected 'name==version --hash=sha256:…', found: alpha"
    ):
        read_lock(line)


def test_the_closure_follows_extras_and_markers_and_stops_at_what_glue_has() -> None:
    needs = {
        "a": ["b[fast]>=1", "boto3", "old; python_version < '3.13'", "for-extra; extra == 'more'"],
        "b": ["C-Lib; extra == 'fast'", "never; extra == 'slow'", "a"],
        "c-lib": [],
        "for-extra": ["numpy>2"],
    }
    assert closure(["a"], needs.__getitem__) == {"a", "b", "c-lib"}
    assert closure(["a[more]"], needs.__getitem__) == {"a", "b", "c-lib", "for-extra"}
    assert closure(["b"], needs.__getitem__) == {"a", "b", "c-lib"}


def test_the_authorities_travel_whatever_else_needs_them() -> None:
    assert closure([root for root in wheels.ROOTS if root == "certifi"], lambda _: []) == {"certifi"}
    assert "certifi" in {pin.name for pin in wheels.wanted_pins(wheels.LOCK)}


def test_what_the_lock_lacks_is_named(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(LOCK, encoding="utf-8")
    with pytest.raises(WheelsError, match=r"pydantic, .*: not in requirements\.txt for Python 3\.13; run 'make lock'"):
        wheels.wanted_pins(tmp_path / "requirements.txt")


def test_the_same_files_give_the_same_archive_whatever_their_order(tmp_path: Path) -> None:
    files = [("wheels/b.whl", b"b"), ("wheels/requirements.txt", b"b==1\n"), ("wheels/a.whl", b"a")]
    write_archive(files, tmp_path / "one.zip", "digest")
    write_archive(reversed(files), tmp_path / "deep" / "two.zip", "digest")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "deep" / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.namelist() == ["wheels/a.whl", "wheels/b.whl", "wheels/requirements.txt"]
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


def test_an_archive_is_made_again_when_a_package_changes(tmp_path: Path) -> None:
    old, new = ([Pin("a", version, (ONE,))] for version in ("1", "2"))
    target = tmp_path / "one.zip"
    assert not is_made(target, digest(old))
    write_archive([], target, digest(old))
    assert is_made(target, digest(old))
    assert not is_made(target, digest(new))
    target.write_bytes(b"half a download")
    assert not is_made(target, digest(old))


def test_a_folder_with_other_files_than_the_lock_allows_is_not_believed(tmp_path: Path) -> None:
    content = b"wheel"
    pin = Pin("a", "1", ("19ac5ba1d5ec7d1a2d8b4d3c4d8e9b6f" * 2,))
    (tmp_path / "a-1-py3-none-any.whl").write_bytes(content)
    assert not is_whole([pin], tmp_path)
    assert not is_whole([pin], tmp_path / "none")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and a pip that only says no."""
    monkeypatch.setenv("TIDEMARK_CACHE", str(tmp_path / "cache"))
    pip = tmp_path / "pip.sh"
    pip.write_text("#!/bin/sh\necho 'ERROR: No matching distribution found for x==1' >&2\nexit 1\n", encoding="utf-8")
    pip.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(pip))
    return tmp_path / "cache"


def test_a_download_that_fails_leaves_nothing_and_says_what_to_do(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert wheels.main(["--target", str(tmp_path / "out.zip")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("make wheels: The wheels for Glue could not be downloaded: No matching distribution found")
    assert "What to do: check the network" in error
    assert not (tmp_path / "out.zip").exists()
    assert list(cache.iterdir()) == []


def test_a_second_run_asks_nobody(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, asked = tmp_path / "out.zip", []

    def download(pins: list[Pin], place: Path) -> None:
        asked.append(len(pins))
        place.mkdir()

    monkeypatch.setattr(wheels, "download", download)
    assert wheels.main(["--target", str(target)]) == 0
    assert wheels.main(["--target", str(target)]) == 0
    assert len(asked) == 1
    with zipfile.ZipFile(target) as archive:
        listed: Any = archive.read("wheels/requirements.txt").decode().split()
    assert "pyiceberg" in {line.partition("==")[0] for line in listed}
    assert not [line for line in listed if line.startswith(("boto3", "pyarrow", "pandas", "numpy", "pyspark"))]
