"""The three Glue jobs: their scripts and arguments, stated once.

The local stack and the CDK template both create their jobs from :func:`job_definitions`, and the entry scripts read
their arguments by :func:`arguments_of`, so that what is deployed, what runs on a laptop and what is parsed cannot
drift apart.

An argument is either *fixed* (set when the job is created: buckets, secrets, model) or *per run* (set by the state
machine when it starts the job: run id, accepted deletes, full compare).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PENDING_PREFIX: Final = "pending/"


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
    """

    model_name: str
    model_uri: str
    landing_uri: str
    processed_uri: str
    source_secret: str
    warehouse_secret: str
    landing_format: str = "parquet"

    @property
    def prefix(self) -> str:
        """Common first part of every resource's name."""
        return f"tidemark-{self.model_name.replace('_', '-')}"


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
        After this the job is stopped and its state is TIMEOUT.
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
    "extract": ("model_uri", "landing_uri", "landing_format", "source_secret"),
    "transform": ("model_uri", "landing_uri", "processed_uri"),
    "load": ("model_uri", "landing_uri", "processed_uri", "warehouse_secret"),
}
_PER_RUN: Final[dict[str, tuple[str, ...]]] = {
    "extract": ("run_id", "accept_deletes", "full_compare"),
    "transform": ("run_id",),
    "load": ("run_id",),
}
_TIMEOUT_MINUTES: Final = {"extract": 10, "transform": 10, "load": 10}


def arguments_of(job: str) -> tuple[str, ...]:
    """Names of all arguments, fixed and per run, of one job (``extract``, ``transform``, ``load``)."""
    return _FIXED[job] + _PER_RUN[job]


def job_definitions(deployment: Deployment) -> tuple[JobDefinition, ...]:
    """The three jobs of a deployment, in the order in which the data flows."""
    return tuple(
        JobDefinition(
            key=key,
            name=f"{deployment.prefix}-{key}",
            script=f"{key}.py",
            timeout_minutes=_TIMEOUT_MINUTES[key],
            arguments={f"--{name}": str(getattr(deployment, name)) for name in fixed},
            run_arguments=tuple(f"--{name}" for name in _PER_RUN[key]),
        )
        for key, fixed in _FIXED.items()
    )


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
