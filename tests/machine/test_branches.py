"""Every way through the state machine."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from moto.glue.exceptions import GlueClientError
from moto.glue.responses import GlueResponse
from tidemark.operations.executions import wait

from local_stack.aws.provisioning import STATE_MACHINES
from tests.infra.templates import longest_pauses, seconds_at_most
from tests.machine.conftest import LANDS, Pipeline

if TYPE_CHECKING:
    from pathlib import Path

    from local_stack.aws.glue_runner import JobRun

STEPS = {"extract": "ExtractSource", "transform": "TransformToLake", "load": "LoadWarehouse"}
SLOW = "import time; time.sleep(60)"
START_UP_ERRORS = (
    "InternalServiceException",
    "ResourceNotReadyException",
    "ResourceNumberLimitExceededException",
    "ThrottlingException",
    "OperationTimeoutException",
    "AWSGlueException",
)
# How often, and after which pauses, a job's start is tried again is the definition's to say.
DEFINITION = json.loads((STATE_MACHINES / "etl.asl.json").read_text())
(START_UP,) = DEFINITION["States"]["ExtractSource"]["Retry"]
TRIES = START_UP["MaxAttempts"]


def names(execution: Any) -> list[str]:
    return [state.name for state in execution.states]


def until_running(pipeline: Pipeline, key: str) -> str:
    """Wait until a job runs; the id of its run."""
    for _ in range(200):
        running = [run["Id"] for run in pipeline.job_runs(key) if run["JobRunState"] == "RUNNING"]
        if running:
            return str(running[0])
        time.sleep(0.05)
    raise AssertionError(f"{key} never ran")


def fail_start(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, errors: list[str]) -> None:
    """Let the next starts of any job fail with these Glue errors, one each."""
    real = pipeline.server.runner.start

    def start(*args: Any) -> Any:
        if errors:
            raise GlueClientError(errors.pop(0), "Glue is not well today")
        return real(*args)

    monkeypatch.setattr(pipeline.server.runner, "start", start)


def test_what_is_landed_goes_all_the_way(pipeline: Pipeline) -> None:
    pipeline.provision({"extract": LANDS})
    execution = pipeline.run()
    assert execution.status == "SUCCEEDED"
    assert names(execution) == [
        "Begin",
        "ReadInput",
        "ExtractSource",
        "ExtractSucceeded?",
        "FindPending",
        "AnythingPending?",
        "FindMaintenance",
        "MaintenanceRuns?",
        "TransformToLake",
        "TransformSucceeded?",
        "LoadWarehouse",
        "LoadSucceeded?",
        "Published",
    ]
    assert {state.status for state in execution.states} == {"SUCCEEDED"}
    for key in STEPS:
        (run,) = pipeline.job_runs(key)
        assert run["JobRunState"] == "SUCCEEDED"
        assert run["Arguments"]["--execution"] == execution.name
    assert not [note for note in pipeline.aws.notifications() if execution.name in note.message]


def test_an_idle_source_ends_at_nothing_to_do(pipeline: Pipeline) -> None:
    pipeline.provision({"transform": "raise SystemExit('must not run')"})
    execution = pipeline.run()
    assert (execution.status, execution.final_state) == ("SUCCEEDED", "NothingToDo")
    assert pipeline.job_runs("transform") == []


def test_what_an_earlier_run_left_pending_is_taken(pipeline: Pipeline) -> None:
    pipeline.provision()
    pipeline.put_pending()
    assert pipeline.run().final_state == "Published"


@pytest.mark.parametrize(
    ("given", "accept_deletes", "full_compare"),
    [
        ({}, "none", "false"),
        ({"accept_deletes": "payment,address"}, "payment,address", "false"),
        ({"full_compare": "true"}, "none", "true"),
        ({"accept_deletes": "*", "full_compare": "true", "reason": "ignored"}, "*", "true"),
        ({"full_compare": True}, "none", "true"),
    ],
)
def test_input_is_merged_with_defaults(
    pipeline: Pipeline, given: dict[str, Any], accept_deletes: str, full_compare: str
) -> None:
    pipeline.provision()
    execution = pipeline.run(given)
    (run,) = pipeline.job_runs("extract")
    assert run["Arguments"] == {
        "--pipeline": pipeline.deployment.prefix,
        "--model_uri": "model/totesys",
        "--landing_uri": pipeline.deployment.landing_uri,
        "--landing_format": "parquet",
        "--source_secret": pipeline.deployment.source_secret,
        "--ca_file": "system",
        "--execution": execution.name,
        "--accept_deletes": accept_deletes,
        "--full_compare": full_compare,
    }


TELLS_ITS_ARGUMENTS = """
from tidemark.jobs.arguments import accepted_deletes, parse_arguments
found = parse_arguments("extract")
raise ValueError(f"{sorted(accepted_deletes(found.accept_deletes))} {found.full_compare}")
"""


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "[] false"),
        ({"accept_deletes": ""}, "[] false"),
        ({"accept_deletes": "", "full_compare": ""}, "[] false"),
        ({"accept_deletes": "none"}, "[] false"),
        ({"accept_deletes": "payment, address", "full_compare": "true"}, "['address', 'payment'] true"),
    ],
)
def test_an_empty_input_reaches_the_script_as_if_left_out(pipeline: Pipeline, given: dict[str, Any], told: str) -> None:
    """The runner drops empty values as Glue does, and the name stays: that must not confuse the script."""
    pipeline.provision({"extract": TELLS_ITS_ARGUMENTS})
    assert pipeline.run(given).cause.splitlines()[1] == f"ValueError: {told}"


@pytest.mark.parametrize("key", STEPS)
def test_a_run_that_meets_another_is_skipped(pipeline: Pipeline, key: str) -> None:
    pipeline.provision({key: SLOW})
    pipeline.put_pending()
    first = pipeline.start()
    job_run = until_running(pipeline, key)
    second = pipeline.run()
    assert (second.status, second.final_state) == ("SUCCEEDED", "SkippedOverlap")
    pipeline.aws.client("glue").batch_stop_job_run(JobName=pipeline.job_name(key), JobRunIds=[job_run])
    assert wait(pipeline.states, first, timeout=30).status == "FAILED"


@pytest.mark.parametrize("errors", [START_UP_ERRORS[at : at + TRIES] for at in range(0, len(START_UP_ERRORS), TRIES)])
def test_start_up_errors_are_tried_again(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, errors: tuple[str, ...]
) -> None:
    pipeline.provision()
    pipeline.put_pending()
    fail_start(pipeline, monkeypatch, list(errors))
    execution = pipeline.run()
    assert execution.final_state == "Published"
    assert {state.status for state in execution.states} == {"SUCCEEDED"}
    assert len(pipeline.delays) == len(errors)
    longest = [min(pause, START_UP["MaxDelaySeconds"]) for pause in longest_pauses(START_UP)[: len(errors)]]
    assert all(0 <= pause <= most for pause, most in zip(pipeline.delays, longest, strict=True))


def test_a_start_that_was_answered_too_late_is_met_by_the_next_try(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OperationTimeoutException does not say that nothing has started: one job, and no failure."""
    pipeline.provision({"extract": SLOW})
    errors, original = ["OperationTimeoutException"], GlueResponse.start_job_run

    def answer_late(response: GlueResponse) -> Any:
        found = original(response)
        if errors:
            raise GlueClientError(errors.pop(), "no answer in time")
        return found

    monkeypatch.setattr(GlueResponse, "start_job_run", answer_late)
    execution = pipeline.run()
    assert (execution.status, execution.final_state) == ("SUCCEEDED", "SkippedOverlap")
    (run,) = pipeline.job_runs("extract")
    assert run["JobRunState"] == "RUNNING"
    pipeline.aws.client("glue").batch_stop_job_run(JobName=pipeline.job_name("extract"), JobRunIds=[run["Id"]])


