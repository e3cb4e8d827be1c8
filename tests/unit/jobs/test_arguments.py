"""Arguments of the entry scripts, held against the parser that Glue itself ships."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidemark.base.errors import TidemarkError
from tidemark.jobs.arguments import accepted_deletes, given_credentials, parse_arguments
from tidemark.jobs.definitions import STEPS, UPKEEP_STEPS, arguments_of, job_definitions, optional_arguments_of
from tidemark.jobs.deployment import Deployment
from tidemark.jobs.state_machine import Definitions, state_machine_substitutions
from tidemark.jobs.time_limits import TimeLimits

ROOT = Path(__file__).resolve().parents[3]
JOBS = ("extract", "transform", "load")
values = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=20).filter(
    lambda text: not text.startswith("-")
)


def command_line(job: str, given_values: dict[str, str]) -> list[str]:
    return [part for name in arguments_of(job) for part in (f"--{name}", given_values[name])]


@pytest.mark.skipif(
    sys.version_info[:2] == (3, 12), reason="AWSGlueDataplanePython exists for Python 3.11 and 3.13 only"
)
@pytest.mark.parametrize("job", JOBS)
@settings(deadline=None)  # the first example imports Glue's package
@given(data=st.data())
def test_agrees_with_glues_own_parser(job: str, data: st.DataObject) -> None:
    from awsglue.utils import getResolvedOptions  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    given_values = {name: data.draw(values) for name in arguments_of(job)}
    argv = command_line(job, given_values)
    ours = parse_arguments(job, argv)
    theirs = getResolvedOptions([f"{job}.py", *argv], list(arguments_of(job)))
    for name in arguments_of(job):
        assert getattr(ours, name) == theirs[name] == given_values[name]


@pytest.mark.parametrize("job", JOBS)
def test_glues_further_arguments_are_left_alone(job: str) -> None:
    given_values = {name: f"value of {name}" for name in arguments_of(job)}
    extra = ["--JOB_NAME", "x", "--enable-metrics", "--TempDir", "s3://t/", "--enable-metrics", "true"]
    found = parse_arguments(job, [*extra, *command_line(job, given_values), "--enable-metrics"])
    assert vars(found) == optional_arguments_of(job) | given_values


@pytest.mark.parametrize("job", JOBS)
def test_missing_arguments_are_named(job: str) -> None:
    """By an exception: Glue shows nothing of a usage text on stderr."""
    with pytest.raises(TidemarkError) as failed:
        parse_arguments(job, ["--execution", "r1"])
    assert str(failed.value).startswith(f"{job}.py: the following arguments are required: ")
    for name in set(arguments_of(job)) - {"execution"} - optional_arguments_of(job).keys():
        assert f"--{name}" in str(failed.value)
    assert "docs/deploy.md" in str(failed.value)


@pytest.mark.parametrize("job", JOBS)
def test_a_value_that_glue_dropped_is_named(job: str) -> None:
    argv = command_line(job, dict.fromkeys(arguments_of(job), "x"))
    del argv[argv.index("--landing_uri") + 1]
    with pytest.raises(TidemarkError, match=rf"^{job}\.py: argument --landing_uri: expected one argument; "):
        parse_arguments(job, argv)


@pytest.mark.parametrize("dropped", ["the value", "name and value", "nothing"])
def test_an_empty_optional_argument_is_as_if_left_out(dropped: str) -> None:
    required = [name for name in arguments_of("extract") if name not in ("accept_deletes", "full_compare")]
    argv = [part for name in required for part in (f"--{name}", "x")]
    if dropped != "name and value":
        empty = [""] if dropped == "nothing" else []
        argv = ["--accept_deletes", *empty, "--full_compare", *empty, *argv]
    found = parse_arguments("extract", argv)
    assert accepted_deletes(found.accept_deletes) == frozenset()
    assert found.full_compare in ("false", "")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("none", set()),
        ("", set()),
        (" , ", set()),
        ("*", {"*"}),
        ("payment, address,", {"payment", "address"}),
        ("none,payment", {"none", "payment"}),
    ],
)
def test_accepted_deletes(text: str, names: set[str]) -> None:
    assert accepted_deletes(text) == names


def test_abbreviations_are_not_accepted() -> None:
    given_values = dict.fromkeys(arguments_of("transform"), "x")
    argv = command_line("transform", given_values)
    argv[argv.index("--landing_uri")] = "--landing"
    with pytest.raises(TidemarkError, match="required: --landing_uri"):
        parse_arguments("transform", argv)


DEPLOYMENT = Deployment(
    model_name="my_shop",
    model_uri="s3://m/model",
    landing_uri="s3://landing/area/",
    processed_uri="s3://processed",
    source_secret="source",
    warehouse_secret="warehouse",
)


def test_every_job_gets_its_fixed_arguments_and_names_those_of_a_run() -> None:
    extract, transform, load, maintain = job_definitions(DEPLOYMENT)
    assert extract.name == "tidemark-my-shop-extract"
    assert extract.arguments == {
        "--pipeline": "tidemark-my-shop",
        "--model_uri": "s3://m/model",
        "--landing_uri": "s3://landing/area/",
        "--landing_format": "parquet",
        "--source_secret": "source",
        "--ca_file": "system",
    }
    assert extract.run_arguments == ("--execution", "--accept_deletes", "--full_compare")
    assert transform.arguments["--processed_uri"] == "s3://processed"
    assert transform.arguments["--lake_name"] == load.arguments["--lake_name"] == "my_shop"
    assert load.arguments["--warehouse_secret"] == "warehouse"
    assert maintain.arguments["--keep_batches_days"] == "7"
    assert maintain.arguments["--keep_daily_days"] == "90"
    for job in (extract, transform, load, maintain):
        names = {*job.arguments, *job.run_arguments}
        assert names == {f"--{name}" for name in arguments_of(job.key)}


def test_a_stage_is_part_of_every_name() -> None:
    staged = replace(DEPLOYMENT, stage="dev", ca_file="rds.pem")
    extract, transform, load, maintain = job_definitions(staged)
    assert [job.name for job in (extract, transform, load, maintain)] == [
        f"tidemark-my-shop-dev-{key}" for key in ("extract", "transform", "load", "maintain")
    ]
    assert load.arguments["--pipeline"] == "tidemark-my-shop-dev"
    assert load.arguments["--lake_name"] == "my_shop_dev"
    assert extract.arguments["--ca_file"] == load.arguments["--ca_file"] == "rds.pem"
    assert "--ca_file" not in transform.arguments, "it speaks to no database"


def test_what_a_secret_lacks_is_given_to_the_job_that_reads_it_and_never_empty() -> None:
    told = replace(DEPLOYMENT, source_host="db.example.org", source_port=5433, warehouse_dbname="dwh", start_spark=True)
    told = replace(told, warehouse_kind="other")
    extract, transform, load, maintain = job_definitions(told)
    before = job_definitions(DEPLOYMENT)
    added = [
        job.arguments.items() - old.arguments.items()
        for job, old in zip((extract, transform, load, maintain), before, strict=True)
    ]
    assert [dict(found) for found in added] == [
        {"--source_host": "db.example.org", "--source_port": "5433", "--start_spark": "true"},
        {"--start_spark": "true"},
        {"--warehouse_dbname": "dwh", "--warehouse_kind": "other", "--start_spark": "true"},
        {"--start_spark": "true"},
    ]
    for job in (extract, load):
        rest = {f"--{name}": "x" for name in arguments_of(job.key)}
        argv = [part for pair in (rest | job.arguments).items() for part in pair]
        kind = "source" if job is extract else "warehouse"
        wanted = {"host": "db.example.org", "port": "5433"} if job is extract else {"dbname": "dwh"}
        arguments = parse_arguments(job.key, argv)
        assert given_credentials(arguments, kind) == wanted  # type: ignore[arg-type]
        assert getattr(arguments, "warehouse_kind", None) == ("other" if job is load else None)


def test_a_step_stops_its_job_before_glue_does_and_a_message_is_sent_before_the_machine_stops() -> None:
    limits = TimeLimits(extract=7, transform=600, load=45, maintain=20)
    definitions = Definitions.read(ROOT / "state_machines", limits)
    definition, upkeep = json.loads(definitions.tick), json.loads(definitions.upkeep)
    steps = {job: definition["States"][step]["TimeoutSeconds"] for job, step in STEPS.items()}
    assert steps == {"extract": 420, "transform": 36_000, "load": 2_700}
    jobs = job_definitions(replace(DEPLOYMENT, time_limits=limits))
    assert {job.key: job.timeout_minutes for job in jobs} == {
        "extract": 8,
        "transform": 601,
        "load": 46,
        "maintain": 21,
    }
    assert definition["TimeoutSeconds"] > sum(steps.values())
    assert upkeep["States"][UPKEEP_STEPS["maintain"]]["TimeoutSeconds"] == 1_200 < upkeep["TimeoutSeconds"]


def test_both_machines_report_a_failure_in_the_same_way() -> None:
    definitions = Definitions.read(ROOT / "state_machines", TimeLimits())
    tick, upkeep = json.loads(definitions.tick)["States"], json.loads(definitions.upkeep)["States"]
    shared = tick.keys() & upkeep.keys() - {"Begin", "SkippedOverlap"}
    assert {"WhatFailed", "WriteReport", "NotifyFailure", "Failed"} <= shared
    assert {name: tick[name] for name in shared} == {name: upkeep[name] for name in shared}
    given = {key: text for key, text in tick["Begin"]["Parameters"]["constants"].items() if key != "input"}
    assert upkeep["Begin"]["Parameters"]["constants"] == given, "what the report needs"


def test_the_state_machine_looks_for_markers_where_the_extract_puts_them() -> None:
    values_ = state_machine_substitutions(DEPLOYMENT, "arn:topic", "arn:machine:")
    assert values_ == {
        "ExtractJobName": "tidemark-my-shop-extract",
        "TransformJobName": "tidemark-my-shop-transform",
        "LoadJobName": "tidemark-my-shop-load",
        "MaintainJobName": "tidemark-my-shop-maintain",
        "LandingBucket": "landing",
        "PendingPrefix": "area/pending/",
        "TopicArn": "arn:topic",
        "TickMachineArn": "arn:machine:tidemark-my-shop-etl",
        "MaintenanceMachineArn": "arn:machine:tidemark-my-shop-maintain",
    }
