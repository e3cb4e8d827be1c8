"""The maintenance's state machine, and how it and the tick give way to each other."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from tidemark.jobs.state_machine import machine_names
from tidemark.operations.executions import start_execution, wait

from tests.machine.conftest import LANDS, Pipeline
from tests.machine.test_branches import SLOW, until_running

if TYPE_CHECKING:
    from tidemark.operations.executions import Execution


def upkeep(pipeline: Pipeline) -> str:
    """Start the maintenance; its execution."""
    tick, maintenance = machine_names(pipeline.deployment)
    return start_execution(pipeline.states, pipeline.arn.removesuffix(tick) + maintenance)


def ended(pipeline: Pipeline, arn: str) -> Execution:
    return wait(pipeline.states, arn, timeout=30)


def test_it_runs_its_job_with_the_executions_name(pipeline: Pipeline) -> None:
    pipeline.provision({"maintain": "import sys; assert '--keep_batches_days' in sys.argv"})
    execution = ended(pipeline, upkeep(pipeline))
    assert (execution.status, execution.final_state) == ("SUCCEEDED", "Maintained")
    (run,) = pipeline.job_runs("maintain")
    assert run["Arguments"]["--execution"] == execution.name
    assert pipeline.job_runs("transform") == []


def test_beside_a_tick_it_is_left_for_another_night(pipeline: Pipeline) -> None:
    pipeline.provision({"extract": SLOW})
    pipeline.start()
    until_running(pipeline, "extract")
    execution = ended(pipeline, upkeep(pipeline))
    assert (execution.status, execution.final_state) == ("SUCCEEDED", "SkippedOverlap")
    assert pipeline.job_runs("maintain") == []


def test_a_tick_beside_it_lands_what_changed_and_leaves_it_pending(pipeline: Pipeline) -> None:
    pipeline.provision({"extract": LANDS, "maintain": SLOW})
    upkeep(pipeline)
    until_running(pipeline, "maintain")
    execution = pipeline.run()
    assert (execution.status, execution.final_state) == ("SUCCEEDED", "SkippedOverlap")
    assert [state.name for state in execution.states if state.is_task] == [
        "ExtractSource",
        "FindPending",
        "FindMaintenance",
    ]
    assert pipeline.job_runs("transform") == []
    bucket = pipeline.deployment.landing_uri.removeprefix("s3://")
    assert pipeline.aws.client("s3").list_objects_v2(Bucket=bucket, Prefix="pending/")["KeyCount"] == 1


def test_a_second_one_gives_way_to_the_first(pipeline: Pipeline) -> None:
    pipeline.provision({"maintain": SLOW})
    upkeep(pipeline)
    until_running(pipeline, "maintain")
    assert ended(pipeline, upkeep(pipeline)).final_state == "SkippedOverlap"


def test_begun_in_the_same_moment_one_of_them_goes_on_at_most(pipeline: Pipeline) -> None:
    pipeline.provision({"transform": "import time; time.sleep(1)", "maintain": "import time; time.sleep(1)"})
    for _ in range(3):
        pipeline.put_pending()
        arns = [upkeep(pipeline), pipeline.start()]
        found = [ended(pipeline, arn) for arn in arns]
        assert {execution.status for execution in found} == {"SUCCEEDED"}
        assert [execution.final_state for execution in found].count("SkippedOverlap") >= 1
        time.sleep(0.01)


@pytest.mark.parametrize("stopped", [False, True])
def test_a_failure_is_told_as_that_of_a_tick_is(pipeline: Pipeline, stopped: bool) -> None:
    pipeline.provision({"maintain": SLOW if stopped else "raise ValueError('the lake is dry')"})
    arn = upkeep(pipeline)
    if stopped:
        run = until_running(pipeline, "maintain")
        pipeline.aws.client("glue").batch_stop_job_run(JobName=pipeline.job_name("maintain"), JobRunIds=[run])
    execution = ended(pipeline, arn)
    assert (execution.status, execution.error) == ("FAILED", "Tidemark.RunFailed")
    told = pipeline.notification(execution)
    assert told.subject == "Tidemark: MaintainLake failed"
    assert told.message == execution.cause
    said = "somebody stopped it" if stopped else "the lake is dry"
    assert said in told.message
    assert f"of {machine_names(pipeline.deployment)[1]}." in told.message


def test_the_definition_has_no_state_that_nothing_leads_to(pipeline: Pipeline) -> None:
    pipeline.provision()
    _, name = machine_names(pipeline.deployment)
    arn = pipeline.arn.removesuffix(machine_names(pipeline.deployment)[0]) + name
    states = json.loads(pipeline.states.describe_state_machine(stateMachineArn=arn)["definition"])["States"]
    text = json.dumps(states)
    assert {state for state in states if f'": "{state}"' not in text} == {"Begin"}
