"""The Glue jobs: their scripts and arguments, stated once.

The local stack and the CDK template both create their jobs from :func:`job_definitions`, and the entry scripts read
their arguments by :func:`arguments_of`, so that what is deployed, what runs on a laptop and what is parsed cannot
drift apart.

An argument is either *fixed* (set when the job is created: buckets, secrets, model) or *per run* (set by the state
machine when it starts the job: run id, accepted deletes, full compare). No value is ever empty, for Glue passes the
name on and drops the value: what has nothing to say is left out, or says a word (:data:`NO_DELETES`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tidemark.jobs.deployment import Deployment

NO_DELETES: Final = "none"
"""What ``accept_deletes`` says when no table may shrink beyond its guard."""


@dataclass(frozen=True, kw_only=True)
class JobDefinition:
    """One Glue job as both the template and the local stack create it.

    Parameters
    ----------
    key
        ``extract``, ``transform``, ``load`` or ``maintain``: the script's name without its ending.
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


STEPS: Final = {"extract": "ExtractSource", "transform": "TransformToLake", "load": "LoadWarehouse"}
"""The state of a tick that runs each job."""
UPKEEP_STEPS: Final = {"maintain": "MaintainLake"}
"""The state of the maintenance that runs its job."""

_FIXED: Final[dict[str, tuple[str, ...]]] = {
    "extract": ("pipeline", "model_uri", "landing_uri", "landing_format", "source_secret", "ca_file"),
    "transform": ("pipeline", "model_uri", "landing_uri", "processed_uri", "lake_name"),
    "load": ("pipeline", "model_uri", "landing_uri", "processed_uri", "lake_name", "warehouse_secret", "ca_file"),
    "maintain": (
        *("pipeline", "model_uri", "landing_uri", "processed_uri", "lake_name"),
        *("keep_batches_days", "keep_daily_days"),
    ),
}
_IF_SET: Final[dict[str, tuple[str, ...]]] = {
    "extract": ("source_host", "source_port", "source_dbname", "start_spark"),
    "transform": ("start_spark",),
    "load": ("warehouse_kind", "warehouse_host", "warehouse_port", "warehouse_dbname", "start_spark"),
    "maintain": ("landing_days", "start_spark"),
}
_PER_RUN: Final[dict[str, tuple[str, ...]]] = {
    "extract": ("execution", "accept_deletes", "full_compare"),
    "transform": ("execution",),
    "load": ("execution",),
    "maintain": ("execution",),
}
# What holds if an execution's input says "": then Glue drops the value on the way.
_DEFAULTS: Final = {"accept_deletes": NO_DELETES, "full_compare": "false"}


def arguments_of(job: str) -> tuple[str, ...]:
    """Names of the arguments, fixed and per run, that one job (:attr:`JobDefinition.key`) always gets."""
    return _FIXED[job] + _PER_RUN[job]


def optional_arguments_of(job: str) -> dict[str, str | None]:
    """Names of the arguments that one job can do without, and what holds then."""
    defaults = {name: text for name, text in _DEFAULTS.items() if name in _PER_RUN[job]}
    return {**defaults, **dict.fromkeys(_IF_SET[job])}


def job_definitions(deployment: Deployment) -> tuple[JobDefinition, ...]:
    """The jobs of a deployment: a tick's, in the order in which the data flows, and the maintenance's."""
    return tuple(
        JobDefinition(
            key=key,
            name=f"{deployment.prefix}-{key}",
            script=f"{key}.py",
            timeout_minutes=deployment.time_limits.step_seconds(key) // 60 + 1,
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
