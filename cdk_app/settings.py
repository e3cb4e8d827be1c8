"""The settings of one stage: what a deployment is told, checked once, before anything is built.

They come from CDK's context: ``stages`` in ``cdk.json`` (what everybody may read), over that the JSON file that
``-c settings=FILE`` names (account, network, secrets, telephone numbers: never committed), over that single settings by
``-c name=value``. Promises: either complete, consistent :class:`Settings` or a :class:`SettingsError` that names the
setting, what was found and what is expected.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from tidemark.jobs.definitions import STEPS, UPKEEP_STEPS
from tidemark.jobs.time_limits import TimeLimits
from tidemark.lake.retention import DEFAULT_BATCHES_DAYS, DEFAULT_DAILY_DAYS

if TYPE_CHECKING:
    import aws_cdk as cdk

REPO: Final = Path(__file__).resolve().parents[1]
_FIELDS_OF_CONTEXT: Final = ("stage", "settings", "stages")
_SECRET_ARN: Final = r"arn:aws[a-z-]*:secretsmanager:(?P<region>[\w-]+):(?P<account>\d{12}):secret:[\w/+=.@-]+-\w{6}"  # noqa: S105
# A bucket has at most 63 characters, and the longest ends in -queryresults-01234567.
_LONGEST_NAME: Final = 63 - 22
_INTERVALS: Final = (10, 12, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1440)


def _split(value: object) -> object:
    """Let ``-c alarm_emails=a,b`` be a list: on the command line everything is text."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _matching(pattern: str, expected: str) -> Any:
    """Text of a form; ``expected`` says the form in words."""

    def check(value: object) -> object:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(f"expected {expected}")
        return value

    return BeforeValidator(check)


Arn = Annotated[
    str, _matching(_SECRET_ARN, "the whole ARN of a secret, arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-xxxxxx")
]
KeyArn = Annotated[
    str,
    _matching(
        r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[\w-]+", "the ARN of a KMS key, arn:aws:kms:REGION:ACCOUNT:key/ID"
    ),
]
Phone = Annotated[str, _matching(r"\+[1-9]\d{6,14}", "a telephone number with its country, +447700900123")]
Email = Annotated[str, _matching(r"[^@\s,]+@[^@\s,]+\.[^@\s,]+", "an e-mail address")]
HostName = Annotated[
    str,
    _matching(
        r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*",
        "the name of one server, db.example.org, without scheme and port",
    ),
]
DatabaseName = Annotated[
    str,
    _matching(r"[^\s\x00-\x1f\x7f-][^\x00-\x1f\x7f]{0,62}", "the name of a database, 1 to 63 characters, no - first"),
]
SecurityGroupId = Annotated[str, _matching(r"sg-[0-9a-f]{8,17}", "the id of a security group, sg-0123456789abcdef0")]
Workers = Annotated[int, Field(ge=2, le=100)]
# Glue stops a job after seven days at the latest, and its own limit is a minute more than the step's.
Minutes = Annotated[int, Field(ge=5, le=7 * 24 * 60 - 1)]


class SettingsError(Exception):
    """A setting cannot be used; the message says which, what was found and what is expected."""


class WorkerNumbers(BaseModel):
    """At most so many G.1X workers per job, the driver included (Glue's minimum is 2); auto scaling uses fewer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    extract: Workers = 2
    transform: Workers = 3
    load: Workers = 2
    maintain: Workers = 2


class TimeLimitMinutes(BaseModel):
    """A job that takes longer is stopped, and its execution fails: for what hangs, not for what is slow."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    extract: Minutes = TimeLimits.extract
    transform: Minutes = TimeLimits.transform
    load: Minutes = TimeLimits.load
    maintain: Minutes = TimeLimits.maintain


