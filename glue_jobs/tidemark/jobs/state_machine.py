"""The state machine of state_machines/etl.asl.json, bound to a deployment."""

from __future__ import annotations

import json
from typing import Any

from tidemark.jobs.definitions import STEPS, job_definitions
from tidemark.jobs.deployment import Deployment
from tidemark.jobs.time_limits import TimeLimits
from tidemark.landing.area import PENDING_PREFIX


def state_machine_definition(text: str, limits: TimeLimits) -> str:
    """The state machine of ``state_machines/etl.asl.json``, placeholders kept, with these limits."""
    definition: dict[str, Any] = json.loads(text)
    definition["TimeoutSeconds"] = limits.machine_seconds
    for job, step in STEPS.items():
        definition["States"][step]["TimeoutSeconds"] = limits.step_seconds(job)
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
