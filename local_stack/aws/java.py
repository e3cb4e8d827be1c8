"""Java kept warm between job runs: what takes longest in a small job is done before it begins.

A job's pyspark runs ``spark-submit`` of its SPARK_HOME, and talks to the Java that this starts. Here that is
:mod:`local_stack.aws.spark_submit`, which asks this module for one. The job's script and pyspark know nothing of it; a
job that uses no Spark never gets one. Promises:

- a Java process serves one job run at a time;
- it is kept only if that run ended well and let its Spark go; otherwise it is killed, before the run counts as ended:
  nothing goes on writing for a run that is over;
- it ends with the daemon, whatever ends that: its standard input closes;
- after some idle time, and after a number of runs, it is let go, with its memory.
"""

from __future__ import annotations

import contextlib
import hmac
import importlib.util
import os
import secrets
import shlex
import shutil
import signal
import socketserver
import subprocess  # nosec B404 # starting Java means starting a process
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from local_stack.aws import spark_submit
from local_stack.aws.job_environment import job_environment

if TYPE_CHECKING:
    from local_stack.aws.job_environment import RunnerSettings

_SPARK_HOME: Final = Path(str(importlib.util.find_spec("pyspark").origin)).parent  # type: ignore[union-attr]
_POLL_SECONDS: Final = 0.05
_LOOK_SECONDS: Final = 5.0
# Whatever may pile up in a Java that starts one SparkContext after the other goes with it, once a day.
_MOST_RUNS: Final = 100


@dataclass(kw_only=True)
class Java:
    """One Java process with pyspark's gateway in it.

    Parameters
    ----------
    log
        Of the run that it serves; None while it is idle.
    told
        The file in which it says where it listens.
    runs
        How many it has served, this one included.
    """

    process: subprocess.Popen[bytes]
    log: Path | None
    told: Path
    address: str = field(default="", repr=False)
    idle_since: float = 0.0
    runs: int = 1

    def read_address(self) -> str:
        """Wait until it listens; return port and secret, or nothing if it ended before."""
        while not self.told.exists() and self.process.poll() is None:
            time.sleep(_POLL_SECONDS)
        if self.told.exists():
            self.address = "{} {}".format(*spark_submit.decoded(self.told.read_bytes()))
        shutil.rmtree(self.told.parent)
        return self.address

    def pump(self) -> None:
        """Copy its output, line by line, to the log of whom it serves; nobody reads what an idle one says."""
        stream: IO[bytes] | None = self.process.stdout
        for line in stream or ():
            if self.log is not None:
                with self.log.open("ab") as log:
                    log.write(line)

    def kill(self) -> None:
        """End it at once: it holds nothing that has to be put away."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class WarmJava:
    """Hands out Java processes to job runs, and takes them back.

    Parameters
    ----------
    settings
        Of the runner whose jobs these are; ``keep_warm_seconds`` 0 leaves each job its own Java.
    """

    def __init__(self, settings: RunnerSettings) -> None:
        self._settings = settings
        self._home = settings.tmp_dir / "spark-home"
        self._token = secrets.token_hex(32)
        self._lock = threading.Lock()
        self._idle: list[Java] = []
        # Of the runs that are going: their logs, and whom they have.
        self._logs: dict[str, Path] = {}
        self._serving: dict[str, Java] = {}
        self._server: socketserver.ThreadingTCPServer | None = None
        self._stopped = threading.Event()

    def environment(self, run_id: str, log: Path) -> dict[str, str]:
        """Return what a job's environment needs, so that its pyspark finds the way here."""
        if not self._settings.keep_warm_seconds:
            return {}
        with self._lock:
            self._server = self._server or self._open()
            self._logs[run_id] = log
            port = self._server.server_address[1]
        return {
            "SPARK_HOME": str(self._home),
            spark_submit.PORT: str(port),
            spark_submit.TOKEN: self._token,
            spark_submit.RUN: run_id,
        }

    def release(self, run_id: str, *, keep: bool) -> None:
        """A run is over: keep its Java for the next one, or end it."""
        with self._lock:
            self._logs.pop(run_id, None)
            java = self._serving.pop(run_id, None)
            keep = keep and not self._stopped.is_set()
            if java is not None and keep and java.runs < _MOST_RUNS and java.process.poll() is None:
                java.log, java.idle_since = None, time.monotonic()
                self._idle.append(java)
                return
        if java is not None:
            java.kill()

    def stop(self) -> None:
        """End all, and answer no more."""
        self._stopped.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        with self._lock:
            ended, self._idle, self._logs = [*self._idle, *self._serving.values()], [], {}
            self._serving.clear()
        for java in ended:
            java.kill()

    def _open(self) -> socketserver.ThreadingTCPServer:
        """Write the ``spark-submit`` of the jobs, and listen to it."""
        script = self._home / "bin" / "spark-submit"
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(f"#!/bin/sh\nexec {shlex.join([sys.executable, '-I', '-S', spark_submit.__file__])}\n")
        script.chmod(0o700)
        warm = self

        class Answer(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                token, _, run_id = self.rfile.readline(1000).decode().strip().partition(" ")
                if hmac.compare_digest(token, warm._token):
                    self.wfile.write(f"{warm._serve(run_id)}\n".encode())

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, name="warm Java", daemon=True).start()
        threading.Thread(target=self._let_go, name="idle Java", daemon=True).start()
        return server

    def _serve(self, run_id: str) -> str:
        """Give a run a Java, a warm one if there is one; return its address, or nothing."""
        with self._lock:
            log = self._logs.get(run_id)
            if log is None or run_id in self._serving:
                return ""  # the run is over, or has one
            while self._idle:
                java = self._idle.pop()
                if java.process.poll() is None:
                    java.log, java.runs = log, java.runs + 1
                    self._serving[run_id] = java
                    return java.address
            java = self._serving[run_id] = self._start(log)
        return java.read_address()

    def _start(self, log: Path) -> Java:
        environment = job_environment(self._settings, os.environ)
        told = Path(tempfile.mkdtemp(dir=environment["TMPDIR"], prefix="java-")) / "address"
        process = subprocess.Popen(  # noqa: S603 # nosec B603 # pyspark's own command, no shell
            [_SPARK_HOME / "bin" / "spark-submit", *shlex.split(environment["PYSPARK_SUBMIT_ARGS"])],
            env=environment | {spark_submit.CONNECTION_FILE: str(told), "SPARK_CONNECT_MODE": "0"},
            cwd=self._settings.state_dir,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        java = Java(process=process, log=log, told=told)
        threading.Thread(target=java.pump, daemon=True).start()
        return java

    def _let_go(self) -> None:
        """End what nobody has asked for in a while."""
        while not self._stopped.wait(_LOOK_SECONDS):
            oldest = time.monotonic() - self._settings.keep_warm_seconds
            with self._lock:
                ended = [java for java in self._idle if java.idle_since < oldest]
                self._idle = [java for java in self._idle if java.idle_since >= oldest]
            for java in ended:
                java.kill()