def test_start_up_errors_that_last_are_reported(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline.provision()
    fail_start(pipeline, monkeypatch, ["ThrottlingException"] * (TRIES + 1))
    execution = pipeline.run()
    assert execution.status == "FAILED"
    assert len(pipeline.delays) == TRIES
    assert "\nGlue.ThrottlingException: Glue is not well today\n" in pipeline.notification(execution).message


@pytest.mark.parametrize(("key", "step"), STEPS.items())
def test_a_failing_job_ends_in_a_message(pipeline: Pipeline, key: str, step: str) -> None:
    pipeline.provision({key: "raise ValueError('no such table: payment')"})
    pipeline.put_pending()
    execution = pipeline.run()
    (run,) = pipeline.job_runs(key)
    note = pipeline.notification(execution)
    assert note.subject == f"Tidemark: {step} failed"
    assert note.message == (
        f"{step} failed in execution {execution.name} of {pipeline.deployment.prefix}-etl.\n"
        "ValueError: no such table: payment\n"
        f"Look at the log of Glue job run {run['Id']}; on a laptop: tidemark status"
    )
    assert (execution.status, execution.error) == ("FAILED", "Tidemark.RunFailed")
    assert execution.cause == note.message
    assert execution.final_state == "Failed"
    assert [state.name for state in execution.states if state.status == "FAILED"] == [step, "Failed"]


@pytest.mark.parametrize(("key", "step"), STEPS.items())
def test_a_job_stopped_by_hand_is_a_failure(pipeline: Pipeline, key: str, step: str) -> None:
    pipeline.provision({key: SLOW})
    pipeline.put_pending()
    arn = pipeline.start()
    job_run = until_running(pipeline, key)
    glue = pipeline.aws.client("glue")
    answer = glue.batch_stop_job_run(JobName=pipeline.job_name(key), JobRunIds=[job_run, "jr_none"])
    assert [found["JobRunId"] for found in answer["SuccessfulSubmissions"]] == [job_run]
    assert [found["ErrorDetail"]["ErrorCode"] for found in answer["Errors"]] == ["EntityNotFoundException"]
    execution = wait(pipeline.states, arn, timeout=30)
    assert pipeline.notification(execution).message == (
        f"{step} failed in execution {execution.name} of {pipeline.deployment.prefix}-etl.\n"
        "The job run ended as STOPPED: somebody stopped it.\n"
        f"Look at the log of Glue job run {job_run}; on a laptop: tidemark status"
    )
    assert execution.cause == pipeline.notification(execution).message


def test_a_job_over_its_time_limit_is_killed(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline.provision({"extract": SLOW})
    real = pipeline.server.runner.start

    def start(execution: str, script: str, arguments: dict[str, str], _: float) -> JobRun:
        return real(execution, script, arguments, 0.5)

    monkeypatch.setattr(pipeline.server.runner, "start", start)
    execution = pipeline.run()
    (run,) = pipeline.job_runs("extract")
    assert run["JobRunState"] == "TIMEOUT"
    assert "\nThe job run took longer than its time limit.\n" in pipeline.notification(execution).message


def test_a_task_over_its_time_limit_stops_its_job(pipeline: Pipeline) -> None:
    def hurry(definition: dict[str, Any]) -> None:
        definition["States"]["TransformToLake"]["TimeoutSeconds"] = 1

    pipeline.provision({"transform": SLOW}, hurry)
    pipeline.put_pending()
    execution = pipeline.run()
    assert pipeline.notification(execution).message == (
        f"TransformToLake failed in execution {execution.name} of {pipeline.deployment.prefix}-etl.\n"
        "The step took longer than its time limit and was stopped.\n"
        f"Look at the logs of execution {execution.name}; on a laptop: tidemark status"
    )
    for _ in range(100):
        (run,) = pipeline.job_runs("transform")
        if run["JobRunState"] == "STOPPED":
            break
        time.sleep(0.05)
    assert run["JobRunState"] == "STOPPED"


def test_a_stopped_execution_stops_its_job(pipeline: Pipeline) -> None:
    pipeline.provision({"extract": SLOW})
    arn = pipeline.start()
    until_running(pipeline, "extract")
    pipeline.aws.client("stepfunctions").stop_execution(executionArn=arn)
    assert wait(pipeline.states, arn, timeout=30).status == "ABORTED"
    for _ in range(100):
        (run,) = pipeline.job_runs("extract")
        if run["JobRunState"] == "STOPPED":
            break
        time.sleep(0.05)
    assert run["JobRunState"] == "STOPPED"


def test_a_missing_bucket_is_reported_at_its_step(pipeline: Pipeline) -> None:
    pipeline.provision()
    pipeline.aws.client("s3").delete_bucket(Bucket=f"{pipeline.deployment.model_name}-landing")
    note = pipeline.notification(pipeline.run())
    assert note.subject == "Tidemark: FindPending failed"
    assert "The specified bucket does not exist" in note.message.splitlines()[1]


def test_a_missing_job_is_reported_at_its_step(pipeline: Pipeline) -> None:
    pipeline.provision()
    pipeline.aws.client("glue").delete_job(JobName=pipeline.job_name("extract"))
    lines = pipeline.notification(pipeline.run()).message.splitlines()
    assert lines[1].startswith("Glue.EntityNotFoundException: ")


def test_a_message_that_cannot_be_sent_does_not_hide_the_failure(pipeline: Pipeline) -> None:
    pipeline.provision({"extract": "raise ValueError('the cause')"})
    sns = pipeline.aws.client("sns")
    topics = [found["TopicArn"] for found in sns.list_topics()["Topics"]]
    (topic,) = [arn for arn in topics if f":{pipeline.deployment.prefix}-" in arn]
    sns.delete_topic(TopicArn=topic)
    execution = pipeline.run()
    assert (execution.status, execution.final_state) == ("FAILED", "Failed")
    assert execution.cause.splitlines()[1] == "ValueError: the cause"
    assert len(pipeline.delays) == 1


def test_arguments_and_their_values_stay_out_of_the_logs(pipeline: Pipeline) -> None:
    pipeline.provision({"extract": "import sys; print('started', file=sys.stderr)"})
    execution = pipeline.run({"accept_deletes": "hunter2-secret"})
    log: Path = pipeline.server.state_dir / "logs" / execution.name / "extract.log"
    text = log.read_text()
    assert "started" in text
    assert "--accept_deletes" in text
    everything = [path.read_bytes() for path in pipeline.server.state_dir.rglob("*") if path.is_file()]
    assert not [content for content in everything if b"hunter2-secret" in content]


def test_limits_add_up_to_less_than_the_machines_own() -> None:
    for name, state in DEFINITION["States"].items():
        assert state["Comment"], name
        for retry in state.get("Retry", []):
            assert retry["JitterStrategy"] == "FULL"
            assert retry["Comment"]
    assert seconds_at_most(DEFINITION) < DEFINITION["TimeoutSeconds"]
