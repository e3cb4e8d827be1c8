"""A Python that has imported what jobs need, and forks a job when it is asked for one.

Started by :mod:`local_stack.aws.warm_python` as ``fork_server.py FD SECONDS IMPORTS LAUNCHER``. FD is the socket on
which requests come (:func:`ask`), SECONDS how long it waits for one. IMPORTS and LAUNCHER are scripts: what runs once,
and what runs in each job. Promises:

- a job has what it would have as a process of its own: arguments, environment, output, session, signals, exit;
- nothing of one job reaches another: each is a fork of a process that has imported, and done nothing else;
- whoever asked is told the job's process id, and how it ended;
- it ends when nobody can ask any more and its last job has ended.

Runs without anything of ours but this file, as the launcher does.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

_LENGTH_BYTES: Final = 4
_FDS: Final = 3
_POLL_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Parameters
    ----------
    arguments
        Of the launcher, after its file descriptor: the script, and the script's own.
    environment
        What the job has in addition to the fork server's.
    """

    arguments: list[str]
    environment: dict[str, str]


def ask(server: socket.socket, request: Request, output: int, told: int) -> int:
    """Ask for a job; return the file descriptor that says its process id, then its exit code, on a line each.

    It ends without the latter if the fork server was killed, and then not before the job has ended, too.

    Parameters
    ----------
    server
        Connected to a fork server.
    output, told
        File descriptors: the job's output, and what its launcher tells.

    Raises
    ------
    OSError
        If the fork server is gone.
    """
    text = json.dumps(asdict(request)).encode()
    heard, says = os.pipe()
    try:
        message = len(text).to_bytes(_LENGTH_BYTES, "big") + text
        sent = socket.send_fds(server, [message], [output, told, says])
        server.sendall(message[sent:])
    except BaseException:
        os.close(heard)
        raise
    finally:
        os.close(says)
    return heard


class ForkServer:
    """Forks a job for each request.

    Parameters
    ----------
    requests
        Where they come from.
    idle_seconds
        After so long without one, and without a job, it ends.
    """

    def __init__(self, requests: socket.socket, idle_seconds: float) -> None:
        self._requests, self._idle_seconds = requests, idle_seconds
        # The end of a job's pipe, by its process id.
        self._says: dict[int, int] = {}
        # On which the end of a job is heard, whenever it comes. A handler of the signal would not do: Python calls it
        # between two of its instructions, and after the last one before select() that is when select() returns.
        self._ends, self._end = socket.socketpair()

    def serve(self) -> list[str]:
        """Serve until nobody asks any more; in the child of a fork, return what its launcher is given."""
        self._end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler, nothing is written
        signal.set_wakeup_fd(self._end.fileno(), warn_on_full_buffer=False)
        while self._waits() and (found := self._receive()):
            request, fds = found
            pid = os.fork()
            if pid == 0:
                return self._become(request, *fds)
            *others, self._says[pid] = fds
            for fd in others:
                os.close(fd)
        while self._says:
            self._reap()
            time.sleep(_POLL_SECONDS)  # whoever has asked still wants to know
        return []

    def _waits(self) -> bool:
        """Wait for a request, and hear of jobs that end meanwhile; whether there is one, or the end of all."""
        while True:
            ready = select.select([self._requests, self._ends], [], [], self._idle_seconds)[0]
            if self._ends in ready:
                self._ends.recv(4096)
                self._reap()
            if self._requests in ready:
                return True
            if not ready and not self._says:
                return False

    def _receive(self) -> tuple[Request, list[int]] | None:
        head, fds, _, _ = socket.recv_fds(self._requests, _LENGTH_BYTES, _FDS)
        length, text = int.from_bytes(head, "big"), b""
        while len(text) < length and (part := self._requests.recv(length - len(text))):
            text += part
        for fd in fds:
            os.set_inheritable(fd, False)
        return (Request(**json.loads(text)), fds) if text and len(text) == length else None

    def _become(self, request: Request, output: int, told: int, says: int) -> list[str]:
        """Make of this fork what a new process would be."""
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for own in (self._requests, self._ends, self._end):
            own.close()
        for fd in self._says.values():
            os.close(fd)
        os.dup2(output, sys.stdout.fileno())
        os.dup2(output, sys.stderr.fileno())
        os.close(output)
        os.environ.update(request.environment)
        with contextlib.suppress(OSError):  # the name in ps and top, where there is /proc
            Path("/proc/self/comm").write_text(Path(request.arguments[0]).stem, encoding="utf-8")
        # Its end stays open as long as it lives: so nobody takes it for ended only because this server is.
        os.write(says, f"{os.getpid()}\n".encode())
        return [str(told), *request.arguments]

    def _reap(self) -> None:
        """Say of each job that has ended how."""
        with contextlib.suppress(ChildProcessError):
            while found := os.waitpid(-1, os.WNOHANG):
                pid, status = found
                if pid == 0:
                    return
                says = self._says.pop(pid)
                with contextlib.suppress(OSError):  # whoever asked is gone
                    os.write(says, f"{os.waitstatus_to_exitcode(status)}\n".encode())
                os.close(says)


def main() -> None:
    """Import, then serve; in the child of a fork, be its launcher."""
    fd, idle_seconds, imports, launcher = sys.argv[1:]
    requests = socket.socket(fileno=int(fd))
    runpy.run_path(imports)
    gc.collect()
    gc.freeze()  # what was imported is never collected: so the forks share its memory
    given = ForkServer(requests, float(idle_seconds)).serve()
    if given:
        sys.argv = [launcher, *given]
        runpy.run_path(launcher, run_name="__main__")


if __name__ == "__main__":
    main()
