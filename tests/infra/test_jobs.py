"""The Glue jobs of the template against what the laptop runs and what the entry scripts parse."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from typing import Any, Final

import pytest
from tidemark.jobs.definitions import arguments_of, job_definitions, optional_arguments_of

from cdk_app.settings import REPO
from tests.infra.templates import ACCOUNT, REGION, Synthesis, arn

JOBS: Final = ("extract", "transform", "load", "maintain")
ASSETS: Final = f"s3://cdk-hnb659fds-assets-{ACCOUNT}-{REGION}/"

# "Using job parameters in AWS Glue jobs": what Glue itself understands, of which the template may use any.
GLUES_OWN: Final = {
    "--additional-python-modules",
    "--custom-logGroup-prefix",
    "--datalake-formats",
    "--enable-auto-scaling",
    "--enable-continuous-cloudwatch-log",
    "--enable-metrics",
    "--enable-observability-metrics",
    "--extra-files",
    "--extra-py-files",
    "--job-language",
    "--python-modules-installer-option",
}


def job(stage: Synthesis, key: str) -> dict[str, Any]:
    return stage.pipeline.one("AWS::Glue::Job", Name=f"{stage.settings.name}-{key}")


@pytest.mark.parametrize("key", JOBS)
def test_every_argument_is_one_that_the_script_or_glue_knows(stage: Synthesis, key: str) -> None:
    per_run = {f"--{name}" for name in ("execution", "accept_deletes", "full_compare")}
    ours = {f"--{name}" for name in arguments_of(key)} - per_run
    optional = {f"--{name}" for name in optional_arguments_of(key)} - per_run
    given = set(job(stage, key)["DefaultArguments"])
    assert ours <= given - GLUES_OWN <= ours | optional, "none missing, none unknown"
    assert given & GLUES_OWN == GLUES_OWN - ({"--extra-files"} if "--extra-files" not in given else set())


@pytest.mark.parametrize("key", JOBS)
def test_no_argument_is_empty_for_glue_drops_such_values(stage: Synthesis, key: str) -> None:
    """Of Glue's own, ``--enable-metrics`` is a name without a value by Glue's documentation."""
    assert all(text for name, text in job(stage, key)["DefaultArguments"].items() if name not in GLUES_OWN)
    machine = json.loads(stage.pipeline.machine("etl")["DefinitionString"])
    assert all(machine["States"]["Begin"]["Parameters"]["constants"]["input"].values())


@pytest.mark.parametrize("key", JOBS)
def test_every_job_starts_spark_first_for_yarn_fails_one_without(stage: Synthesis, key: str) -> None:
    assert job(stage, key)["DefaultArguments"]["--start_spark"] == "true"


@pytest.mark.parametrize(("key", "database"), [("extract", "source"), ("transform", ""), ("load", "warehouse")])
def test_a_job_is_told_what_its_secret_may_lack(dev: Synthesis, prod: Synthesis, key: str, database: str) -> None:
    names = ("host", "port", "dbname")
    for stage in (dev, prod):
        arguments, settings = job(stage, key)["DefaultArguments"], stage.settings
        wanted = {f"--{database}_{name}": getattr(settings, f"{database}_{name}") for name in names if database}
        found = {name: text for name, text in arguments.items() if name.endswith(("_host", "_port", "_dbname"))}
        assert found == {name: str(value) for name, value in wanted.items() if value}
    assert bool(found) is bool(database), "the port is always known"


@pytest.mark.parametrize("key", JOBS)
def test_the_state_machine_adds_exactly_the_arguments_of_a_run(stage: Synthesis, key: str) -> None:
    machines = [json.loads(stage.pipeline.machine(which)["DefinitionString"]) for which in ("etl", "maintain")]
    states = [step for machine in machines for step in machine["States"].values()]
    steps = [step for step in states if "startJobRun" in step.get("Resource", "")]
    names = {step["Parameters"]["JobName"]: step["Parameters"]["Arguments"] for step in steps}
    passed = {name.removesuffix(".$") for name in names[f"${{{key.capitalize()}JobName}}"]}
    fixed = set(job(stage, key)["DefaultArguments"])
    optional = {f"--{name}" for name in optional_arguments_of(key)}
    assert (passed | (fixed - GLUES_OWN)) - optional == {f"--{name}" for name in arguments_of(key)} - optional
    assert passed == {f"--{name}" for name in arguments_of(key)} - fixed
    assert not passed & fixed


@pytest.mark.parametrize("key", JOBS)
def test_the_template_and_the_laptop_take_the_jobs_from_one_place(stage: Synthesis, key: str) -> None:
    found = job(stage, key)
    arguments = found["DefaultArguments"]
    # Only the names of the assets are known to the template alone.
    places = {name: arguments[f"--{name}"] for name in ("model_uri", "ca_file") if f"--{name}" in arguments}
    (definition,) = [
        each for each in job_definitions(replace(stage.stage.pipeline.deployment, **places)) if each.key == key
    ]
    assert {name: text for name, text in arguments.items() if name not in GLUES_OWN} == definition.arguments
    assert found["Name"] == definition.name
    assert found["Timeout"] == definition.timeout_minutes


@pytest.mark.parametrize("key", JOBS)
def test_a_job_is_small_starts_once_and_is_never_retried_by_glue(stage: Synthesis, key: str) -> None:
    found = job(stage, key)
    expected = {
        "GlueVersion": "6.0",
        "WorkerType": "G.1X",
        "NumberOfWorkers": getattr(stage.settings.workers, key),
        "ExecutionProperty": {"MaxConcurrentRuns": 1},
        "MaxRetries": 0,
        "JobRunQueuingEnabled": False,
        "Role": f"<Roles/{key.capitalize()}>",
        "Connections": {"Connections": ["<Network/Connection>"]},
    }
    assert {name: found[name] for name in expected} == expected
    assert found["Command"]["Name"] == "glueetl"
    arguments = found["DefaultArguments"]
    assert arguments["--enable-auto-scaling"] == "true"
    assert arguments["--enable-continuous-cloudwatch-log"] == "true"
    assert arguments["--datalake-formats"] == "iceberg"


@pytest.mark.parametrize("key", JOBS)
def test_packages_come_from_the_bucket_of_assets_and_never_from_the_internet(stage: Synthesis, key: str) -> None:
    arguments = job(stage, key)["DefaultArguments"]
    assert arguments["--additional-python-modules"].startswith(ASSETS)
    assert arguments["--additional-python-modules"].endswith(".gluewheels.zip")
    assert arguments["--python-modules-installer-option"] == "--no-index"
    assert arguments["--extra-py-files"].startswith(ASSETS)
    assert arguments["--extra-py-files"].endswith(".zip")
    assert arguments["--model_uri"].startswith(ASSETS)
    assert job(stage, key)["Command"]["ScriptLocation"].startswith(ASSETS)


@pytest.mark.parametrize("key", JOBS)
def test_the_archives_hold_the_package_and_the_model_and_nothing_else(stage: Synthesis, key: str) -> None:
    arguments = job(stage, key)["DefaultArguments"]
    package = stage.zips[arguments["--extra-py-files"].removeprefix(ASSETS)]
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "glue_jobs/tidemark"],  # noqa: S607
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    if tracked:
        assert package == {name.removeprefix("glue_jobs/") for name in tracked if (REPO / name).is_file()}
    assert "tidemark/warehouse/postgres/load.py" in package
    assert not [name for name in package if name.endswith(".pyc") or not name.startswith("tidemark/")]
    model = stage.zips[arguments["--model_uri"].removeprefix(ASSETS)]
    assert model == {file.name for file in stage.settings.model_dir.iterdir()}


@pytest.mark.parametrize(("key", "speaks_to_a_database"), [("extract", True), ("transform", False), ("load", True)])
def test_the_authorities_lie_beside_the_script_under_the_name_it_looks_for(
    dev: Synthesis, key: str, speaks_to_a_database: bool
) -> None:
    arguments = job(dev, key)["DefaultArguments"]
    assert ("--extra-files" in arguments) is speaks_to_a_database
    if speaks_to_a_database:
        assert arguments["--extra-files"] == f"{ASSETS}{arguments['--ca_file']}"
        assert arguments["--ca_file"].endswith(".pem")


@pytest.mark.parametrize("key", ["extract", "load"])
def test_without_a_bundle_the_machines_own_authorities_are_trusted(prod: Synthesis, key: str) -> None:
    arguments = job(prod, key)["DefaultArguments"]
    assert arguments["--ca_file"] == "system"
    assert "--extra-files" not in arguments


@pytest.mark.parametrize("key", JOBS)
def test_no_job_has_a_security_configuration_for_it_would_log_elsewhere(stage: Synthesis, key: str) -> None:
    assert "SecurityConfiguration" not in job(stage, key)
    assert not stage.pipeline.resources("AWS::Glue::SecurityConfiguration")
    arguments = job(stage, key)["DefaultArguments"]
    assert arguments.get("--job-bookmark-option", "job-bookmark-disable") == "job-bookmark-disable"


@pytest.mark.parametrize("key", JOBS)
@pytest.mark.parametrize("stream", ["output", "error"])
def test_the_jobs_write_into_log_groups_that_are_made_beforehand(stage: Synthesis, key: str, stream: str) -> None:
    """Their names are Glue's: the prefix, then /output or /error."""
    prefix = job(stage, key)["DefaultArguments"]["--custom-logGroup-prefix"]
    group = stage.pipeline.one("AWS::Logs::LogGroup", LogGroupName=f"{prefix}/{stream}")
    assert group["KmsKeyId"] == arn("kms", "key/<Operations/Key>")
    assert group["RetentionInDays"] >= stage.settings.retention_days


