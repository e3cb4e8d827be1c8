"""The three Glue jobs: their scripts and arguments, stated once.

The local stack and the CDK template both create their jobs from :func:`job_definitions`, and the entry scripts read
their arguments by :func:`arguments_of`, so that what is deployed, what runs on a laptop and what is parsed cannot
drift apart.

An argument is either *fixed* (set when the job is created: buckets, secrets, model) or *per run* (set by the state
machine when it starts the job: run id, accepted deletes, full compare). No value is ever empty, for Glue passes the
name on and drops the value: what has nothing to say is left out, or says a word (:data:`NO_DELETES`). The time limits
of the steps are here too: they are parts of the interval between two ticks.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Final

PENDING_PREFIX: Final = "pending/"
NO_DELETES: Final = "none"
"""What ``accept_deletes`` says when no table may shrink beyond its guard."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What one deployment of Tidemark is called and where its parts are.

    Parameters
    ----------
    model_name
        Name of the model folder; names the star's schema, the lake databases and all resources.
    model_uri
        Folder of the model: a path or ``s3://bucket/prefix``.
    landing_uri, processed_uri
        ``s3://bucket[/prefix]`` of the landing data and of the Iceberg warehouse.
    source_secret, warehouse_secret
        Secrets Manager ids; JSON with host, port, dbname, username, password and, if needed, sslmode, sslrootcert.
    landing_format
        ``parquet`` or ``csv``.
    stage
        Tells deployments of one model in one account apart (``dev``, ``prod``); empty if there is but one.
    ca_file
        File of the authorities that signed the databases' certificates, beside the script; ``system`` for the
        machine's own.
    interval_minutes
        Time between two ticks: the steps' limits are parts of it.
    source_host, source_port, source_dbname, warehouse_host, warehouse_port, warehouse_dbname
        What a secret lacks (one that RDS manages has user and password only); None if it says all.
    start_spark
        Every job starts a SparkContext before its work, also where it needs none: YARN, under Glue, fails one without.
    """

    model_name: str
    model_uri: str
    landing_uri: str
    processed_uri: str
    source_secret: str
    warehouse_secret: str
    landing_format: str = "parquet"
    stage: str = ""
    ca_file: str = "system"
    interval_minutes: int = 15
    source_host: str | None = None
    source_port: int | None = None
    source_dbname: str | None = None
    warehouse_host: str | None = None
    warehouse_port: int | None = None
    warehouse_dbname: str | None = None
    start_spark: bool = False

    @property
    def prefix(self) -> str:
        """Common first part of every resource's name."""
        return "-".join(filter(None, ("tidemark", self.model_name.replace("_", "-"), self.stage)))

    @property
    def pipeline(self) -> str:
        """What the metrics call this deployment."""
        return self.prefix

    @property
    def lake_name(self) -> str:
        """First part of the lake databases' names: stages in one account share one catalogue."""
        return "_".join(filter(None, (self.model_name, self.stage)))


@dataclass(frozen=True, kw_only=True)
class JobDefinition:
    """One Glue job as both the template and the local stack create it.

    Parameters
    ----------
    key
        ``extract``, ``transform`` or ``load``: the script's name without its ending.
    name
        The Glue job's name.
    script
        File name below ``glue_jobs``.
    timeout_minutes
        After this the job is stopped and its state is TIMEOUT; a little above the limit of its step, which comes first.
    arguments
        The fixed arguments, ``--name`` -> value.
    run_arguments
        Names of the arguments that the state machine adds when it starts the job.
    """

    key: str
    name: str
    script: str
    timeout_minutes: int
    arguments: dict[str, str]
    run_arguments: tuple[str, ...]


