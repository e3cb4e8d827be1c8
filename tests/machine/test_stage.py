"""``tidemark --stage``: a pipeline that is found on AWS by what is deployed there, without any of the laptop's objects."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from tidemark.base import aws
from tidemark.base.errors import TidemarkError
from tidemark.operations.executions import start_execution
from tidemark.operations.pipeline import of_stage
from typer.testing import CliRunner

from local_stack import isolation
from tests.machine.conftest import SUCCEEDS, Pipeline
from tests.shop import SHOP_MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = SHOP_MODEL
FAILS = "raise SystemExit('the source is closed today')"


@pytest.fixture
def dev(pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """A stage of its own with the shop's model, as the template would have made it; this process has AWS settings only."""
    for name, value in isolation.variables(pipeline.aws.endpoint, pipeline.aws.store).items():
        monkeypatch.setenv(name, value)
    aws.forget()
    stage = pipeline.deployment.model_name
    bucket = f"{stage}-model"
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    archive = shutil.make_archive(str(tmp_path / "model"), "zip", MODEL)
    s3.upload_file(archive, bucket, "model.zip")
    pipeline.deployment = replace(
        pipeline.deployment,
        model_name="shop",
        stage=stage,
        model_uri=f"s3://{bucket}/model.zip",
        source_host="db.example.org",
        source_port=6432,
        source_dbname="shop",
        start_spark=True,
    )
    pipeline.provision()
    yield pipeline
    aws.forget()


def call(*arguments: str) -> Any:
    from tidemark_cli.main import app  # noqa: PLC0415 - after the settings

    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "NO_COLOR": "1"})


def test_a_stage_is_what_its_jobs_were_deployed_with(dev: Pipeline) -> None:
    found = of_stage(dev.deployment.stage)
    assert found.deployment == dev.deployment
    assert found.machine == dev.arn
    assert found.model.name == "shop"
    assert found.model.star_database == f"shop_{dev.deployment.stage}_star", "stages share one catalogue"


def test_tick_and_status(dev: Pipeline) -> None:
    stage = dev.deployment.stage
    result = call("--stage", stage, "status")
    assert result.exit_code == 0, result.output
    assert "none yet; start one with: tidemark tick" in result.output
    assert dev.arn in result.output
    result = call("--stage", stage, "tick")
    assert result.exit_code == 0, result.output
    assert "nothing had changed in the source, and nothing was pending" in result.output
    result = call("--stage", stage, "status")
    assert "SUCCEEDED, NothingToDo" in result.output
    assert f"CloudWatch, /aws-glue/{dev.deployment.prefix}/output" in result.output


def test_a_failure_says_where_its_log_is(dev: Pipeline) -> None:
    dev.provision({"extract": FAILS, "transform": SUCCEEDS})
    result = call("--stage", dev.deployment.stage, "tick")
    assert result.exit_code == 1
    assert "the source is closed today" in result.stderr
    (run,) = dev.job_runs("extract")
    assert f"/aws-glue/{dev.deployment.prefix}/output --log-stream-names {run['Id']}" in result.stderr


def test_the_maintenance_is_run_and_its_failure_is_told(dev: Pipeline) -> None:
    stage = dev.deployment.stage
    result = call("--stage", stage, "maintain")
    assert result.exit_code == 0, result.output
    assert "looked at 0 tables; there was nothing to do" in result.output
    dev.provision({"maintain": FAILS})
    result = call("--stage", stage, "maintain")
    assert result.exit_code == 1
    assert "MaintainLake failed" in result.stderr
    assert "the source is closed today" in result.stderr


@pytest.mark.parametrize("job", ["extract", "maintain"])
def test_a_rebuild_beside_an_execution_is_refused(dev: Pipeline, job: str) -> None:
    dev.provision({job: "import time; time.sleep(15)"})
    arn = (
        dev.start() if job == "extract" else start_execution(dev.states, of_stage(dev.deployment.stage).upkeep_machine)
    )
    result = call("--stage", dev.deployment.stage, "rebuild", "--yes")
    dev.states.stop_execution(executionArn=arn)
    assert result.exit_code == 1
    assert "is running; expected: no execution while lake and warehouse are dropped" in result.stderr
    assert "nothing was dropped" in result.stderr


def test_a_rebuild_from_half_a_landing_area_is_refused(dev: Pipeline) -> None:
    boto3.client("s3").put_object(
        Bucket=dev.deployment.landing_uri.removeprefix("s3://"), Key="begins.json", Body=b'{"batch": 5}'
    )
    result = call("--stage", dev.deployment.stage, "rebuild", "--yes")
    assert result.exit_code == 1
    assert "begins with batch 5" in result.stderr
    assert "landing_days" in result.stderr


def test_the_stage_must_be_there(dev: Pipeline) -> None:
    with pytest.raises(TidemarkError, match="there is no pipeline of stage 'none'"):
        of_stage("none")
    with pytest.raises(TidemarkError, match="there is no pipeline of stage"):
        of_stage(dev.deployment.stage, model="shops")
    assert of_stage(dev.deployment.stage, model="shop").deployment.model_name == "shop"


def test_one_of_several_models_has_to_be_named(dev: Pipeline) -> None:
    first = dev.deployment
    dev.deployment = replace(first, model_name="shop_two")
    dev.provision()
    with pytest.raises(TidemarkError, match=r"has 2 pipelines: shop, shop-two; to do: say which, with --model"):
        of_stage(first.stage)
    assert of_stage(first.stage, model="shop").deployment == first
    assert of_stage(first.stage, model="shop_two").deployment.model_name == "shop_two"


@pytest.mark.parametrize("command", ["up", "down", "simulate", "demo"])
def test_what_only_a_laptop_has_is_refused(command: str) -> None:
    result = call("--stage", "dev", command)
    assert result.exit_code == 2
    assert "works with the laptop's stack only" in result.stderr


def test_options_that_do_not_go_together() -> None:
    assert call("--model", "shop", "status").exit_code == 2
    assert call("--stage", "dev", "status", "--state", "elsewhere").exit_code == 2


def test_no_credentials_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    aws.forget()
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    result = call("--stage", "dev", "status")
    assert result.exit_code == 1
    assert "set AWS_PROFILE" in result.stderr
    assert "Traceback" not in result.stderr
