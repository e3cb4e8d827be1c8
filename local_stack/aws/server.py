"""The local AWS as one process: moto's server, executing the real state machine, with Glue played by the runner.

Owns the binding between moto and :mod:`local_stack.aws.glue_runner`, and the daemon ``python -m
local_stack.aws.server --state DIR``. The daemon promises that

- ``DIR/stack.json`` (endpoint, process id) exists only while the endpoint answers, and is written in one step;
- ``DIR/stack.lock`` is locked as long as the process lives, so that there is one per directory, and whoever wants to
  stop it can be sure that the process id is not somebody else's;
- SIGTERM ends it together with every job process it started;
- it writes no secret to disk: all of AWS is in its memory. Log: ``DIR/logs/aws.log``.

What moto 5.2 lacks and is added here: ``glue:startJobRun.sync`` (it opens no callback), job runs that run, their
ErrorMessage, BatchStopJobRun, stopping the job of a task that timed out, and a place to see what SNS published.
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
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

import moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_glue as glue_task
from moto.core.config import default_user_config
from moto.core.responses import ActionResult
from moto.glue import models as glue_models
from moto.glue.exceptions import EntityNotFoundException
from moto.glue.responses import GlueResponse
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from moto.sns.models import Topic
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_callback
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition

from local_stack.aws.glue_runner import GlueRunner, JobRun, RunnerSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

STACK_FILE: Final = "stack.json"
LOCK_FILE: Final = "stack.lock"
NOTIFICATIONS_FILE: Final = "notifications.jsonl"
LOG_FILE: Final = "logs/aws.log"

_POLL_SECONDS: Final = 0.2


class LocalServer:
    """A moto server in this process whose Glue starts real scripts; used by the daemon and, in process, by tests.

    Parameters
    ----------
    state_dir
        Logs, temporary files and notifications go below it.
    seconds_per_minute
        Length of a minute of a job's time limit; tests make it short.
    """

    def __init__(self, state_dir: Path, seconds_per_minute: float = 60.0) -> None:
        self.state_dir = state_dir.resolve()
        self._seconds_per_minute = seconds_per_minute
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._patches = contextlib.ExitStack()
        self.runner: GlueRunner
        self.endpoint: str

    def start(self) -> None:
        """Serve from a free port; returns when requests are answered."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self._server.start()
        _, port = self._server.get_host_and_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        self.runner = GlueRunner(
            RunnerSettings(
                state_dir=self.state_dir, endpoint=self.endpoint, seconds_per_minute=self._seconds_per_minute
            )
        )
        # The state machine calls the other services at localhost:MOTO_PORT, which no proxy can reach.
        environment = {"MOTO_PORT": str(port), "NO_PROXY": "localhost,127.0.0.1", "no_proxy": "localhost,127.0.0.1"}
        self._patches.enter_context(patch.dict(os.environ, environment))
        self._patches.enter_context(patch.dict(default_user_config, {"stepfunctions": {"execute_state_machine": True}}))
        self._patches.enter_context(_glue_runs_scripts(self.runner))
        self._patches.enter_context(_sync_tasks(self.runner))
        self._patches.enter_context(_notifications_kept(self.state_dir / NOTIFICATIONS_FILE))

    def stop(self) -> None:
        """Stop the jobs, then the server, and give moto back as it was."""
        self.runner.stop_all()
        self._server.stop()
        self._patches.close()


class _LocalJobRun(glue_models.FakeJobRun):
    """A Glue job run whose state is that of a process."""

    run: JobRun | None = None

    @property
    def status(self) -> str:
        """State as Glue names it."""
        return self.run.state if self.run else "STARTING"

    @status.setter
    def status(self, value: str) -> None:
        raise AttributeError(f"the process decides, not {value}")

    def as_dict(self) -> dict[str, Any]:
        """Describe the job run as GetJobRun does."""
        found = super().as_dict() | {"GlueVersion": "local", "LogGroupName": str(self.run.log) if self.run else ""}
        del found["CompletedOn"]
        if self.run:
            end = self.run.ended or datetime.now(UTC)
            found |= {"StartedOn": self.run.started, "LastModifiedOn": end}
            found["ExecutionTime"] = round((end - self.run.started).total_seconds())
            found |= {"CompletedOn": self.run.ended} if self.run.ended else {}
            found |= {"ErrorMessage": self.run.error} if self.run.error else {}
        return found