class Settings(BaseModel):
    """One stage, complete.

    Parameters
    ----------
    stage
        Its name, part of every resource's name.
    model
        Name of the folder below ``model/``.
    account, region
        Where.
    vpc_id, subnet_id, availability_zone
        Where the jobs' network interfaces stand; the subnet needs a way to the databases and to AWS (docs/deploy.md).
    source_security_group, warehouse_security_group
        Get one rule each that lets the jobs in; without the second, both databases have the first.
    source_port, warehouse_port
        TCP ports of the databases: for the network's rules, and for a secret that names none.
    source_host, source_dbname, warehouse_host, warehouse_dbname
        For a secret that names none, as one that RDS manages; what a secret says itself goes before.
    source_secret_arn, warehouse_secret_arn
        JSON secrets with username and password, and host, port and dbname unless the settings above say them.
    secret_key_arns
        KMS keys of these secrets, where they are not encrypted by AWS's own.
    warehouse
        Kind of the warehouse.
    interval_minutes
        Time between two ticks.
    full_compare_hour
        Hour (UTC) of the nightly full compare.
    freshness_minutes
        The warehouse may be so old before the alarm fires; 0: the greater of 30 minutes and two intervals.
    workers
        Size of the jobs.
    time_limits
        Minutes after which a job is stopped.
    landing_format
        Of the landing files.
    retention_days
        Replaced object versions, query results, access logs and job logs are kept so long.
    keep_batches_days, keep_daily_days, landing_days
        What the maintenance keeps: docs/deploy.md.
    athena_scan_limit_gb
        A single query may read so much.
    alarm_phones, alarm_emails
        Who hears of alarms; none is fine.
    ca_bundle
        PEM file of the authorities that signed the databases' certificates (for RDS: its global bundle).
    tags
        On every resource.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    stage: Annotated[str, _matching(r"[a-z][a-z0-9]{0,9}", "1 to 10 lower-case letters and digits, a letter first")]
    model: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,40}$")] = "totesys"
    account: Annotated[str, _matching(r"\d{12}", "the 12 digits of an AWS account, as text")]
    region: Annotated[str, _matching(r"[a-z]{2}(-[a-z]+)+-\d", "an AWS region, eu-west-2")]
    vpc_id: Annotated[str, _matching(r"vpc-[0-9a-f]{8,17}", "the id of a VPC, vpc-0123456789abcdef0")]
    subnet_id: Annotated[str, _matching(r"subnet-[0-9a-f]{8,17}", "the id of a subnet, subnet-0123456789abcdef0")]
    availability_zone: Annotated[
        str, _matching(r"[a-z]{2}(-[a-z0-9]+)+-\d[a-z]", "the subnet's availability zone, eu-west-2a")
    ]
    source_security_group: SecurityGroupId
    warehouse_security_group: SecurityGroupId | None = None
    source_port: int = Field(default=5432, ge=1, le=65535)
    warehouse_port: int = Field(default=5432, ge=1, le=65535)
    source_host: HostName | None = None
    warehouse_host: HostName | None = None
    source_dbname: DatabaseName | None = None
    warehouse_dbname: DatabaseName | None = None
    source_secret_arn: Arn
    warehouse_secret_arn: Arn
    secret_key_arns: Annotated[tuple[KeyArn, ...], BeforeValidator(_split)] = ()
    warehouse: Literal["postgres"] = "postgres"
    interval_minutes: int = 15
    full_compare_hour: int = Field(default=2, ge=0, le=23)
    freshness_minutes: int = Field(default=0, ge=0, le=7 * 24 * 60)
    workers: WorkerNumbers = WorkerNumbers()
    time_limits: TimeLimitMinutes = TimeLimitMinutes()
    landing_format: Literal["parquet", "csv"] = "parquet"
    retention_days: int = Field(default=30, ge=1, le=3650)
    keep_batches_days: int = Field(default=DEFAULT_BATCHES_DAYS, ge=1, le=365)
    keep_daily_days: int = Field(default=DEFAULT_DAILY_DAYS, ge=0, le=3650)
    landing_days: int = Field(default=0, ge=0, le=3650)
    athena_scan_limit_gb: int = Field(default=10, ge=1, le=10_000)
    alarm_phones: Annotated[tuple[Phone, ...], BeforeValidator(_split)] = ()
    alarm_emails: Annotated[tuple[Email, ...], BeforeValidator(_split)] = ()
    ca_bundle: Path | None = None
    tags: dict[str, str] = {}

    @property
    def name(self) -> str:
        """Common first part of the stacks' names."""
        return f"tidemark-{self.model.replace('_', '-')}-{self.stage}"

    @property
    def model_dir(self) -> Path:
        """The model folder."""
        return REPO / "model" / self.model

    @property
    def freshness_limit_minutes(self) -> int:
        """Age of the warehouse at which the alarm fires."""
        return self.freshness_minutes or max(30, 2 * self.interval_minutes)

    @property
    def warehouse_group(self) -> str:
        """Security group of the warehouse."""
        return self.warehouse_security_group or self.source_security_group

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        """Check what no single setting can tell."""
        minutes = self.interval_minutes
        if minutes not in _INTERVALS:
            raise ValueError(f"interval_minutes: found {minutes}; expected one of {', '.join(map(str, _INTERVALS))}")
        if self.freshness_minutes and self.freshness_minutes < 2 * minutes:
            raise ValueError(
                f"freshness_minutes: found {self.freshness_minutes}; expected at least two intervals "
                f"({2 * minutes}), or 0 for the default: one late tick is no incident"
            )
        if len(self.name) > _LONGEST_NAME:
            raise ValueError(
                f"model and stage: found {self.model} and {self.stage}; expected at most "
                f"{_LONGEST_NAME - len('tidemark--')} letters together, for S3 takes no longer bucket names"
            )
        if not self.availability_zone.startswith(self.region):
            raise ValueError(f"availability_zone: found {self.availability_zone}; expected one of {self.region}")
        for name in ("source_secret_arn", "warehouse_secret_arn"):
            found = re.fullmatch(_SECRET_ARN, getattr(self, name))
            if found and (found["region"], found["account"]) != (self.region, self.account):
                raise ValueError(f"{name}: found a secret of another account or region; expected one of this stage's")
        if not (self.model_dir / "source.yml").is_file():
            raise ValueError(f"model: found {self.model}; expected the name of a folder below model/ with source.yml")
        if self.ca_bundle and not self.ca_bundle.is_file():
            raise ValueError(f"ca_bundle: found {self.ca_bundle}, which is not a file; expected a PEM file")
        return self


