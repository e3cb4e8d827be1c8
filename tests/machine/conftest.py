"""The real state machine on a local AWS in this process, with tiny scripts in place of the real jobs.

The definition is that of the synthesised template (tests/infra shows that it is the laptop's file, limits apart), bound
here to local names: what is deployed goes through every branch.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from tidemark.jobs.definitions import job_definitions
from tidemark.jobs.deployment import Deployment
from tidemark.operations.executions import Execution, Notification, start_execution, wait

from local_stack.aws.client import LocalAws
from local_stack.aws.provisioning import provision
from local_stack.aws.server import LocalServer
from tests.infra.templates import synthesis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from types_boto3_stepfunctions import SFNClient

# A minute of a job's time limit in these tests; the jobs' 10 minutes become 20 seconds.
SECONDS_PER_MINUTE = 2.0
_numbers = count(1)

LANDS = """
import boto3, sys
execution = sys.argv[sys.argv.index("--execution") + 1]
landing = sys.argv[sys.argv.index("--landing_uri") + 1].removeprefix("s3://").split("/")[0]
boto3.client("s3").put_object(Bucket=landing, Key="pending/000001", Body=execution.encode())
"""
SUCCEEDS = "pass"


@dataclass
class Pipeline:
    """One provisioned deployment whose scripts a test can set."""

    aws: LocalAws
    server: LocalServer
    deployment: Deployment
    scripts: Path
    arn: str = ""
    delays: list[float] = field(default_factory=list)

    def provision(
        self, scripts: Mapping[str, str] | None = None, change: Callable[[dict[str, Any]], None] | None = None
    ) -> None:
        """Write the scripts (those left out succeed) and create the machine, changed if wanted."""
        for job in job_definitions(self.deployment):
            (self.scripts / job.script).write_text((scripts or {}).get(job.key, SUCCEEDS), encoding="utf-8")
        definition = deployed_definition()
        if change:
            change(definition)
        self.arn = provision(self.aws, self.deployment, self.scripts, json.dumps(definition))

    def put_pending(self) -> None:
        """Leave a pending marker, as a landed manifest does."""
        bucket = self.deployment.landing_uri.removeprefix("s3://").split("/")[0]
        self.aws.client("s3").put_object(Bucket=bucket, Key="pending/000001", Body=b"")

    @property
    def states(self) -> SFNClient:
        return self.aws.client("stepfunctions")

    def start(self, given: Mapping[str, Any] | None = None) -> str:
        return start_execution(self.states, self.arn, given)

    def run(self, given: Mapping[str, Any] | None = None) -> Execution:
        return wait(self.states, self.start(given), timeout=30)

    def job_name(self, key: str) -> str:
        return f"{self.deployment.prefix}-{key}"

    def job_runs(self, key: str) -> list[dict[str, Any]]:
        found = self.aws.client("glue").get_job_runs(JobName=self.job_name(key))["JobRuns"]
        return [dict(run) for run in found]

    def notification(self, execution: Execution) -> Notification:
        """The one message about an execution."""
        (found,) = [note for note in self.aws.notifications() if execution.name in note.message]
        return found


def deployed_definition() -> dict[str, Any]:
    """Give the state machine as CloudFormation gets it, placeholders kept, of the stage with 15-minute ticks."""
    found: dict[str, Any] = json.loads(synthesis()["prod"].pipeline.machine("etl")["DefinitionString"])
    return found


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    server = LocalServer(tmp_path_factory.mktemp("stack"), seconds_per_minute=SECONDS_PER_MINUTE)
    server.start()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _the_machine_finds_the_server(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Say again where moto is: a test that starts a daemon isolates this process, which takes that away."""
    monkeypatch.setenv("MOTO_PORT", str(urlsplit(server.endpoint).port))


def new_deployment(name: str) -> Deployment:
    """Make a deployment whose every name begins with a name."""
    return Deployment(
        model_name=name,
        model_uri="model/totesys",
        landing_uri=f"s3://{name}-landing",
        processed_uri=f"s3://{name}-processed",
        source_secret=f"{name}-source",
        warehouse_secret=f"{name}-warehouse",
    )


def new_pipeline(server: LocalServer, scripts: Path) -> Pipeline:
    """Make an unprovisioned deployment with names of its own."""
    deployment = new_deployment(f"m{next(_numbers)}")
    aws = LocalAws(server.state_dir, server.endpoint, server.store, os.getpid())
    return Pipeline(aws, server, deployment, scripts)


@pytest.fixture
def pipeline(server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """An unprovisioned deployment of its own; pauses before retries are noted instead of waited for."""
    pipeline = new_pipeline(server, tmp_path)
    monkeypatch.setattr(retrier_decl, "time", SimpleNamespace(sleep=pipeline.delays.append))
    return pipeline
