"""What a local stack's daemon forgets, and what it never does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws
from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID

from local_stack.aws import moto_memory
from local_stack.isolation import REGION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from types_boto3_glue.type_defs import JobCommandTypeDef

ROLE = f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/any"
PASS = {"StartAt": "Done", "States": {"Done": {"Type": "Pass", "End": True}}}


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("EXECUTIONS", "JOB_RUNS", "METRICS", "MESSAGES"):
        monkeypatch.setattr(moto_memory, name, 3)
    monkeypatch.delenv("AWS_ENDPOINT_URL")  # mock_aws answers in AWS's own place
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}), moto_memory.bounded():
        yield


@pytest.mark.usefixtures("forgetful")
def test_the_newest_executions_are_kept() -> None:
    states = boto3.client("stepfunctions", region_name=REGION)
    machines = [
        states.create_state_machine(name=name, definition=json.dumps(PASS), roleArn=ROLE)["stateMachineArn"]
        for name in ("first", "second")
    ]
    for number in range(5):
        states.start_execution(stateMachineArn=machines[0], name=f"e{number}")
    states.start_execution(stateMachineArn=machines[1], name="other")
    kept = [{e["name"] for e in states.list_executions(stateMachineArn=arn)["executions"]} for arn in machines]
    assert kept == [{"e2", "e3", "e4"}, {"other"}]
    last = states.list_executions(stateMachineArn=machines[0])["executions"][0]["executionArn"]
    assert states.get_execution_history(executionArn=last)["events"]


@pytest.mark.usefixtures("forgetful")
def test_the_newest_job_runs_are_kept(tmp_path: Path) -> None:
    script = tmp_path / "load.py"  # it is run where a local stack's Glue is in this process
    script.touch()
    glue = boto3.client("glue", region_name=REGION)
    command: JobCommandTypeDef = {"Name": "glueetl", "ScriptLocation": str(script)}
    glue.create_job(Name="load", Role=ROLE, Command=command, ExecutionProperty={"MaxConcurrentRuns": 9})
    runs = [glue.start_job_run(JobName="load")["JobRunId"] for _ in range(5)]
    assert [run["Id"] for run in glue.get_job_runs(JobName="load")["JobRuns"]] == runs[2:]


@pytest.mark.usefixtures("forgetful")
def test_of_a_table_its_present_version_is_kept() -> None:
    glue = boto3.client("glue", region_name=REGION)
    glue.create_database(DatabaseInput={"Name": "star"})
    glue.create_table(DatabaseName="star", TableInput={"Name": "fact", "Parameters": {"at": "0"}})
    for number in range(1, 5):
        at = glue.get_table(DatabaseName="star", Name="fact")["Table"]["VersionId"]
        parameters = {"at": str(number)}
        glue.update_table(DatabaseName="star", TableInput={"Name": "fact", "Parameters": parameters}, VersionId=at)
    assert glue.get_table(DatabaseName="star", Name="fact")["Table"]["Parameters"] == {"at": "4"}
    assert len(glue.get_table_versions(DatabaseName="star", TableName="fact")["TableVersions"]) == 1


@pytest.mark.usefixtures("forgetful")
def test_the_newest_metrics_and_messages_are_kept() -> None:
    cloudwatch, sns = boto3.client("cloudwatch", region_name=REGION), boto3.client("sns", region_name=REGION)
    topic = sns.create_topic(Name="alarms")["TopicArn"]
    for number in range(5):
        cloudwatch.put_metric_data(Namespace="t", MetricData=[{"MetricName": f"m{number}", "Value": number}])
        sns.publish(TopicArn=topic, Message=str(number))
    names = {found["MetricName"] for found in cloudwatch.list_metrics(Namespace="t")["Metrics"]}
    assert names == {"m2", "m3", "m4"}
    sent = get_backend("sns")[DEFAULT_ACCOUNT_ID][REGION].topics[topic].sent_notifications
    assert [message for _, message, *_ in sent] == ["2", "3", "4"]
