"""One stage: its two stacks and its tags; and AWS's own rules, held against all stages of an app."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from cdk_app.pipeline.assets import WHEELS_FILE
from cdk_app.pipeline_stack import PipelineStack
from cdk_app.storage_stack import StorageStack

if TYPE_CHECKING:
    from pathlib import Path

    from cdk_app.settings import Settings


class Stage(NamedTuple):
    """The stacks of a stage."""

    storage: StorageStack
    pipeline: PipelineStack


def build(app: cdk.App, settings: Settings, *, wheels: Path = WHEELS_FILE) -> Stage:
    """Build both stacks of a stage; ``wheels`` is the archive that ``make wheels`` makes."""
    environment = cdk.Environment(account=settings.account, region=settings.region)
    storage = StorageStack(
        app,
        f"{settings.name}-storage",
        settings=settings,
        env=environment,
        description=f"Tidemark {settings.model} {settings.stage}: the lake. Retained when the stack is deleted.",
        termination_protection=True,
    )
    pipeline = PipelineStack(
        app,
        f"{settings.name}-pipeline",
        settings=settings,
        storage=storage,
        wheels=wheels,
        env=environment,
        description=f"Tidemark {settings.model} {settings.stage}: schedule, state machine, jobs, alarms.",
    )
    for stack in (storage, pipeline):
        for key, value in {"project": "tidemark", "stage": settings.stage, **settings.tags}.items():
            cdk.Tags.of(stack).add(key, value)
    return Stage(storage, pipeline)


def hold_to_rules(app: cdk.App) -> None:
    """Make the synthesis fail on every finding of AWS's rules that ``acknowledgements.py`` does not know."""
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
