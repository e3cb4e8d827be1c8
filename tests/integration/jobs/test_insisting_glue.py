"""The real scripts under a Glue that insists on a SparkContext, as YARN does; and secrets as Amazon RDS manages them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from tidemark.jobs.definitions import job_definitions
from tidemark.jobs.deployment import Deployment

from local_stack.aws.client import REPO
from local_stack.aws.glue_runner import GlueRunner, JobRun
from local_stack.aws.job_environment import RunnerSettings
from tests.integration.conftest import PROCESSED, Harness, credentials_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidemark.base.credentials import Credentials

WITHOUT_SPARK = ("FAILED", "User did not initialize spark context!")
WELL = ("SUCCEEDED", "")


def put_secret(name: str, found: Credentials) -> str:
    """A secret as Amazon RDS manages it: who, and nothing of where."""
    content = {"username": found.username, "password": found.password.get_secret_value()}
    boto3.client("secretsmanager").create_secret(Name=name, SecretString=json.dumps(content))
    return name


@dataclass
class Glue:
    """Runs a deployment's scripts as processes, on a runner that insists."""

    runner: GlueRunner
    deployment: Deployment
    runs: count[int]

    def run(self, key: str, *, start_spark: bool = True) -> JobRun:
        deployment = replace(self.deployment, start_spark=start_spark)
        (job,) = [each for each in job_definitions(deployment) if each.key == key]
        execution = f"jr_{next(self.runs)}"
        given = dict.fromkeys(job.run_arguments, "") | {"--execution": f"{self.deployment.model_name}-{execution}"}
        found = self.runner.start(execution, str(REPO / "glue_jobs" / job.script), job.arguments | given, 5)
        assert found.done.wait(300)
        return found


@pytest.fixture
def runner(job_variables: dict[str, str], tmp_path: Path) -> Iterator[GlueRunner]:
    endpoint = job_variables["AWS_ENDPOINT_URL"]
    store = job_variables["AWS_ENDPOINT_URL_S3"]
    runner = GlueRunner(RunnerSettings(state_dir=tmp_path, endpoint=endpoint, store=store, insists_on_spark=True))
    yield runner
    runner.stop_all()


@pytest.fixture
def glue(shop: Harness, runner: GlueRunner) -> Glue:
    warehouse, name = credentials_of(shop.warehouse()), shop.model.name
    deployment = Deployment(
        model_name=name,
        model_uri=str(shop.folder),
        landing_uri=shop.landing.uri,
        processed_uri=PROCESSED,
        source_secret=put_secret(f"{name}-source", shop.reader),
        warehouse_secret=put_secret(f"{name}-warehouse", warehouse),
        source_host=shop.reader.host,
        source_port=shop.reader.port,
        source_dbname=shop.reader.dbname,
        warehouse_host=warehouse.host,
        warehouse_port=warehouse.port,
        warehouse_dbname=warehouse.dbname,
    )
    return Glue(runner, deployment, count(1))


def ended(run: JobRun) -> tuple[str, str]:
    assert run.state in ("SUCCEEDED", "FAILED")
    return run.state, run.error


def test_every_job_succeeds_where_spark_is_insisted_on_and_only_with_it(shop: Harness, glue: Glue) -> None:
    for key in ("extract", "transform", "load", "extract"):
        run = glue.run(key)
        assert ended(run) == WELL, run.log.read_text()
    assert "nothing has changed since manifest 1" in run.log.read_text()
    ((rows,),) = shop.query(f"SELECT count(*) FROM {shop.model.name}.fact_order", shop.warehouse())
    assert rows == shop.query("SELECT count(*) FROM orders")[0][0]

    # The runner does insist: these two have nothing to do, and need no Spark for that.
    assert ended(glue.run("extract", start_spark=False)) == WITHOUT_SPARK
    assert ended(glue.run("load", start_spark=False)) == WITHOUT_SPARK


STOPS = """
import os
from pyspark import SparkContext
from tidemark.base.errors import TidemarkError
from tidemark.jobs.process import run_job
from tidemark.base.spark import spark_session, spark_throughout

def main():
    with spark_throughout("test", "true"):
        context = SparkContext._active_spark_context
        assert spark_session("later").sparkContext is context, "the work gets the session that is there"
        region = context._jsc.hadoopConfiguration().get("fs.s3a.endpoint.region")
        assert region == os.environ["AWS_REGION"], region
    assert SparkContext._active_spark_context is None
    try:
        with spark_throughout("test", "true"):
            raise TidemarkError("the job's own sentence")
    finally:
        assert SparkContext._active_spark_context is None

run_job("test", main)
"""


def ran(runner: GlueRunner, folder: Path, text: str) -> JobRun:
    """Run a script of this text to its end."""
    script = folder / "script.py"
    script.write_text(text, encoding="utf-8")
    run = runner.start("jr_1", str(script), {}, 5)
    assert run.done.wait(300)
    return run


def test_a_session_is_there_throughout_and_stopped_whatever_happens(runner: GlueRunner, tmp_path: Path) -> None:
    run = ran(runner, tmp_path, STOPS)
    assert ended(run) == ("FAILED", "SystemExit: \tthe job's own sentence."), run.log.read_text()


DIES = """
import os, signal
from pyspark import SparkContext
from tidemark.base.memory import Work
from tidemark.jobs.process import run_job
from tidemark.base.spark import spark_session, spark_throughout

def main():
    with spark_throughout("test", "true"), Work("transform").on("mirror notes"):
        spark = spark_session("test")
        os.kill(SparkContext._jvm.java.lang.ProcessHandle.current().pid(), signal.SIGKILL)
        spark.range(3).count()

run_job("test", main)
"""


def test_a_job_whose_java_was_ended_says_what_it_worked_on(runner: GlueRunner, tmp_path: Path) -> None:
    """The end of the session, which needs Java, does not take the sentence's place."""
    run = ran(runner, tmp_path, DIES)
    state, error = ended(run)
    told = "SystemExit: \tthe job's memory ran out, or its Java was ended, during the work on mirror notes; expected: "
    assert (state, error.startswith(told)) == ("FAILED", True), run.log.read_text()
