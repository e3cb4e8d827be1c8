"""The state machines of state_machines/*.asl.json, bound to a deployment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tidemark.jobs.definitions import STEPS, UPKEEP_STEPS, job_definitions
from tidemark.landing.area import PENDING_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tidemark.jobs.deployment import Deployment
    from tidemark.jobs.time_limits import TimeLimits

TICK: Final = "etl"
UPKEEP: Final = "maintain"
"""Last parts of the machines' names, and the names of their files."""
_REPORT: Final = "WhatFailed"


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """Both machines as JSON, placeholders kept, with a deployment's time limits."""

    tick: str
    upkeep: str

    @classmethod
    def read(cls, folder: Path, limits: TimeLimits) -> Definitions:
        """Read them from ``state_machines``; the failure report stands in the tick's file, and both have it."""
        tick, upkeep = (json.loads((folder / f"{name}.asl.json").read_text("utf-8")) for name in (TICK, UPKEEP))
        report = {name: tick["States"][name] for name in _reachable(tick["States"], _REPORT)}
        upkeep["States"] |= report
        tick["TimeoutSeconds"], upkeep["TimeoutSeconds"] = limits.machine_seconds, limits.upkeep_seconds
        for definition, steps in ((tick, STEPS), (upkeep, UPKEEP_STEPS)):
            for job, step in steps.items():
                definition["States"][step]["TimeoutSeconds"] = limits.step_seconds(job)
        return cls(tick=_text(tick), upkeep=_text(upkeep))


def machine_names(deployment: Deployment) -> tuple[str, str]:
    """Names of the two state machines: the tick's and the maintenance's."""
    return f"{deployment.prefix}-{TICK}", f"{deployment.prefix}-{UPKEEP}"


def state_machine_substitutions(deployment: Deployment, topic_arn: str, machines: str) -> dict[str, str]:
    """Values of the ``${…}`` placeholders in ``state_machines/*.asl.json``.

    Parameters
    ----------
    machines
        What the ARNs of state machines begin with, up to the name.
    """
    bucket, _, prefix = deployment.landing_uri.removeprefix("s3://").partition("/")
    jobs = {job.key: job.name for job in job_definitions(deployment)}
    tick, upkeep = machine_names(deployment)
    return {
        "ExtractJobName": jobs["extract"],
        "TransformJobName": jobs["transform"],
        "LoadJobName": jobs["load"],
        "MaintainJobName": jobs["maintain"],
        "LandingBucket": bucket,
        "PendingPrefix": f"{prefix.rstrip('/')}/{PENDING_PREFIX}".lstrip("/"),
        "TopicArn": topic_arn,
        "TickMachineArn": f"{machines}{tick}",
        "MaintenanceMachineArn": f"{machines}{upkeep}",
    }


def _reachable(states: Mapping[str, Any], first: str) -> Iterator[str]:
    """Yield a state and all that can come after it."""
    waiting, seen = [first], set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name
        state = states[name]
        further = [state, *state.get("Choices", ()), *state.get("Catch", ())]
        waiting += [step[way] for step in further for way in ("Next", "Default") if way in step]


def _text(definition: Mapping[str, Any]) -> str:
    return json.dumps(definition, indent=2, ensure_ascii=False)
