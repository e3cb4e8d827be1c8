"""What wakes people up, as a table; and whom."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import pytest
from tidemark.base import metrics

from cdk_app.settings import REPO
from tests.infra.templates import ACCOUNT, Synthesis, arn

RUNBOOK: Final = REPO / "docs" / "runbook.md"
STATES, SCHEDULER, SQS, OURS = "AWS/States", "AWS/Scheduler", "AWS/SQS", "Tidemark"

# Sentence, metrics, statistic, comparison with the threshold, period in seconds, periods, missing data, runbook section.
# "i" is the interval in seconds, "f" the freshness limit in seconds.
TABLE: Final = [
    (
        "a run failed, timed out or was aborted",
        [(STATES, "ExecutionsFailed"), (STATES, "ExecutionsTimedOut"), (STATES, "ExecutionsAborted")],
        "Sum",
        ">= 1",
        "300",
        1,
        "notBreaching",
        "run-failed",
    ),
    (
        "the upkeep of the lake failed",
        [(STATES, "ExecutionsFailed"), (STATES, "ExecutionsTimedOut"), (STATES, "ExecutionsAborted")],
        "Sum",
        ">= 1",
        "300",
        1,
        "notBreaching",
        "upkeep-failed",
    ),
    (
        "no run has succeeded for {missed} minutes",
        [(STATES, "ExecutionsSucceeded")],
        "Sum",
        "< 1",
        "i",
        3,
        "breaching",
        "no-success",
    ),
    (
        "the schedule could not start a run",
        [
            (SCHEDULER, "TargetErrorCount"),
            (SCHEDULER, "TargetErrorThrottledCount"),
            (SCHEDULER, "InvocationDroppedCount"),
            (SCHEDULER, "InvocationsFailedToBeSentToDeadLetterCount"),
        ],
        "Sum",
        ">= 1",
        "300",
        1,
        "notBreaching",
        "schedule",
    ),
    (
        "starts of runs were given up (dead letters)",
        [(SQS, "ApproximateNumberOfMessagesVisible")],
        "Maximum",
        ">= 1",
        "300",
        1,
        "notBreaching",
        "schedule",
    ),
    (
        "the warehouse is more than {limit} minutes old",
        [(OURS, "Freshness")],
        "Maximum",
        "> f",
        "300",
        1,
        "ignore",
        "stale",
    ),
    ("rows are in quarantine", [(OURS, "RowsQuarantined")], "Maximum", ">= 1", "300", 1, "ignore", "quarantine"),
    (
        "a source table lost so many rows that the run was stopped",
        [(OURS, "ShrinkGuardHits")],
        "Sum",
        ">= 1",
        "300",
        1,
        "notBreaching",
        "shrink-guard",
    ),
]
COMPARISONS: Final = {
    ">=": "GreaterThanOrEqualToThreshold",
    ">": "GreaterThanThreshold",
    "<": "LessThanThreshold",
}


def sentence(stage: Synthesis, text: str) -> str:
    limits = {"missed": 3 * stage.settings.interval_minutes, "limit": stage.settings.freshness_limit_minutes}
    return f"Tidemark totesys {stage.settings.stage}: {text.format(**limits)}"


def parts(alarm: dict[str, Any]) -> list[tuple[str, str, str, int, dict[str, str]]]:
    """Namespace, name, statistic, period and dimensions of all metrics of an alarm."""
    stats = [part["MetricStat"] for part in alarm.get("Metrics", []) if "MetricStat" in part]
    plain = [(stat["Metric"], stat["Stat"], stat["Period"]) for stat in stats] or [
        (alarm, alarm["Statistic"], alarm["Period"])
    ]
    return [
        (
            metric["Namespace"],
            metric["MetricName"],
            stat,
            period,
            {pair["Name"]: pair["Value"] for pair in metric["Dimensions"]},
        )
        for metric, stat, period in plain
    ]


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_an_alarm_says_and_watches_what_the_table_says(stage: Synthesis, row: tuple[Any, ...]) -> None:
    text, watched, statistic, condition, period, periods, missing, section = row
    values = {"i": stage.settings.interval_minutes * 60, "f": stage.settings.freshness_limit_minutes * 60}
    alarm = stage.pipeline.one("AWS::CloudWatch::Alarm", AlarmName=sentence(stage, text))
    found = parts(alarm)
    assert [(space, name) for space, name, *_ in found] == watched
    assert {part[2] for part in found} == {statistic}
    assert {part[3] for part in found} == {values.get(period) or int(period)}
    comparison, threshold = condition.split()
    assert alarm["ComparisonOperator"] == COMPARISONS[comparison]
    assert alarm["Threshold"] == (values.get(threshold) or int(threshold))
    assert (alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (periods, periods)
    assert alarm["TreatMissingData"] == missing
    assert alarm["AlarmActions"] == [arn("sns", f"{stage.settings.name}-notifications")]
    assert alarm["AlarmDescription"].endswith(f"docs/runbook.md#{section}")
    which = "maintain" if section == "upkeep-failed" else "etl"
    dimensions = {
        STATES: {"StateMachineArn": arn("states", f"stateMachine:{stage.settings.name}-{which}")},
        SCHEDULER: {"ScheduleGroup": stage.settings.name},
        SQS: {"QueueName": "<Schedule/DeadLetters>"},
        OURS: {"Pipeline": stage.stage.pipeline.deployment.pipeline},
    }
    assert all(part[4] == dimensions[part[0]] for part in found)


def test_there_is_no_alarm_that_the_table_does_not_know(stage: Synthesis) -> None:
    names = {alarm["AlarmName"] for alarm in stage.pipeline.of("AWS::CloudWatch::Alarm")}
    assert names == {sentence(stage, row[0]) for row in TABLE}


def test_counts_that_are_absent_when_nothing_happens_are_added_as_zero(stage: Synthesis) -> None:
    for alarm in stage.pipeline.of("AWS::CloudWatch::Alarm"):
        for part in alarm.get("Metrics", []):
            if "Expression" in part:
                ids = [other["Id"] for other in alarm["Metrics"] if "MetricStat" in other]
                assert part["Expression"] == " + ".join(f"FILL({name}, 0)" for name in ids)
                assert part["ReturnData"] is True


def test_an_alarm_never_looks_back_further_than_cloudwatch_allows(stage: Synthesis) -> None:
    for alarm in stage.pipeline.of("AWS::CloudWatch::Alarm"):
        for *_, period, _ in parts(alarm):
            assert period % 60 == 0
            assert period * alarm["EvaluationPeriods"] <= (7 * 86400 if period >= 3600 else 86400)


def test_every_alarm_has_its_section_in_the_runbook(stage: Synthesis) -> None:
    headings = re.findall(r"^#+ +(.+)$", RUNBOOK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    wanted = {alarm["AlarmDescription"].partition("#")[2] for alarm in stage.pipeline.of("AWS::CloudWatch::Alarm")}
    assert wanted <= anchors


def test_alarms_and_dashboard_use_metrics_that_the_jobs_publish(stage: Synthesis) -> None:
    published = {
        metrics.FRESHNESS,
        metrics.CUT_AGE,
        metrics.FULL_COMPARE_AGE,
        metrics.SHRINK_GUARD_HITS,
        metrics.ROWS_READ,
        metrics.ROWS_CHANGED,
        metrics.ROWS_QUARANTINED,
        metrics.DURATION,
        metrics.FAILURES,
    }
    jobs = "\n".join(file.read_text(encoding="utf-8") for file in (REPO / "glue_jobs" / "tidemark").rglob("*.py"))
    constants = {value: name for name, value in vars(metrics).items() if name.isupper() and isinstance(value, str)}
    for name in published:
        assert re.search(rf"(record|rows|age)\(\s*(metrics\.)?{constants[name]}\b", jobs), name
    body = json.dumps(stage.pipeline.one("AWS::CloudWatch::Dashboard")["DashboardBody"])
    shown = set(re.findall(r'MetricName=\\*"(\w+)\\*"', body)) | set(
        re.findall(r'\["?\\*"Tidemark\\*",\\*"(\w+)', body)
    )
    assert {metrics.FRESHNESS, metrics.DURATION, metrics.ROWS_CHANGED, metrics.ROWS_QUARANTINED} <= shown <= published
    assert {
        name
        for alarm in stage.pipeline.of("AWS::CloudWatch::Alarm")
        for space, name, *_ in parts(alarm)
        if space == OURS
    } <= published


def test_the_dashboard_shows_freshness_rows_durations_failures_and_cost(stage: Synthesis) -> None:
    body = json.loads(stage.pipeline.one("AWS::CloudWatch::Dashboard")["DashboardBody"])
    titles = [widget["properties"]["title"] for widget in body["widgets"]]
    for word in ("Alarms", "Age of the warehouse", "Runs", "Rows changed", "Duration", "Cost", "quarantine"):
        assert [title for title in titles if word in title], word
    (cost,) = [widget for widget in body["widgets"] if "Cost" in widget["properties"]["title"]]
    for job, workers in stage.settings.workers.model_dump().items():
        assert f"FILL({job}, 0) * {workers}" in json.dumps(cost)


def test_the_topic_is_encrypted_and_alarms_may_use_its_key(stage: Synthesis) -> None:
    name = f"{stage.settings.name}-notifications"
    topic = stage.pipeline.one("AWS::SNS::Topic")
    assert (topic["TopicName"], topic["KmsMasterKeyId"]) == (name, arn("kms", "key/<Operations/Key>"))
    key = stage.pipeline.one("AWS::KMS::Key")
    (alarms,) = [found for found in key["KeyPolicy"]["Statement"] if found.get("Sid") == "Alarms"]
    assert alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert alarms["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
    assert alarms["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    statements = stage.pipeline.one("AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    (speak,) = [found for found in statements if found["Effect"] == "Allow"]
    assert speak["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert (speak["Action"], speak["Resource"]) == ("sns:Publish", arn("sns", name))
    (insecure,) = [found for found in statements if found["Effect"] == "Deny"]
    assert insecure["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_people_of_the_settings_hear_of_it_and_nobody_else(stage: Synthesis) -> None:
    found = {(item["Protocol"], item["Endpoint"]) for item in stage.pipeline.of("AWS::SNS::Subscription")}
    phones = {("sms", phone) for phone in stage.settings.alarm_phones}
    assert found == phones | {("email", address) for address in stage.settings.alarm_emails}
    assert bool(found) is (stage.settings.stage == "dev")
