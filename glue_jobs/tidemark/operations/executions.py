"""Executions of the state machine: start one, wait for it, and read what each of its states did.

Owns the reading of Step Functions' execution history, in an account and in the local AWS alike.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from types_boto3_stepfunctions import SFNClient
    from types_boto3_stepfunctions.type_defs import HistoryEventTypeDef

ExecutionStatus = Literal["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]
StateStatus = Literal["RUNNING", "SUCCEEDED", "FAILED"]

# Asked again after a tenth of the time that an execution has taken, within these bounds.
_POLL_SECONDS: Final = (0.1, 1.0)
_FAILURES: Final = frozenset({"TaskFailed", "TaskTimedOut", "TaskStartFailed", "TaskSubmitFailed", "FailStateEntered"})


@dataclass(frozen=True)
class StateRun:
    """What one state of an execution did; `seconds` up to now while it runs.

    ``is_task`` tells states that do work from those that decide or pass; ``job_run`` is the last Glue run of it.
    """

    name: str
    status: StateStatus
    seconds: float
    is_task: bool = True
    job_run: str = ""


@dataclass(frozen=True)
class Notification:
    """One message that people got; `time` is aware."""

    time: datetime
    subject: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Execution:
    """One execution; `final_state` is the last state entered, `error` and `cause` are empty unless it failed."""

    arn: str
    name: str
    status: ExecutionStatus
    started: datetime
    ended: datetime | None
    final_state: str
    states: tuple[StateRun, ...]
    error: str = ""
    cause: str = ""

    @property
    def seconds(self) -> float:
        """How long it took, or has taken so far."""
        return ((self.ended or datetime.now(UTC)) - self.started).total_seconds()


def execution_name(now: datetime) -> str:
    """Name an execution by its time: unique, readable, and in the order of time when sorted as text."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"


def start_execution(states: SFNClient, machine: str, given: Mapping[str, str] | None = None) -> str:
    """Start the state machine.

    Parameters
    ----------
    machine
        Its ARN.
    given
        The execution's input: ``accept_deletes`` and ``full_compare`` may be in it.

    Returns
    -------
    str
        ARN of the execution.
    """
    started = states.start_execution(
        stateMachineArn=machine,
        name=execution_name(datetime.now(UTC)),
        input=json.dumps(dict(given or {})),
    )
    return started["executionArn"]


def wait(
    states: SFNClient, arn: str, on_progress: Callable[[Execution], None] | None = None, timeout: float | None = None
) -> Execution:
    """Wait for an execution's end.

    Parameters
    ----------
    arn
        Which execution.
    on_progress
        Called whenever a state begins or ends, and at the end.
    timeout
        Seconds to wait at most; without it to the end, which the machine's own limit brings.

    Raises
    ------
    TimeoutError
        If it still runs after `timeout`.
    """
    deadline = float("inf") if timeout is None else time.monotonic() + timeout
    seen: tuple[object, ...] = ()
    while True:
        found = describe(states, arn)
        progress = (found.status, *((state.name, state.status) for state in found.states))
        if on_progress and progress != seen:
            on_progress(found)
        seen = progress
        if found.status != "RUNNING":
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"execution {found.name} still runs after {timeout:.0f} s, in {found.final_state}")
        shortest, longest = _POLL_SECONDS
        time.sleep(min(max(found.seconds / 10, shortest), longest))


def describe(states: SFNClient, arn: str) -> Execution:
    """Read one execution and its history."""
    found = states.describe_execution(executionArn=arn)
    pages = states.get_paginator("get_execution_history").paginate(executionArn=arn)
    ran = states_of((event for page in pages for event in page["events"]), datetime.now(UTC))
    status: ExecutionStatus = found["status"]  # type: ignore[assignment] # PENDING_REDRIVE is for Map runs only
    return Execution(
        arn=arn,
        name=found.get("name", ""),
        status=status,
        started=found["startDate"],
        ended=found.get("stopDate"),
        final_state=ran[-1].name if ran else "",
        states=ran,
        error=found.get("error", ""),
        cause=found.get("cause", ""),
    )


def last_execution(states: SFNClient, machine: str) -> Execution | None:
    """Read the execution that started last, None before the first."""
    # The newest come first, so one page will do however long the machine has run.
    found = states.list_executions(stateMachineArn=machine, maxResults=100)["executions"]
    last = max(found, key=lambda item: item["startDate"], default=None)
    return describe(states, last["executionArn"]) if last else None


def list_executions(states: SFNClient, machine: str) -> list[Execution]:
    """List all executions with their states, oldest first."""
    pages = states.get_paginator("list_executions").paginate(stateMachineArn=machine)
    arns = [item["executionArn"] for page in pages for item in page["executions"]]
    return sorted((describe(states, arn) for arn in arns), key=lambda execution: execution.started)


def states_of(events: Iterable[HistoryEventTypeDef], now: datetime) -> tuple[StateRun, ...]:
    """Turn an execution's history into its states, in the order in which they were entered.

    A task that failed and was caught is FAILED here although the execution went on; one whose retry succeeded is not.
    """
    entered: list[tuple[str, datetime, bool]] = []
    job_runs: dict[int, str] = {}
    ended: dict[int, datetime] = {}
    failed: set[int] = set()
    for event in events:
        kind, at = event["type"], len(entered) - 1
        if "stateEnteredEventDetails" in event:
            name = event["stateEnteredEventDetails"]["name"]
            entered.append((name, event["timestamp"], kind == "TaskStateEntered"))
            at += 1
        if kind in _FAILURES:
            failed.add(at)
        if kind in {"TaskScheduled", "TaskStarted"}:
            failed.discard(at)
        if "taskSubmittedEventDetails" in event:
            job_runs[at] = json.loads(event["taskSubmittedEventDetails"].get("output") or "{}").get("JobRunId", "")
        if kind.endswith("StateExited") or kind == "FailStateEntered" or kind.startswith("Execution"):
            ended.setdefault(at, event["timestamp"])
    return tuple(
        StateRun(
            name,
            "FAILED" if at in failed else "SUCCEEDED" if at in ended else "RUNNING",
            (ended.get(at, now) - start).total_seconds(),
            is_task,
            job_runs.get(at, ""),
        )
        for at, (name, start, is_task) in enumerate(entered)
    )
