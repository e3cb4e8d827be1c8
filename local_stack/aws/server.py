"""The local AWS: moto's server, executing the real state machine, with Glue played by the runner and S3 by a store.

Owns the binding between moto, :mod:`local_stack.aws.glue_runner` and :mod:`local_stack.aws.object_store`, and the
daemon ``python -m local_stack.aws.server --state DIR``. The daemon promises that

- ``DIR/stack.json`` (endpoints, process id) exists only while the endpoint answers, and is written in one step;
- ``DIR/stack.lock`` is locked as long as the process lives, so that there is one per directory, and whoever wants to
  stop it can be sure that the process id is not somebody else's;
- SIGTERM ends it together with every job process and the store that it started;
- it writes no secret to disk: all of AWS but S3's objects (``DIR/lake``) is in its memory. Logs: ``DIR/logs/aws.log``
  and ``DIR/logs/s3.log``.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import logging
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final
from unittest.mock import patch

from moto.core.config import default_user_config
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from local_stack.aws.glue_runner import GlueRunner
from local_stack.aws.job_environment import RunnerSettings
from local_stack.aws.moto_memory import bounded
from local_stack.aws.moto_patches import (
    glue_runs_scripts,
    notifications_kept,
    sdk_tasks,
    services_listed_once,
    sync_tasks,
)
from local_stack.aws.object_store import ObjectStore, ObjectStoreError, program
from local_stack.aws.state_dir import (
    LAKE_DIR,
    LOCK_FILE,
    LOG_FILE,
    NOTIFICATIONS_FILE,
    STACK_FILE,
    STORE_LOG_FILE,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_IMPORTS: Final = Path(__file__).with_name("job_imports.py")


class LocalServer:
    """A moto server in this process whose Glue starts real scripts; used by the daemon and, in process, by tests.

    Parameters
    ----------
    state_dir
        Logs, temporary files and notifications go below it.
    seconds_per_minute, keep_warm_seconds, imports
        Of the job runner.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        seconds_per_minute: float = RunnerSettings.seconds_per_minute,
        keep_warm_seconds: float = RunnerSettings.keep_warm_seconds,
        imports: Path | None = None,
    ) -> None:
        self.state_dir = state_dir.resolve()
        self._seconds_per_minute, self._keep_warm_seconds = seconds_per_minute, keep_warm_seconds
        self._imports = imports
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._patches = contextlib.ExitStack()
        self._store = ObjectStore(self.state_dir / LAKE_DIR, self.state_dir / STORE_LOG_FILE)
        self.runner: GlueRunner
        self.endpoint: str
        self.store: str

    def start(self) -> None:
        """Serve from a free port; returns when requests are answered.

        Raises
        ------
        ObjectStoreError
            If S3 does not start.
        """
        (self.state_dir / STORE_LOG_FILE).parent.mkdir(parents=True, exist_ok=True)
        if program():
            self._store.start()
        self._server.start()
        _, port = self._server.get_host_and_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        self.store = self._store.endpoint or self.endpoint
        self.runner = GlueRunner(
            RunnerSettings(
                state_dir=self.state_dir,
                endpoint=self.endpoint,
                store=self.store,
                seconds_per_minute=self._seconds_per_minute,
                keep_warm_seconds=self._keep_warm_seconds,
                imports=self._imports,
            )
        )
        # The state machine calls the other services at localhost:MOTO_PORT, which no proxy can reach.
        environment = {"MOTO_PORT": str(port), "NO_PROXY": "localhost,127.0.0.1", "no_proxy": "localhost,127.0.0.1"}
        self._patches.enter_context(patch.dict(os.environ, environment))
        self._patches.enter_context(patch.dict(default_user_config, {"stepfunctions": {"execute_state_machine": True}}))
        self._patches.enter_context(bounded())
        self._patches.enter_context(services_listed_once())
        self._patches.enter_context(sdk_tasks(self.store))
        self._patches.enter_context(glue_runs_scripts(self.runner))
        self._patches.enter_context(sync_tasks(self.runner))
        self._patches.enter_context(notifications_kept(self.state_dir / NOTIFICATIONS_FILE))

    def stop(self) -> None:
        """Stop the jobs, then the servers, and give moto back as it was."""
        self.runner.stop_all()
        self._server.stop()
        self._store.stop()
        self._patches.close()


@contextlib.contextmanager
def _locked(state_dir: Path) -> Iterator[None]:
    """Hold the directory's lock; SystemExit if another daemon has it."""
    with (state_dir / LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"a local stack is already running in {state_dir}") from None
        yield


def main(argv: list[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="The local AWS of Tidemark; started by LocalAws.start.")
    parser.add_argument("--state", type=Path, required=True, help="directory of this stack")
    parser.add_argument("--keep-warm", type=float, default=RunnerSettings.keep_warm_seconds, help="seconds; 0: nothing")
    given = parser.parse_args(argv)
    state_dir: Path = given.state.resolve()
    (state_dir / LOG_FILE).parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=state_dir / LOG_FILE, level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    stack_file = state_dir / STACK_FILE
    with _locked(state_dir):
        imports = _IMPORTS if given.keep_warm else None
        server = LocalServer(state_dir, keep_warm_seconds=given.keep_warm, imports=imports)
        try:
            server.start()
        except ObjectStoreError as failure:
            raise SystemExit(str(failure)) from None
        draft = stack_file.with_suffix(".new")
        draft.write_text(json.dumps({"endpoint": server.endpoint, "store": server.store, "pid": os.getpid()}))
        draft.replace(stack_file)
        end.wait()
        stack_file.unlink(missing_ok=True)
        server.stop()


if __name__ == "__main__":
    main()
