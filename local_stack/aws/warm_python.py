"""Job processes that have imported everything already: forks of a Python that is kept for that.

What a job imports takes one to two seconds, in each of a tick's three. Promises:

- a job process is one like any other, with a session of its own; it can be waited for, signalled and killed;
- what it runs is the code as it is now: after a change of the library another fork server is started;
- where there can be none, or it is gone, the answer is None, and the job is started without it.
"""

from __future__ import annotations

import os
import socket
import subprocess  # nosec B404 # starting a Python means starting a process
import sys
import threading
from typing import IO, TYPE_CHECKING, Final, TypeAlias

from local_stack.aws import fork_server, glue_launcher
from local_stack.aws.job_environment import job_environment

if TYPE_CHECKING:
    from local_stack.aws.job_environment import RunnerSettings

_KILLED: Final = -9
_GRACE_SECONDS: Final = 5.0


class Forked:
    """A job process that a fork server has started; what is used of it is as in :class:`subprocess.Popen`.

    Parameters
    ----------
    heard
        File descriptor that says process id and exit code.
    stdout
        Its output.

    Raises
    ------
    OSError
        If the fork server has ended before it forked.
    """

    def __init__(self, heard: int, stdout: IO[bytes]) -> None:
        self._lines, self.stdout = os.fdopen(heard), stdout
        said = self._lines.readline()
        if not said:
            self._lines.close()
            raise ConnectionResetError("the fork server has ended")
        self.pid = int(said)
        self.returncode: int | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with self._lines:
            self.returncode = int(self._lines.readline() or _KILLED)
        self._ended.set()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return its exit code."""
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return self.returncode or 0


JobProcess: TypeAlias = subprocess.Popen[bytes] | Forked


class WarmPython:
    """Keeps a fork server for the jobs of a runner.

    Parameters
    ----------
    settings
        Of the runner; without ``imports`` there is never one.
    """

    def __init__(self, settings: RunnerSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._server: tuple[subprocess.Popen[bytes], socket.socket] | None = None
        self._code: object = None

    def start(self) -> None:
        """Let a fork server import, so that the first job need not wait for it."""
        with self._lock:
            self._connection()

    def fork(self, arguments: list[str], environment: dict[str, str], told: int) -> Forked | None:
        """Start a job, or return None.

        Parameters
        ----------
        arguments
            Of the launcher, after its file descriptor.
        environment
            In addition to :func:`job_environment`.
        told
            The launcher's file descriptor.
        """
        request = fork_server.Request(arguments, environment)
        with self._lock:
            connection = self._connection()
            if connection is None:
                return None
            reading, output = os.pipe()
            stdout = os.fdopen(reading, "rb")
            try:
                return Forked(fork_server.ask(connection, request, output, told), stdout)
            except OSError:
                stdout.close()
                self._end()
                return None
            finally:
                os.close(output)

    def stop(self) -> None:
        """End the fork server, whose jobs have ended."""
        with self._lock:
            server = self._server
            self._end()
        if server is not None:
            try:
                server[0].wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                server[0].kill()
                server[0].wait()

    def _connection(self) -> socket.socket | None:
        """Return the way to a fork server that has imported the code as it is now."""
        if self._settings.imports is None:
            return None
        code = self._code_now()
        if self._server is not None and (self._server[0].poll() is not None or code != self._code):
            self._end()
        if self._server is None:
            self._server, self._code = self._started(), code
        return self._server[1]

    def _code_now(self) -> object:
        """What tells whether the library has changed: its files, with time and size."""
        files = sorted(self._settings.library_dir.rglob("*.py"))
        return [(file, (stat := file.stat()).st_mtime_ns, stat.st_size) for file in files]

    def _started(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        ours, its = socket.socketpair()
        settings = self._settings
        log_file = settings.state_dir / "logs" / "python.log"
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with its, log_file.open("ab") as log:
            given = [str(its.fileno()), str(settings.keep_warm_seconds), str(settings.imports), glue_launcher.__file__]
            process = subprocess.Popen(  # noqa: S603 # nosec B603 # our own script, no shell
                [sys.executable, "-P", fork_server.__file__, *given],
                env=job_environment(settings, os.environ),
                cwd=settings.state_dir,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(its.fileno(),),
            )
        return process, ours

    def _end(self) -> None:
        """Ask the fork server for nothing any more: it ends with its last job."""
        if self._server is not None:
            self._server[1].close()
            self._server = None
