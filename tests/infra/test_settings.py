"""Settings: what is wrong is named with what was found and what is expected; stages stand side by side."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdk_app.settings import Settings, SettingsError, check, from_context
from cdk_app.stage import build
from tests.infra.templates import CONTEXT, EXAMPLE, new_app, placeholder_wheels

if TYPE_CHECKING:
    from pathlib import Path

    import aws_cdk as cdk

SECRET = "arn:aws:secretsmanager:eu-west-2:000000000000:secret:tidemark/source-AbCdEf"
GOOD = EXAMPLE | {"stage": "dev"}


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("stage", "Dev", "stage: found 'Dev'; expected 1 to 10 lower-case letters and digits, a letter first"),
        ("stage", "production1", "stage: found 'production1'; expected 1 to 10 lower-case"),
        ("account", 12, "account: found 12; expected the 12 digits of an AWS account, as text"),
        ("account", "00000000000", "account: found '00000000000'; expected the 12 digits"),
        ("region", "London", "region: found 'London'; expected an AWS region, eu-west-2"),
        ("vpc_id", "vpc-1", "vpc_id: found 'vpc-1'; expected the id of a VPC, vpc-0123456789abcdef0"),
        ("subnet_id", "vpc-0123456789abcdef0", "subnet_id: found 'vpc-0123456789abcdef0'; expected the id of a subnet"),
        ("availability_zone", "eu-west-2", "availability_zone: found 'eu-west-2'; expected the subnet's availability"),
        ("availability_zone", "us-east-1a", "availability_zone: found us-east-1a; expected one of eu-west-2"),
        ("source_security_group", "default", "source_security_group: found 'default'; expected the id of a security"),
        ("warehouse_security_group", "sg", "warehouse_security_group: found 'sg'; expected the id of a security"),
        ("source_port", 0, "source_port: found 0; expected: input should be greater than or equal to 1"),
        ("warehouse_port", 65536, "warehouse_port: found 65536; expected: input should be less than or equal to 65535"),
        ("source_host", "", "source_host: found ''; expected the name of one server, db.example.org, without scheme"),
        ("source_host", "db.example.org:5432", "source_host: found 'db.example.org:5432'; expected the name of one"),
        ("warehouse_host", "postgres://db", "warehouse_host: found 'postgres://db'; expected the name of one server"),
        ("source_dbname", "", "source_dbname: found ''; expected the name of a database, 1 to 63 characters"),
        ("source_dbname", "-d", "source_dbname: found '-d'; expected the name of a database, 1 to 63 characters"),
        ("warehouse_dbname", "x" * 64, "warehouse_dbname: found 'xxx"),
        ("source_secret_arn", "tidemark/source", "source_secret_arn: found 'tidemark/source'; expected the whole ARN"),
        (
            "source_secret_arn",
            SECRET.replace("eu-west-2", "eu-west-1"),
            "source_secret_arn: found a secret of another account or region; expected one of this stage's",
        ),
        (
            "warehouse_secret_arn",
            SECRET.replace("000000000000", "1" * 12),
            "warehouse_secret_arn: found a secret of another account or region",
        ),
        ("secret_key_arns", "alias/aws", "secret_key_arns.0: found 'alias/aws'; expected the ARN of a KMS key"),
        ("warehouse", "redshift", "warehouse: found 'redshift'; expected: input should be 'postgres'"),
        ("interval_minutes", 7, "interval_minutes: found 7; expected one of 10, 12, 15, 20, 30, 60, 120"),
        ("interval_minutes", "often", "interval_minutes: found 'often'; expected: input should be a valid integer"),
        ("full_compare_hour", 24, "full_compare_hour: found 24; expected: input should be less than or equal to 23"),
        ("freshness_minutes", 29, "freshness_minutes: found 29; expected at least two intervals (30), or 0"),
        ("workers", {"load": 1}, "workers.load: found 1; expected: input should be greater than or equal to 2"),
        ("time_limits", {"load": 4}, "time_limits.load: found 4; expected: input should be greater than or equal to 5"),
        (
            "time_limits",
            {"load": 10_080},
            "time_limits.load: found 10080; expected: input should be less than or equal to",
        ),
        ("workers", {"loads": 2}, "workers.loads: there is no such setting; expected one of extract, transform, load"),
        ("landing_format", "json", "landing_format: found 'json'; expected: input should be 'parquet' or 'csv'"),
        ("retention_days", 0, "retention_days: found 0; expected: input should be greater than or equal to 1"),
        ("athena_scan_limit_gb", 0, "athena_scan_limit_gb: found 0; expected: input should be greater than or equal"),
        ("alarm_phones", ["0123"], "alarm_phones.0: found '0123'; expected a telephone number with its country"),
        ("alarm_emails", "a@example.org, b", "alarm_emails.1: found 'b'; expected an e-mail address"),
        ("model", "nothing", "model: found nothing; expected the name of a folder below model/ with source.yml"),
        ("model", "../secret", "model: found '../secret'; expected: string should match pattern"),
        ("model", "m" * 40, "model and stage: found mmmm"),
        ("ca_bundle", "/no/such.pem", "ca_bundle: found /no/such.pem, which is not a file; expected a PEM file"),
        ("tags", {"owner": 1}, "tags.owner: found 1; expected: input should be a valid string"),
        ("phones", [], "phones: there is no such setting; expected one of stage, model, account, region, vpc_id"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_found_and_expected(setting: str, value: Any, message: str) -> None:
    with pytest.raises(SettingsError) as failed:
        check(GOOD | {setting: value})
    assert str(failed.value).startswith(message)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("setting", sorted(name for name, value in EXAMPLE.items() if value))
def test_a_setting_that_is_not_given_is_named(setting: str) -> None:
    with pytest.raises(SettingsError) as failed:
        check({name: value for name, value in GOOD.items() if name != setting})
    assert str(failed.value).startswith(f"{setting}: not given; expected in the file of -c settings=FILE")


def test_all_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as failed:
        check(GOOD | {"region": "x", "vpc_id": "y", "retention_days": -1})
    assert [line.partition(":")[0] for line in str(failed.value).splitlines()] == ["region", "vpc_id", "retention_days"]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@settings(deadline=None)  # a file of the model folder is looked for
@given(st.sampled_from(sorted(Settings.model_fields)), anything)
def test_any_value_is_either_taken_or_refused_by_the_name_of_its_setting(setting: str, value: Any) -> None:
    try:
        found = check(GOOD | {setting: value})
    except SettingsError as error:
        assert setting in str(error).partition(":")[0]  # noqa: PT017 - a refusal is as good as a value
    else:
        assert isinstance(found, Settings)


def test_the_freshness_alarm_waits_for_two_intervals_but_half_an_hour_at_least() -> None:
    limits = {minutes: check(GOOD | {"interval_minutes": minutes}).freshness_limit_minutes for minutes in (10, 15, 60)}
    assert limits == {10: 30, 15: 30, 60: 120}
    assert check(GOOD | {"freshness_minutes": 45}).freshness_limit_minutes == 45


def app_with(tmp_path: Path, **context: Any) -> cdk.App:
    return new_app(tmp_path, **context)


def settings_file(tmp_path: Path, content: Any) -> str:
    file = tmp_path / "settings.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(file)


def test_the_command_line_goes_before_the_file_and_the_file_before_the_stage(tmp_path: Path) -> None:
    file = settings_file(tmp_path, EXAMPLE | {"retention_days": 20, "interval_minutes": 30})
    found = from_context(
        app_with(
            tmp_path, stage="dev", settings=file, interval_minutes="20", alarm_emails="a@example.org, c@example.org"
        )
    )
    assert CONTEXT["stages"]["dev"]["retention_days"] == 7
    assert (found.retention_days, found.interval_minutes) == (20, 20)
    assert found.alarm_emails == ("a@example.org", "c@example.org")
    assert found.workers.transform == CONTEXT["stages"]["dev"]["workers"]["transform"]


@pytest.mark.parametrize("stage", [None, "test"])
def test_an_unknown_stage_is_named_with_those_that_there_are(tmp_path: Path, stage: str | None) -> None:
    app = app_with(tmp_path, **({"stage": stage} if stage else {}))
    with pytest.raises(SettingsError) as failed:
        from_context(app)
    assert str(failed.value) == f"stage: found {stage!r}; expected -c stage=NAME with one of dev, prod"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read (No such file or directory); expected a JSON file"),
        ("{", "is not JSON (Expecting property name"),
        ("[]", "holds a list; expected a JSON object"),
    ],
)
def test_a_settings_file_that_is_none_is_named(tmp_path: Path, content: str | None, message: str) -> None:
    file = str(tmp_path / "none.json") if content is None else settings_file(tmp_path, content)
    with pytest.raises(SettingsError) as failed:
        from_context(app_with(tmp_path, stage="dev", settings=file))
    assert str(failed.value).startswith(f"settings: {file} {message}")


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_every_stage_of_cdk_json_fits_the_example(name: str) -> None:
    assert check(CONTEXT["stages"][name] | EXAMPLE | {"stage": name}).stage == name


def test_a_stage_without_wheels_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"gluewheels\.zip is missing; expected .*; make it by: make wheels"):
        build(app_with(tmp_path), check(GOOD), wheels=tmp_path / "none.gluewheels.zip")
    assert placeholder_wheels(tmp_path).is_file()