@contextlib.contextmanager
def _glue_runs_scripts(runner: GlueRunner) -> Iterator[None]:
    """Let StartJobRun start the job's script and BatchStopJobRun kill it."""
    lock = threading.Lock()
    original = glue_models.FakeJob.start_job_run

    def start_job_run(job: glue_models.FakeJob, *args: Any, **kwargs: Any) -> str:
        with lock:  # two at once must not both find the job free; moto checks MaxConcurrentRuns itself
            run_id = original(job, *args, **kwargs)
            made = job.job_runs[-1]
            assert isinstance(made, _LocalJobRun)  # noqa: S101 # nosec B101 # replaced below
            command: Any = job.command
            try:
                made.run = runner.start(run_id, command["ScriptLocation"], made.arguments or {}, made.timeout or 2880)
            except BaseException:
                job.job_runs.remove(made)
                raise
            return run_id

    def batch_stop_job_run(response: GlueResponse) -> ActionResult:
        name = response._get_param("JobName")  # noqa: SLF001 - moto's way to read a request
        stopped: list[dict[str, str]] = []
        errors: list[dict[str, Any]] = []
        for run_id in response._get_param("JobRunIds"):  # noqa: SLF001
            try:
                response.glue_backend.get_job_run(name, run_id)
                runner.stop(run_id)
                stopped.append({"JobName": name, "JobRunId": run_id})
            except EntityNotFoundException as missing:
                detail = {"ErrorCode": "EntityNotFoundException", "ErrorMessage": str(missing.message)}
                errors.append({"JobName": name, "JobRunId": run_id, "ErrorDetail": detail})
        return ActionResult({"SuccessfulSubmissions": stopped, "Errors": errors})

    with (
        patch.object(glue_models, "FakeJobRun", _LocalJobRun),
        patch.object(glue_models.FakeJob, "start_job_run", start_job_run),
        patch.object(GlueResponse, "batch_stop_job_run", batch_stop_job_run, create=True),
    ):
        yield


@contextlib.contextmanager
def _sync_tasks(runner: GlueRunner) -> Iterator[None]:
    """Make ``glue:startJobRun.sync`` work, and stop the job when its task or its execution ends before it does."""
    task = glue_task.StateTaskServiceGlue
    sync_to_start_job_run, eval_sync = task._sync_to_start_job_run, task._eval_sync  # noqa: SLF001
    waiting: dict[int, str] = {}

    def remember(self: glue_task.StateTaskServiceGlue, env: Any, *args: Any, **kwargs: Any) -> Any:
        waiting[id(env)] = env.stack[-1]["JobRunId"]
        return sync_to_start_job_run(self, env, *args, **kwargs)

    def wait(self: glue_task.StateTaskServiceGlue, env: Any, *args: Any, **kwargs: Any) -> Any:
        run_id = waiting.pop(id(env))
        try:
            return eval_sync(self, env, *args, **kwargs)
        finally:
            runner.stop(run_id)

    patterns = {ResourceCondition.Sync, ResourceCondition.WaitForTaskToken}
    with (
        patch.object(glue_task, "_SUPPORTED_INTEGRATION_PATTERNS", patterns),
        patch.object(state_task_service_callback, "_DELAY_SECONDS_SYNC_CONDITION_CHECK", _POLL_SECONDS),
        patch.object(task, "_sync_to_start_job_run", remember),
        patch.object(task, "_eval_sync", wait),
    ):
        yield


@contextlib.contextmanager
def _notifications_kept(file: Path) -> Iterator[None]:
    """Append every message that SNS publishes to a file, one JSON object per line."""
    original = Topic.publish

    def publish(topic: Topic, message: str, subject: str | None = None, **kwargs: Any) -> str:
        message_id = original(topic, message, subject=subject, **kwargs)
        line = {"time": datetime.now(UTC).isoformat(), "topic": topic.name, "subject": subject, "message": message}
        with file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
        return message_id

    with patch.object(Topic, "publish", publish):
        yield


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
    state_dir: Path = parser.parse_args(argv).state.resolve()
    (state_dir / LOG_FILE).parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=state_dir / LOG_FILE, level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    stack_file = state_dir / STACK_FILE
    with _locked(state_dir):
        server = LocalServer(state_dir)
        server.start()
        draft = stack_file.with_suffix(".new")
        draft.write_text(json.dumps({"endpoint": server.endpoint, "pid": os.getpid()}))
        draft.replace(stack_file)
        end.wait()
        stack_file.unlink(missing_ok=True)
        server.stop()


if __name__ == "__main__":
    main()
