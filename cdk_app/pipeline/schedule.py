"""When the state machines run: a tick every interval, once a night with a full compare; and once a night the upkeep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as targets
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_app.acknowledgements import acknowledge

if TYPE_CHECKING:
    from aws_cdk import aws_kms as kms
    from aws_cdk import aws_stepfunctions as sfn

    from cdk_app.settings import Settings

_RETRIES: Final = 2
_KEEP_DEAD_LETTERS: Final = cdk.Duration.days(14)
_HOUR: Final = 60


class TickSchedule(Construct):
    """A schedule group with the schedules, their role and their dead-letter queue."""

    def __init__(  # long: one construct after the other, nothing is decided
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        tick: sfn.IStateMachine,
        upkeep: sfn.IStateMachine,
        key: kms.IKey,
    ) -> None:
        super().__init__(scope, construct_id)
        self._interval = settings.interval_minutes
        self.group_name = settings.name
        self.dead_letters = sqs.Queue(
            self,
            "DeadLetters",
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=key,
            enforce_ssl=True,
            retention_period=_KEEP_DEAD_LETTERS,
        )
        acknowledge(self.dead_letters, "AwsSolutions-SQS3")
        self._role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}},
            ),
            description=f"Tidemark {settings.stage}: starts the state machines",
        )
        # Scheduler writes dead letters in the role's name, and the queue is encrypted.
        self._role.add_to_policy(
            iam.PolicyStatement(actions=["kms:Decrypt", "kms:GenerateDataKey"], resources=[key.key_arn])
        )
        self._group = scheduler.ScheduleGroup(
            self, "Group", schedule_group_name=self.group_name, removal_policy=cdk.RemovalPolicy.DESTROY
        )
        hour, minutes = settings.full_compare_hour, settings.interval_minutes
        self._schedule("Tick", tick, _every(minutes), "One tick", {})
        self._schedule(
            "FullCompare",
            tick,
            _nightly(hour, minutes),
            "Nightly full compare: finds what a difference of snapshots cannot see",
            {"full_compare": "true"},
        )
        # An hour later: the full compare is over, and with it what it wrote.
        self._schedule("Upkeep", upkeep, _nightly((hour + 1) % 24, minutes), "Nightly upkeep of the lake", {})

    def _schedule(
        self,
        construct_id: str,
        machine: sfn.IStateMachine,
        when: scheduler.ScheduleExpression,
        what: str,
        given: dict[str, str],
    ) -> None:
        scheduler.Schedule(
            self,
            construct_id,
            schedule=when,
            schedule_group=self._group,
            description=what,
            time_window=scheduler.TimeWindow.off(),
            target=targets.StepFunctionsStartExecution(
                machine,
                input=scheduler.ScheduleTargetInput.from_object(given),
                role=self._role,
                dead_letter_queue=self.dead_letters,
                # A start that is late by a whole interval is another tick's work.
                retry_attempts=_RETRIES,
                max_event_age=cdk.Duration.minutes(min(self._interval, 24 * _HOUR)),
            ),
        )


def _every(minutes: int) -> scheduler.ScheduleExpression:
    """Every interval, on the clock: so that the nightly run has a place of its own between two ticks."""
    if minutes <= _HOUR:
        return scheduler.ScheduleExpression.cron(minute=f"0/{minutes}" if minutes < _HOUR else "0")
    hours = minutes // _HOUR
    return scheduler.ScheduleExpression.cron(minute="0", hour=f"0/{hours}" if hours < 24 else "0")  # noqa: PLR2004 - a day


def _nightly(hour: int, interval_minutes: int) -> scheduler.ScheduleExpression:
    """Half an interval (at most half an hour) after a tick: the tick before is done, the next is skipped if need be."""
    return scheduler.ScheduleExpression.cron(minute=str(min(interval_minutes, _HOUR) // 2), hour=str(hour))