_FIXED: Final[dict[str, tuple[str, ...]]] = {
    "extract": ("pipeline", "model_uri", "landing_uri", "landing_format", "source_secret", "ca_file"),
    "transform": ("pipeline", "model_uri", "landing_uri", "processed_uri", "lake_name"),
    "load": ("pipeline", "model_uri", "landing_uri", "processed_uri", "lake_name", "warehouse_secret", "ca_file"),
}
_IF_SET: Final[dict[str, tuple[str, ...]]] = {
    "extract": ("source_host", "source_port", "source_dbname", "start_spark"),
    "transform": ("start_spark",),
    "load": ("warehouse_host", "warehouse_port", "warehouse_dbname", "start_spark"),
}
_PER_RUN: Final[dict[str, tuple[str, ...]]] = {
    "extract": ("run_id", "accept_deletes", "full_compare"),
    "transform": ("run_id",),
    "load": ("run_id",),
}
# What holds if an execution's input says "": then Glue drops the value on the way.
_DEFAULTS: Final = {"accept_deletes": NO_DELETES, "full_compare": "false"}
_STEPS: Final = {"extract": "ExtractSource", "transform": "TransformToLake", "load": "LoadWarehouse"}
# Of a 15-minute interval; they leave room for start-up retries, the look for markers and the failure report, so that a
# slow step always ends at NotifyFailure and never in a silent time-out of the whole machine.
_SECONDS_OF_15_MINUTES: Final = {"extract": 260, "transform": 280, "load": 170}
_MARGIN_SECONDS: Final = 15
_FIXED_SECONDS: Final = 175


def arguments_of(job: str) -> tuple[str, ...]:
    """Names of the arguments, fixed and per run, that one job (``extract``, ``transform``, ``load``) always gets."""
    return _FIXED[job] + _PER_RUN[job]


def optional_arguments_of(job: str) -> dict[str, str | None]:
    """Names of the arguments that one job can do without, and what holds then."""
    defaults = {name: text for name, text in _DEFAULTS.items() if name in _PER_RUN[job]}
    return {**defaults, **dict.fromkeys(_IF_SET[job])}


def job_definitions(deployment: Deployment) -> tuple[JobDefinition, ...]:
    """The three jobs of a deployment, in the order in which the data flows."""
    return tuple(
        JobDefinition(
            key=key,
            name=f"{deployment.prefix}-{key}",
            script=f"{key}.py",
            timeout_minutes=math.ceil(step_seconds(key, deployment.interval_minutes) / 60) + 1,
            arguments=_arguments(deployment, fixed, _IF_SET[key]),
            run_arguments=tuple(f"--{name}" for name in _PER_RUN[key]),
        )
        for key, fixed in _FIXED.items()
    )


def _arguments(deployment: Deployment, always: tuple[str, ...], if_set: tuple[str, ...]) -> dict[str, str]:
    """Say an optional argument only where it says something; ``true`` as text, which is all that Glue takes."""
    values = {name: getattr(deployment, name) for name in always}
    values |= {name: value for name in if_set if (value := getattr(deployment, name))}
    return {f"--{name}": "true" if value is True else str(value) for name, value in values.items()}


def step_seconds(job: str, interval_minutes: int) -> int:
    """Time limit of one job's step."""
    most = _SECONDS_OF_15_MINUTES
    available = interval_minutes * 60 - _MARGIN_SECONDS - _FIXED_SECONDS
    return available * most[job] // sum(most.values())


def state_machine_definition(text: str, interval_minutes: int) -> str:
    """The state machine of ``state_machines/etl.asl.json``, placeholders kept, with the limits of this interval."""
    definition: dict[str, Any] = json.loads(text)
    definition["TimeoutSeconds"] = interval_minutes * 60 - _MARGIN_SECONDS
    for job, step in _STEPS.items():
        definition["States"][step]["TimeoutSeconds"] = step_seconds(job, interval_minutes)
    return json.dumps(definition, indent=2, ensure_ascii=False)


def state_machine_substitutions(deployment: Deployment, topic_arn: str) -> dict[str, str]:
    """Values of the ``${…}`` placeholders in ``state_machines/etl.asl.json``."""
    bucket, _, prefix = deployment.landing_uri.removeprefix("s3://").partition("/")
    jobs = {job.key: job.name for job in job_definitions(deployment)}
    return {
        "ExtractJobName": jobs["extract"],
        "TransformJobName": jobs["transform"],
        "LoadJobName": jobs["load"],
        "LandingBucket": bucket,
        "PendingPrefix": f"{prefix.rstrip('/')}/{PENDING_PREFIX}".lstrip("/"),
        "TopicArn": topic_arn,
    }
