"""The state machines and their schedules, as the template has them."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import pytest
from tidemark.jobs.definitions import STEPS, UPKEEP_STEPS
from tidemark.jobs.time_limits import TimeLimits

from cdk_app.deployment import deployment_of
from cdk_app.pipeline.schedule import _every, _nightly
from cdk_app.pipeline.state_machine import ASL_FOLDER
from cdk_app.settings import _INTERVALS
from tests.infra.templates import Synthesis, arn, seconds_at_most

FILE: Final = (ASL_FOLDER / "etl.asl.json").read_text(encoding="utf-8")
MACHINES: Final = ("etl", "maintain")
JOBS: Final = {"etl": ("Extract", "Transform", "Load"), "maintain": ("Maintain",)}


def machine(stage: Synthesis, which: str = "etl") -> dict[str, Any]:
    return stage.pipeline.machine(which)


def limits(stage: Synthesis) -> TimeLimits:
    return deployment_of(stage.settings).time_limits


def without_limits(definition: dict[str, Any]) -> dict[str, Any]:
    states = {
        name: {key: value for key, value in state.items() if key != "TimeoutSeconds"}
        for name, state in definition["States"].items()
    }
    return {key: value for key, value in definition.items() if key != "TimeoutSeconds"} | {"States": states}


def test_the_template_has_the_file_that_the_laptop_runs(stage: Synthesis) -> None:
    found = json.loads(machine(stage)["DefinitionString"])
    assert without_limits(found) == without_limits(json.loads(FILE))
    assert (found == json.loads(FILE)) is (limits(stage) == TimeLimits()), "the file has the usual limits"


@pytest.mark.parametrize("which", MACHINES)
def test_every_placeholder_is_bound_and_nothing_else_is(stage: Synthesis, which: str) -> None:
    found = machine(stage, which)
    placeholders = set(re.findall(r"\$\{(\w+)\}", found["DefinitionString"]))
    assert placeholders == found["DefinitionSubstitutions"].keys()
    name = stage.settings.name
    of_one = {
        "etl": {
            "LandingBucket": stage.storage.outputs["LandingBucket"],
            "PendingPrefix": "pending/",
            "MaintenanceMachineArn": arn("states", f"stateMachine:{name}-maintain"),
        },
        "maintain": {"TickMachineArn": arn("states", f"stateMachine:{name}-etl")},
    }
    assert found["DefinitionSubstitutions"] == {
        **{f"{job}JobName": f"{name}-{job.lower()}" for job in JOBS[which]},
        **of_one[which],
        "TopicArn": arn("sns", f"{name}-notifications"),
    }


@pytest.mark.parametrize("which", MACHINES)
def test_everything_is_logged_and_traced(stage: Synthesis, which: str) -> None:
    found = machine(stage, which)
    group = f"/aws/vendedlogs/states/{stage.settings.name}-{which}"
    assert found["LoggingConfiguration"] == {
        "Level": "ALL",
        "IncludeExecutionData": True,
        "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": arn("logs", f"log-group:{group}:*")}}],
    }
    assert found["TracingConfiguration"] == {"Enabled": True}
    assert stage.pipeline.one("AWS::Logs::LogGroup", LogGroupName=group)["KmsKeyId"] == arn(
        "kms", "key/<Operations/Key>"
    )


@pytest.mark.parametrize(("which", "steps"), [("etl", STEPS), ("maintain", UPKEEP_STEPS)])
def test_a_job_that_hangs_ends_with_a_message_before_its_machine(
    stage: Synthesis, which: str, steps: dict[str, str]
) -> None:
    definition = json.loads(machine(stage, which)["DefinitionString"])
    assert seconds_at_most(definition) < definition["TimeoutSeconds"] < 365 * 24 * 3600, "Step Functions' own limit"
    for job, step in steps.items():
        assert definition["States"][step]["TimeoutSeconds"] == getattr(stage.settings.time_limits, job) * 60


@pytest.mark.parametrize("key", [*STEPS, *UPKEEP_STEPS])
def test_a_step_stops_its_job_before_glue_does(stage: Synthesis, key: str) -> None:
    found = stage.pipeline.one("AWS::Glue::Job", Name=f"{stage.settings.name}-{key}")
    limit = limits(stage).step_seconds(key)
    assert limit < found["Timeout"] * 60 <= limit + 120


@pytest.mark.parametrize(
    ("minutes", "tick", "nightly"),
    [
        (10, "cron(0/10 * * * ? *)", "cron(5 2 * * ? *)"),
        (12, "cron(0/12 * * * ? *)", "cron(6 2 * * ? *)"),
        (15, "cron(0/15 * * * ? *)", "cron(7 2 * * ? *)"),
        (20, "cron(0/20 * * * ? *)", "cron(10 2 * * ? *)"),
        (30, "cron(0/30 * * * ? *)", "cron(15 2 * * ? *)"),
        (60, "cron(0 * * * ? *)", "cron(30 2 * * ? *)"),
        (120, "cron(0 0/2 * * ? *)", "cron(30 2 * * ? *)"),
        (180, "cron(0 0/3 * * ? *)", "cron(30 2 * * ? *)"),
        (240, "cron(0 0/4 * * ? *)", "cron(30 2 * * ? *)"),
        (360, "cron(0 0/6 * * ? *)", "cron(30 2 * * ? *)"),
        (480, "cron(0 0/8 * * ? *)", "cron(30 2 * * ? *)"),
        (720, "cron(0 0/12 * * ? *)", "cron(30 2 * * ? *)"),
        (1440, "cron(0 0 * * ? *)", "cron(30 2 * * ? *)"),
    ],
)
def test_ticks_are_on_the_clock_and_the_nightly_run_stands_between_two(minutes: int, tick: str, nightly: str) -> None:
    assert _every(minutes).expression_string == tick
    assert _nightly(2, minutes).expression_string == nightly
    assert int(nightly[5:].split(maxsplit=1)[0]) % min(minutes, 60) != 0, "never in a tick's own minute"


def test_every_allowed_interval_is_in_the_table_above() -> None:
    mark = test_ticks_are_on_the_clock_and_the_nightly_run_stands_between_two.pytestmark[0]  # type: ignore[attr-defined]
    assert tuple(row[0] for row in mark.args[1]) == _INTERVALS
    assert all(1440 % minutes == 0 for minutes in _INTERVALS), "a day is a whole number of ticks"


@pytest.mark.parametrize(
    ("what", "which", "given", "hours"),
    [
        ("One tick", "etl", {}, None),
        ("Nightly full compare", "etl", {"full_compare": "true"}, 0),
        ("Nightly upkeep", "maintain", {}, 1),
    ],
)
def test_a_schedule_starts_the_machine_and_gives_up_in_time(
    stage: Synthesis, what: str, which: str, given: dict[str, str], hours: int | None
) -> None:
    """``hours``: so long after the nightly full compare's hour; None: every interval."""
    (found,) = [item for item in stage.pipeline.of("AWS::Scheduler::Schedule") if item["Description"].startswith(what)]
    minutes, name = stage.settings.interval_minutes, stage.settings.name
    assert json.loads(found["Target"].pop("Input")) == given
    assert found["Target"] == {
        "Arn": arn("states", f"stateMachine:{name}-{which}"),
        "RoleArn": "<Schedule/Role>",
        "RetryPolicy": {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": minutes * 60},
        "DeadLetterConfig": {"Arn": arn("sqs", "<Schedule/DeadLetters>")},
    }
    when = _every(minutes) if hours is None else _nightly(stage.settings.full_compare_hour + hours, minutes)
    assert found["ScheduleExpression"] == when.expression_string
    assert found["ScheduleExpressionTimezone"] == "Etc/UTC"
    assert found["GroupName"] == name == stage.pipeline.one("AWS::Scheduler::ScheduleGroup")["Name"]
    assert (found["State"], found["FlexibleTimeWindow"]) == ("ENABLED", {"Mode": "OFF"})


def test_dead_letters_are_kept_encrypted_for_a_person(stage: Synthesis) -> None:
    queue = stage.pipeline.one("AWS::SQS::Queue")
    assert queue["KmsMasterKeyId"] == arn("kms", "key/<Operations/Key>")
    assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600
