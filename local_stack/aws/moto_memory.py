"""What moto would keep for as long as it runs, kept for a while: a daemon's memory does not grow with its ticks.

Forgotten are the oldest of what nobody asks for any more: executions with their histories, job runs, metrics, messages;
and former versions of tables, which Glue, too, does not keep for Iceberg (``skip-archive``).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from moto.cloudwatch.models import CloudWatchBackend
from moto.glue.models import FakeJob, FakeTable
from moto.sns.models import Topic
from moto.stepfunctions.parser.models import StepFunctionsParserBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXECUTIONS: Final = 500
"""Kept of a state machine: those of five days, one every 15 minutes."""
JOB_RUNS: Final = 500
"""Kept of each job."""
METRICS: Final = 50_000
MESSAGES: Final = 500


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Let moto forget; while this lasts."""
    with contextlib.ExitStack() as patches:
        for owner, name, forget in _RULES:
            patches.enter_context(patch.object(owner, name, _then(getattr(owner, name), forget)))
        yield


def _then(original: Callable[..., Any], forget: Callable[..., None]) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        forget(self, result)
        return result

    return call


def _executions(backend: StepFunctionsParserBackend, started: Any) -> None:
    for machine in backend.state_machines:  # the one that the execution names is a copy
        if machine.arn == started.state_machine.arn:
            _trim(machine.executions, EXECUTIONS)


def _job_runs(job: FakeJob, _: Any) -> None:
    _trim(job.job_runs, JOB_RUNS)


def _metrics(backend: CloudWatchBackend, _: Any) -> None:
    _trim(backend.metric_data, METRICS)


def _messages(topic: Topic, _: Any) -> None:
    _trim(topic.sent_notifications, MESSAGES)


def _versions(table: FakeTable, _: Any) -> None:
    now = table._current_version  # noqa: SLF001 - a newer one may be on its way in another thread
    for version in list(table.versions):
        if int(version) < now:
            table.versions.pop(version, None)


def _trim(kept: list[Any], most: int) -> None:
    """Leave the newest; in place, for others hold the same list."""
    del kept[: max(0, len(kept) - most)]


_RULES: Final = (
    (StepFunctionsParserBackend, "start_execution", _executions),
    (FakeJob, "start_job_run", _job_runs),
    (CloudWatchBackend, "put_metric_data", _metrics),
    (Topic, "publish", _messages),
    (FakeTable, "update", _versions),
)