def from_context(app: cdk.App) -> Settings:
    """Settings of the stage that ``-c stage=NAME`` names.

    Raises
    ------
    SettingsError
        If there is no such stage, or one of its settings cannot be used.
    """
    stages: dict[str, dict[str, Any]] = app.node.try_get_context("stages") or {}
    stage = app.node.try_get_context("stage")
    if stage not in stages:
        raise SettingsError(f"stage: found {stage!r}; expected -c stage=NAME with one of {', '.join(sorted(stages))}")
    file = app.node.try_get_context("settings")
    single = {name: app.node.try_get_context(name) for name in Settings.model_fields if name not in _FIELDS_OF_CONTEXT}
    given = {name: value for name, value in single.items() if value is not None}
    return check({**stages[stage], **(_read(Path(file)) if file else {}), **given, "stage": stage})


def check(values: dict[str, Any]) -> Settings:
    """Make settings of plain values.

    Raises
    ------
    SettingsError
        Naming every setting that cannot be used.
    """
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(values, dict(found)) for found in error.errors())) from None


def _sentence(values: dict[str, Any], error: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in error["loc"])
    says = str(error["msg"]).removeprefix("Value error, ")
    if not place:
        return says
    if error["type"] == "missing":
        return f"{place}: not given; expected in the file of -c settings=FILE (docs/deploy.md lists all)"
    if error["type"] == "extra_forbidden":
        known = Settings.model_fields if len(error["loc"]) == 1 else STEPS | UPKEEP_STEPS
        return f"{place}: there is no such setting; expected one of {', '.join(known)}"
    found: Any = values
    for part in error["loc"]:
        found = _split(found) if isinstance(part, int) else found
        found = found[part] if isinstance(found, (dict, list, tuple)) else found
    says = says if says.startswith("expected") else f"expected: {says[0].lower()}{says[1:]}"
    return f"{place}: found {found!r}; {says}"


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"settings: {file} cannot be read ({error.strerror}); expected a JSON file") from None
    except ValueError as error:
        raise SettingsError(f"settings: {file} is not JSON ({error})") from None
    if not isinstance(found, dict):
        raise SettingsError(f"settings: {file} holds a {type(found).__name__}; expected a JSON object")
    return found
