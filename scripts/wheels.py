"""Make ``build/tidemark.gluewheels.zip``: the packages that the jobs import and that Glue's image does not have.

Glue installs a *zip of wheels* (a folder ``wheels`` with the files and a ``requirements.txt``) without any network:
``--additional-python-modules`` names it, ``--python-modules-installer-option --no-index`` keeps pip from the internet.
Promises: exactly the versions and files of requirements.txt, each compared with its pinned SHA-256; the same lock gives
the same archive, byte for byte, so that a deployment changes only when a package does; a second run does nothing.
Needs the package index once for a lock; downloads are kept in the cache that all clones share.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import os
import re
import subprocess  # nosec B404 # runs pip
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.ivy import say
from scripts.jars import cache_root, remove_abandoned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

ROOT: Final = Path(__file__).resolve().parents[1]
LOCK: Final = ROOT / "requirements.txt"
TARGET: Final = ROOT / "build" / "tidemark.gluewheels.zip"

ROOTS: Final = (
    *("pydantic", "psycopg[binary]", "adbc-driver-manager", "adbc-driver-postgresql", "pyiceberg[glue]"),
    # The authorities that the databases' drivers trust where no bundle is given: psycopg's own file is on no machine.
    "certifi",
)
"""What ``glue_jobs`` needs beyond Glue's image (``tests/infra/test_archive.py`` compares both with the imports)."""

IN_GLUE: Final = frozenset(
    canonicalize_name(name)
    for name in (
        # Glue's documentation, "Python modules already provided in AWS Glue", names these for version 6.0 ...
        *("boto3", "numpy", "pandas", "pyarrow", "PyYAML", "pyspark"),
        # ... and these they cannot be without: a second copy could only disagree with the SDK or Spark that Glue tests.
        *("botocore", "s3transfer", "jmespath", "urllib3", "python-dateutil", "six", "pytz", "tzdata", "py4j"),
    )
)

# Glue 6.0: Python 3.13 on Amazon Linux 2023, whose C library (2.34) runs all of these.
_PYTHON: Final = "3.13"
_PLATFORMS: Final = tuple(
    f"{tag}_x86_64" for tag in ("manylinux_2_28", "manylinux_2_26", "manylinux_2_24", "manylinux_2_17", "manylinux2014")
)
_MARKERS: Final = {
    "python_version": _PYTHON,
    "python_full_version": f"{_PYTHON}.0",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "os_name": "posix",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
}
_FIXED_TIME: Final = (1980, 1, 1, 0, 0, 0)
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class WheelsError(Exception):
    """The archive cannot be made; the text says what was found and what to do."""


class Pin(NamedTuple):
    """One package of the lock, as Glue needs it."""

    name: str
    version: str
    hashes: tuple[str, ...]

    @property
    def requirement(self) -> str:
        """``name==version``."""
        return f"{self.name}=={self.version}"

    @property
    def line(self) -> str:
        """The same with its hashes, as pip reads it."""
        return " ".join([self.requirement, *(f"--hash=sha256:{found}" for found in self.hashes)])


def read_lock(text: str) -> dict[str, Pin]:
    """Read the pins that hold on Glue from a locked requirements file.

    Raises
    ------
    WheelsError
        When a line pins nothing, or has no hash.
    """
    pins: dict[str, Pin] = {}
    for line in text.replace("\\\n", " ").splitlines():
        content = line.partition(" #")[0].strip()
        if not content or content.startswith("#"):
            continue
        requirement = Requirement(content.partition(" --hash")[0])
        hashes = tuple(_HASH.findall(content))
        versions = [found.version for found in requirement.specifier if found.operator == "=="]
        if len(versions) != 1 or not hashes:
            raise WheelsError(f"requirements.txt: expected 'name==version --hash=sha256:…', found: {content[:100]}")
        if holds(requirement.marker):
            name = canonicalize_name(requirement.name)
            pins[name] = Pin(name, versions[0], hashes)
    return pins


def holds(marker: Marker | None, extra: str = "") -> bool:
    """Whether a marker is true on Glue."""
    return marker is None or marker.evaluate({**_MARKERS, "extra": extra})


def closure(roots: Iterable[str], requires: Callable[[str], Iterable[str]]) -> set[str]:
    """Names of the roots and of all they need on Glue, without what Glue has.

    Parameters
    ----------
    roots
        Requirements, with extras.
    requires
        Gives the requirements that a package declares.
    """
    found: set[tuple[str, str]] = set()
    waiting = [Requirement(root) for root in roots]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if name in IN_GLUE:
            continue
        for extra in {"", *wanted.extras} - {known for at, known in found if at == name}:
            found.add((name, extra))
            needs = (Requirement(text) for text in requires(name))
            waiting += [need for need in needs if holds(need.marker, extra)]
    return {name for name, _ in found}