def test_the_runbook_sends_people_to_those_groups_and_to_output_first(stage: Synthesis) -> None:
    text = (REPO / "docs" / "runbook.md").read_text(encoding="utf-8")
    named = re.findall(r"`(/aws-glue/[^`]+)`", text)
    model, name = stage.settings.model, stage.settings.stage
    groups = [each.replace("<model>", model.replace("_", "-")).replace("<stage>", name) for each in named]
    made = [group["LogGroupName"] for group in stage.pipeline.of("AWS::Logs::LogGroup")]
    assert set(groups) == {group for group in made if group.startswith("/aws-glue/")}
    assert groups[0].endswith("/output"), "stdout and stderr are there; /error has Spark's own lines"


def test_the_jobs_reach_each_other_aws_and_the_databases_and_nothing_else(stage: Synthesis) -> None:
    settings = stage.settings
    warehouse = (settings.warehouse_group, settings.warehouse_port)
    databases = {(settings.source_security_group, settings.source_port), warehouse}
    group = stage.pipeline.one("AWS::EC2::SecurityGroup")
    assert [(rule["CidrIp"], rule["FromPort"], rule["ToPort"]) for rule in group["SecurityGroupEgress"]] == [
        ("0.0.0.0/0", 443, 443)
    ]
    assert "SecurityGroupIngress" not in group
    out = {
        (rule["DestinationSecurityGroupId"], rule["FromPort"], rule["ToPort"])
        for rule in stage.pipeline.of("AWS::EC2::SecurityGroupEgress")
    }
    into = {
        (rule["GroupId"], rule["FromPort"], rule["ToPort"])
        for rule in stage.pipeline.of("AWS::EC2::SecurityGroupIngress")
        if rule["SourceSecurityGroupId"] == "<Network/Jobs>"
    }
    assert out == into == {("<Network/Jobs>", 0, 65535), *((name, port, port) for name, port in databases)}
