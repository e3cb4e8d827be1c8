"""What moto 5.2 lacks, patched in while the server runs.

That is ``glue:startJobRun.sync`` (moto opens no callback), job runs that run, their ErrorMessage, BatchStopJobRun,
stopping the job of a task that timed out, and a place to see what SNS published; and a quarter of what a request to S3
costs, for moto lists the folders of its own package with each.
"""

from __future__ import annotations

import contextlib
import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

import moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_glue as glue_task
from moto import backends
from moto.core.responses import ActionResult
from moto.glue import models as glue_models
from moto.glue.exceptions import EntityNotFoundException
from moto.glue.responses import GlueResponse
from moto.sns.models import Topic
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_aws_sdk,
    state_task_service_callback,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
from moto.stepfunctions.parser.asl.utils.boto_client import boto_client_for

from local_stack.aws import sdk
from local_stack.aws.glue_runner import GlueRunner, JobRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# How often a task that waits for its job looks whether it is still wanted.
_POLL_SECONDS: Final = 0.2


@contextlib.contextmanager
def services_listed_once() -> Iterator[None]:
    """Let moto remember which services it has."""
    known = frozenset(backends.list_of_moto_modules())
    with patch.object(backends, "list_of_moto_modules", lambda: known):
        yield


@contextlib.contextmanager
def sdk_tasks(store: str) -> Iterator[None]:
    """Let the state machine ask the store for objects, and for executions; moto asks itself for every service."""

    def client_for(region: str, service: str, state_credentials: Any = None) -> Any:
        if service == "s3":
            return sdk.s3(store)
        client = boto_client_for(region, service, state_credentials)
        return _Capitals(client) if service == "stepfunctions" else client

    with patch.object(state_task_service_aws_sdk, "boto_client_for", client_for):
        yield


class _Capitals:
    """A client of Step Functions as a definition sees it: there all names begin with a capital, here none."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**given: Any) -> Any:
            small = {name[0].lower() + name[1:]: value for name, value in given.items()}
            return _capitals(getattr(self._client, operation)(**small))

        return call


def _capitals(found: Any) -> Any:
    if isinstance(found, dict):
        return {name[0].upper() + name[1:]: _capitals(value) for name, value in found.items()}
    if isinstance(found, list):
        return [_capitals(one) for one in found]
    return found.isoformat() if isinstance(found, datetime) else found


class LocalJobRun(glue_models.FakeJobRun):
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
def glue_runs_scripts(runner: GlueRunner) -> Iterator[None]:
    """Let StartJobRun start the job's script and BatchStopJobRun kill it."""
    lock = threading.Lock()
    original = glue_models.FakeJob.start_job_run

    def start_job_run(job: glue_models.FakeJob, *args: Any, **kwargs: Any) -> str:
        with lock:  # two at once must not both find the job free; moto checks MaxConcurrentRuns itself
            run_id = original(job, *args, **kwargs)
            made = job.job_runs[-1]
            assert isinstance(made, LocalJobRun)  # noqa: S101 # nosec B101 # replaced below
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
        patch.object(glue_models, "FakeJobRun", LocalJobRun),
        patch.object(glue_models.FakeJob, "start_job_run", start_job_run),
        patch.object(GlueResponse, "batch_stop_job_run", batch_stop_job_run, create=True),
    ):
        yield


@contextlib.contextmanager
def sync_tasks(runner: GlueRunner) -> Iterator[None]:
    """Make ``glue:startJobRun.sync`` work, and stop the job when its task or its execution ends before it does.

    moto would ask itself again and again; the runner knows when the job has ended, so moto asks once.
    """
    task = glue_task.StateTaskServiceGlue
    sync_to_start_job_run, eval_sync = task._sync_to_start_job_run, task._eval_sync  # noqa: SLF001
    waiting: dict[int, str] = {}

    def remember(self: glue_task.StateTaskServiceGlue, env: Any, *args: Any, **kwargs: Any) -> Any:
        waiting[id(env)] = env.stack[-1]["JobRunId"]
        return sync_to_start_job_run(self, env, *args, **kwargs)

    def wait(self: glue_task.StateTaskServiceGlue, env: Any, **kwargs: Any) -> Any:
        run_id, look = waiting.pop(id(env)), kwargs.pop("sync_resolver")

        def look_at_the_end() -> Any:
            return look() if runner.has_ended(run_id, _POLL_SECONDS) else None

        try:
            return eval_sync(self, env, sync_resolver=look_at_the_end, **kwargs)
        finally:
            runner.stop(run_id)

    patterns = {ResourceCondition.Sync, ResourceCondition.WaitForTaskToken}
    with (
        patch.object(glue_task, "_SUPPORTED_INTEGRATION_PATTERNS", patterns),
        patch.object(state_task_service_callback, "_DELAY_SECONDS_SYNC_CONDITION_CHECK", 0),
        patch.object(task, "_sync_to_start_job_run", remember),
        patch.object(task, "_eval_sync", wait),
    ):
        yield


@contextlib.contextmanager
def notifications_kept(file: Path) -> Iterator[None]:
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
