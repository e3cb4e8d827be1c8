"""The Java libraries of Spark: fetch them once, verify them, and link them into the virtual environment.

``jars.lock`` names every jar with its SHA-256 and its size. They are kept in a cache directory that all clones on a
machine share and whose name is made from the lock's content, so that a changed lock gets a directory of its own.

Promises:

- the directory appears under its final name only when every jar in it has been verified, so that a download that was
  killed is never taken for a finished one;
- a cached jar that is missing or has the wrong size is noticed on every call and replaced;
- nothing but the jars of the lock is in the directory.

The download is done by Apache Ivy, which PySpark ships and Spark itself uses for its packages. Ivy knows where the
public repository is, honours a user's own settings file, and checks the repository's checksums too.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from scripts.ivy import MEGABYTE, Jar, JarError, download, ivy_command, ivy_module, say

ROOT: Final = Path(__file__).resolve().parent.parent
LOCK: Final = ROOT / "jars.lock"
_FIELD: Final = re.compile(r"[A-Za-z0-9._-]+")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
ABANDONED_SECONDS: Final = 3600
"""Age at which a working directory left behind by a killed download may be removed."""


def read_lock(path: Path) -> list[Jar]:
    """Read ``jars.lock``.

    Raises
    ------
    JarError
        When a line is not ``group:artifact:version sha256 bytes``, or the file names no jar.
    """
    jars = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.partition("#")[0].split()
        if not text:
            continue
        coordinates = text[0].split(":")
        good = (
            len(text) == 3  # noqa: PLR2004 - the three fields of a line
            and len(coordinates) == 3  # noqa: PLR2004 - group, artifact, version
            and all(_FIELD.fullmatch(part) for part in coordinates)
            and _SHA256.fullmatch(text[1])
            and text[2].isdecimal()
        )
        if not good:
            raise JarError(f"{path.name}, line {number}: expected 'group:artifact:version sha256 bytes', found: {line}")
        group, name, version = coordinates
        jars.append(Jar(group, name, version, sha256=text[1], size=int(text[2])))
    if not jars:
        raise JarError(f"{path.name} names no jar")
    return jars


def cache_root(environment: Mapping[str, str]) -> Path:
    """Give the directory that all clones share: ``TIDEMARK_CACHE``, or ``tidemark`` in the user's cache."""
    if own := environment.get("TIDEMARK_CACHE"):
        return Path(own).expanduser().absolute()
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tidemark"


def jar_directory(lock: Path, cache: Path) -> Path:
    """Give the cache directory of a lock; a change in any jar gives another one, a change in a comment does not."""
    content = "\n".join(sorted(repr(jar) for jar in read_lock(lock)))
    return cache / f"jars-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def wrong_sizes(jars: Iterable[Jar], directory: Path) -> Iterator[str]:
    """Name each jar of a directory that is missing or not as long as the lock says (cheap: reads no content)."""
    for jar in jars:
        path = directory / jar.file_name
        found = path.stat().st_size if path.is_file() else None
        if found is None:
            yield f"{jar.file_name} is missing"
        elif found != jar.size:
            yield f"{jar.file_name} has {found} bytes instead of {jar.size}"


def verify(jars: Iterable[Jar], directory: Path) -> None:
    """Compare every jar's SHA-256 with the lock.

    Raises
    ------
    JarError
        When one is missing or differs.
    """
    for jar in jars:
        path = directory / jar.file_name
        if not path.is_file():
            raise JarError(f"{jar.label} was not delivered by the repository.")
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != jar.sha256:
            raise JarError(
                f"{jar.label} is not the file that jars.lock pins.\n"
                f"  expected SHA-256 {jar.sha256}\n  found            {found}\n"
                "It was thrown away. Run 'make setup' again; if it differs again, the repository or a proxy in between "
                "delivers another file: do not use it."
            )


def fetch(jars: Sequence[Jar], target: Path, environment: Mapping[str, str]) -> None:
    """Download and verify all jars beside the target, then put the directory in its place in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(target.parent)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as name:
        work = Path(name)
        (work / "ivy.xml").write_text(ivy_module(jars), encoding="utf-8")
        download(jars, ivy_command(work, environment))
        verify(jars, work / "jars")
        if target.exists():
            target.rename(work / "replaced")
        try:
            (work / "jars").rename(target)
        except OSError:
            # Another clone's set-up was quicker: its directory was verified in the same way.
            if list(wrong_sizes(jars, target)):
                raise


def remove_abandoned(cache: Path) -> None:
    """Remove the working directories of downloads that were killed and could not clean up."""
    for path in cache.glob(".fetch-*"):
        if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
            shutil.rmtree(path, ignore_errors=True)


def link(target: Path, place: Path) -> None:
    """Make ``place`` a symbolic link to ``target``, in one step, so that no reader meets a missing link.

    Raises
    ------
    JarError
        When something else than a link is there.
    """
    if place.is_symlink() and place.readlink() == target:
        return
    if place.exists() and not place.is_symlink():
        raise JarError(f"{place} is in the way: a link to {target} belongs there. Remove it and run 'make setup'.")
    fresh = place.with_name(f".{place.name}-{os.getpid()}")
    fresh.symlink_to(target, target_is_directory=True)
    fresh.replace(place)


def provide(lock: Path, place: Path, environment: Mapping[str, str]) -> Path:
    """Make sure that the lock's jars are in the cache and that ``place`` leads to them; give the cache directory."""
    jars = read_lock(lock)
    target = jar_directory(lock, cache_root(environment))
    wrong = list(wrong_sizes(jars, target))
    if wrong:
        if target.exists():
            say(f"The cached jars in {target} are damaged ({wrong[0]}): fetching them again.")
        total = sum(jar.size for jar in jars) / MEGABYTE
        say(f"Downloading {len(jars)} jars, {total:.0f} MB, into {target}")
        fetch(jars, target, environment)
    link(target, place)
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    """Provide the jars; exit code 1 and one message when that is impossible."""
    parser = argparse.ArgumentParser(description="Fetch and verify the jars of jars.lock, once for all clones.")
    parser.add_argument("--lock", type=Path, default=LOCK, help="file that pins the jars (default: %(default)s)")
    parser.add_argument(
        "--link", type=Path, default=Path(sys.prefix, "jars"), help="link to set to them (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        provide(options.lock, options.link, os.environ)
    except (JarError, OSError) as error:
        sys.stderr.write(f"make setup: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