def wanted_pins(lock: Path) -> list[Pin]:
    """Give the pins of all packages for the archive, by name.

    Raises
    ------
    WheelsError
        When one is not in the lock.
    """
    pins = read_lock(lock.read_text(encoding="utf-8"))
    names = closure(ROOTS, lambda name: importlib.metadata.requires(name) or [])
    if missing := sorted(names - pins.keys()):
        raise WheelsError(f"{', '.join(missing)}: not in {lock.name} for Python {_PYTHON}; run 'make lock'")
    return [pins[name] for name in sorted(names)]


def digest(pins: Iterable[Pin]) -> str:
    """Tell one set of packages from another."""
    content = "\n".join([*_PLATFORMS, *(pin.line for pin in pins)])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def download(pins: Sequence[Pin], place: Path) -> None:
    """Let pip fetch, and compare with its hash, one wheel per pin.

    Raises
    ------
    WheelsError
        With pip's last complaint.
    """
    place.mkdir()
    request = place.with_suffix(".txt")
    request.write_text("".join(f"{pin.line}\n" for pin in pins), encoding="utf-8")
    command = [
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"),
        *("--require-hashes", "--no-deps", "--only-binary=:all:"),
        *("--implementation", "cp", "--python-version", _PYTHON),
        *(part for platform in _PLATFORMS for part in ("--platform", platform)),
        *("--dest", str(place), "--requirement", str(request)),
    ]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)  # noqa: S603 # nosec B603 # fixed program
    if run.returncode != 0:
        lines = [line.removeprefix("ERROR: ") for line in run.stderr.splitlines() if line.startswith("ERROR")]
        raise WheelsError(
            f"The wheels for Glue could not be downloaded: {lines[-1] if lines else run.stderr.strip()[-300:]}\n"
            "  Expected: access to the package index that pip is configured for, needed once for a lock.\n"
            "  What to do: check the network, then run 'make wheels' again. A package without a wheel for Python "
            f"{_PYTHON} on Linux x86_64 needs another version in requirements.in and 'make lock'."
        )


def is_whole(pins: Sequence[Pin], place: Path) -> bool:
    """Whether a folder holds one wheel per pin, and each is a file that the lock allows."""
    allowed = {found for pin in pins for found in pin.hashes}
    wheels = list(place.glob("*.whl"))
    return len(wheels) == len(pins) and all(hashlib.sha256(file.read_bytes()).hexdigest() in allowed for file in wheels)


def provide(pins: Sequence[Pin], cache: Path) -> Path:
    """Make sure that the cache holds the wheels of the pins; give their folder."""
    target = cache / f"wheels-{digest(pins)}"
    if is_whole(pins, target):
        return target
    say(f"Downloading {len(pins)} wheels for Glue into {target}")
    cache.mkdir(parents=True, exist_ok=True)
    remove_abandoned(cache)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as name:
        download(pins, Path(name, "wheels"))
        if target.exists():
            target.rename(Path(name, "replaced"))
        Path(name, "wheels").rename(target)
    return target


def members(pins: Iterable[Pin], wheels: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file of the archive; names are Glue's demand."""
    yield "wheels/requirements.txt", "".join(f"{pin.requirement}\n" for pin in pins).encode()
    for wheel in sorted(wheels.glob("*.whl")):
        yield f"wheels/{wheel.name}", wheel.read_bytes()


def write_archive(files: Iterable[tuple[str, bytes]], target: Path, comment: str) -> None:
    """Write an archive whose bytes depend on nothing but its content; wheels are compressed already."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}-{os.getpid()}")
    with zipfile.ZipFile(fresh, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = comment.encode()
        for name, content in sorted(files):
            entry = zipfile.ZipInfo(name, _FIXED_TIME)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, content)
    fresh.replace(target)


def is_made(target: Path, comment: str) -> bool:
    """Whether the archive is there and holds these packages."""
    try:
        with zipfile.ZipFile(target) as archive:
            return archive.comment == comment.encode()
    except (OSError, zipfile.BadZipFile):
        return False


def make(lock: Path, target: Path, environment: Mapping[str, str]) -> None:
    """Make the archive, unless it is there."""
    pins = wanted_pins(lock)
    if is_made(target, digest(pins)):
        return
    write_archive(members(pins, provide(pins, cache_root(environment))), target, digest(pins))
    say(f"{target}: {len(pins)} wheels, {target.stat().st_size / 1_000_000:.1f} MB")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the archive; exit code 1 and one message when that is impossible."""
    parser = argparse.ArgumentParser(description="Make the zip of wheels that the Glue jobs install.")
    parser.add_argument("--lock", type=Path, default=LOCK, help="locked requirements (default: %(default)s)")
    parser.add_argument("--target", type=Path, default=TARGET, help="archive to write (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        make(options.lock, options.target, os.environ)
    except (WheelsError, OSError) as error:
        sys.stderr.write(f"make wheels: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
