"""What wakes people up. An alarm's name is the sentence that arrives by SMS; its description says where to read on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from constructs import Construct
from tidemark.base import metrics

if TYPE_CHECKING:
    from aws_cdk import aws_sns as sns
    from aws_cdk import aws_stepfunctions as sfn

    from cdk_app.pipeline.schedule import TickSchedule
    from cdk_app.settings import Settings

MISSED_INTERVALS: Final = 3
_FIVE_MINUTES: Final = cdk.Duration.minutes(5)
_TARGET_ERRORS: Final = {
    "errors": "TargetErrorCount",
    "throttled": "TargetErrorThrottledCount",
    "dropped": "InvocationDroppedCount",
    "undelivered": "InvocationsFailedToBeSentToDeadLetterCount",
}
_QUIET: Final = cloudwatch.TreatMissingData.NOT_BREACHING
_AS_BEFORE: Final = cloudwatch.TreatMissingData.IGNORE


class Alarms(Construct):
    """All alarms of a stage, bound to the topic.

    Parameters
    ----------
    machine, upkeep, schedule
        What is watched: the tick's state machine, the maintenance's, and what starts them.
    pipeline
        What the jobs call this deployment in their metrics.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        machine: sfn.StateMachine,
        upkeep: sfn.StateMachine,
        schedule: TickSchedule,
        pipeline: str,
        topic: sns.ITopic,
    ) -> None:
        super().__init__(scope, construct_id)
        self._who = f"Tidemark {settings.model} {settings.stage}"
        self._action, self._pipeline = actions.SnsAction(topic), pipeline
        self.all: list[cloudwatch.Alarm] = []
        self._watch_runs(machine, settings.interval_minutes)
        self._alarm("UpkeepFailed", "the upkeep of the lake failed", _sum(_not_well(upkeep)), "upkeep-failed", _QUIET)
        self._watch_schedule(schedule)
        self._watch_data(settings)

    def _watch_runs(self, machine: sfn.StateMachine, interval: int) -> None:
        ended = _sum(_not_well(machine))
        self._alarm("RunFailed", "a run failed, timed out or was aborted", ended, "run-failed", _QUIET)
        succeeded = machine.metric_succeeded(period=cdk.Duration.minutes(interval), statistic="Sum")
        self._alarm(
            "NoSuccess",
            f"no run has succeeded for {MISSED_INTERVALS * interval} minutes",
            succeeded,
            "no-success",
            cloudwatch.TreatMissingData.BREACHING,
            threshold=1,
            comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            periods=MISSED_INTERVALS,
        )

    def _watch_schedule(self, schedule: TickSchedule) -> None:
        group = {"ScheduleGroup": schedule.group_name}
        errors = {
            name: cloudwatch.Metric(namespace="AWS/Scheduler", metric_name=metric, dimensions_map=group)
            for name, metric in _TARGET_ERRORS.items()
        }
        self._alarm("ScheduleErrors", "the schedule could not start a run", _sum(errors), "schedule", _QUIET)
        waiting = schedule.dead_letters.metric_approximate_number_of_messages_visible(
            period=_FIVE_MINUTES, statistic="Maximum"
        )
        self._alarm("DeadLetters", "starts of runs were given up (dead letters)", waiting, "schedule", _QUIET)

    def _watch_data(self, settings: Settings) -> None:
        limit = settings.freshness_limit_minutes
        self._alarm(
            "Stale",
            f"the warehouse is more than {limit} minutes old",
            self._metric(metrics.FRESHNESS, "Maximum"),
            "stale",
            _AS_BEFORE,
            threshold=limit * 60,
            comparison=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
        )
        # Only a transform counts; an idle night must not end an alarm whose rows still wait.
        self._alarm(
            "Quarantined",
            "rows are in quarantine",
            self._metric(metrics.ROWS_QUARANTINED, "Maximum"),
            "quarantine",
            _AS_BEFORE,
        )
        self._alarm(
            "ShrinkGuard",
            "a source table lost so many rows that the run was stopped",
            self._metric(metrics.SHRINK_GUARD_HITS, "Sum"),
            "shrink-guard",
            _QUIET,
        )

    def _metric(self, name: str, statistic: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=metrics.NAMESPACE,
            metric_name=name,
            dimensions_map={metrics.PIPELINE: self._pipeline},
            period=_FIVE_MINUTES,
            statistic=statistic,
        )

    def _alarm(
        self,
        construct_id: str,
        sentence: str,
        metric: cloudwatch.IMetric,
        section: str,
        missing: cloudwatch.TreatMissingData,
        *,
        threshold: float = 1,
        comparison: cloudwatch.ComparisonOperator = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        periods: int = 1,
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            construct_id,
            alarm_name=f"{self._who}: {sentence}",
            alarm_description=f"What it means and what to do: docs/runbook.md#{section}",
            metric=metric,
            threshold=threshold,
            comparison_operator=comparison,
            evaluation_periods=periods,
            datapoints_to_alarm=periods,
            treat_missing_data=missing,
        )
        alarm.add_alarm_action(self._action)
        self.all.append(alarm)


def _not_well(machine: sfn.StateMachine) -> dict[str, cloudwatch.Metric]:
    """Executions that did not end well."""
    return {
        "failed": machine.metric_failed(),
        "timed_out": machine.metric_timed_out(),
        "aborted": machine.metric_aborted(),
    }


def _sum(parts: dict[str, cloudwatch.Metric]) -> cloudwatch.MathExpression:
    """Add counts that are simply absent when nothing happens."""
    return cloudwatch.MathExpression(
        expression=" + ".join(f"FILL({name}, 0)" for name in parts),
        label=" + ".join(parts),
        using_metrics={name: metric.with_(statistic="Sum", period=_FIVE_MINUTES) for name, metric in parts.items()},
        period=_FIVE_MINUTES,
    )
