"""``tidemark --stage``: reconcile and history of a stage, asked with ordinary AWS settings."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from tidemark.base import aws
from tidemark.jobs.deployment import Deployment
from tidemark.model.loader import load_model
from typer.testing import CliRunner

from local_stack.aws.client import LocalAws
from local_stack.aws.provisioning import provision
from tests.integration.conftest import PROCESSED, Harness
from tidemark_cli.main import app

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidemark.model.definition import Model

STAGE = "uat"


class Staged(Harness):
    """A shop whose lake has the names of a stage."""

    @property
    def model(self) -> Model:
        name = load_model(str(self.folder)).name
        return load_model(str(self.folder), f"{name}_{STAGE}")


def deploy(shop: Harness, folder: Path) -> None:
    """Put into the cloud what the template would: the model, the secrets, the jobs, the state machine."""
    name, secrets = shop.model.name, boto3.client("secretsmanager")
    boto3.client("s3").upload_file(
        shutil.make_archive(str(folder / "model"), "zip", shop.folder), "lake", f"{name}.zip"
    )
    for part, credentials in (("source", shop.reader), ("warehouse", shop.warehouse())):
        secrets.create_secret(Name=f"{name}-{part}", SecretString=json.dumps(credentials.secret()))
    deployment = Deployment(
        model_name=name,
        stage=STAGE,
        model_uri=f"s3://lake/{name}.zip",
        landing_uri=shop.landing.uri,
        processed_uri=PROCESSED,
        source_secret=f"{name}-source",
        warehouse_secret=f"{name}-warehouse",
        start_spark=True,
    )
    provision(
        LocalAws(folder, os.environ["AWS_ENDPOINT_URL"], os.environ["AWS_ENDPOINT_URL_S3"], os.getpid()), deployment
    )


def call(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["--stage", STAGE, *arguments], env={"COLUMNS": "200", "NO_COLOR": "1"})


def test_a_stage_is_reconciled_and_its_history_shown(
    new_pipeline: Callable[[], Harness], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.forget()
    shop = new_pipeline()
    shop.__class__ = Staged
    shop.tick()
    shop.execute("UPDATE orders SET note = 'again' WHERE order_id = 5")
    shop.tick()
    deploy(shop, tmp_path)
    result = call("reconcile", "--deep")
    assert result.exit_code == 0, result.output
    assert "all equal" in result.output
    assert "every row is the same in source, lake and warehouse" in result.output
    result = call("history", "order", "5")
    assert result.exit_code == 0, result.output
    assert "fact_order 5: 2 versions" in result.output
    assert "again" in result.output
    with shop.warehouse().connect() as warehouse:
        warehouse.execute(f"DELETE FROM {shop.model.name}.fact_order WHERE order_id = 17".encode())
    result = call("reconcile")
    assert result.exit_code == 1
    assert "warehouse differs from lake" in result.output
