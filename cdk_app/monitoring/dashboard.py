"""One page that answers: does it run, how fresh is it, how much moves, how long does it take, what does it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct
from tidemark.base import metrics
from tidemark.jobs.definitions import job_definitions

if TYPE_CHECKING:
    from aws_cdk import aws_stepfunctions as sfn
    from tidemark.jobs.deployment import Deployment

    from cdk_app.monitoring.alarms import Alarms
    from cdk_app.settings import Settings

_PERIOD: Final = cdk.Duration.minutes(15)
_HALF: Final = 12
_TALL: Final = 7
_DPU_PER_WORKER: Final = 1  # G.1X


class Dashboard(Construct):
    """The dashboard of one stage."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        deployment: Deployment,
        machine: sfn.StateMachine,
        alarms: Alarms,
    ) -> None:
        super().__init__(scope, construct_id)
        self._pipeline = deployment.pipeline
        self._jobs = {job.key: getattr(settings.workers, job.key) for job in job_definitions(deployment)}
        self.dashboard = cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=settings.name,
            default_interval=cdk.Duration.days(1),
            period_override=cloudwatch.PeriodOverride.INHERIT,
        )
        self.dashboard.add_widgets(
            cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(alarms.all), width=24, height=3)
        )
        self.dashboard.add_widgets(self._freshness(settings.freshness_limit_minutes), _runs(machine))
        self.dashboard.add_widgets(
            self._per_table("Rows read", metrics.ROWS_READ), self._per_table("Rows changed", metrics.ROWS_CHANGED)
        )
        self.dashboard.add_widgets(
            self._per_table("Rows in quarantine", metrics.ROWS_QUARANTINED, "Maximum"), self._ages()
        )
        self.dashboard.add_widgets(self._durations(), self._cost())

    def _freshness(self, limit_minutes: int) -> cloudwatch.GraphWidget:
        minutes = cloudwatch.MathExpression(
            expression="seconds / 60",
            label="age",
            using_metrics={"seconds": self._metric(metrics.FRESHNESS, "Maximum")},
            period=_PERIOD,
        )
        return _graph(
            "Age of the warehouse (minutes)",
            [minutes],
            left_annotations=[cloudwatch.HorizontalAnnotation(value=limit_minutes, label="alarm")],
        )

    def _ages(self) -> cloudwatch.GraphWidget:
        hours = cloudwatch.MathExpression(
            expression="seconds / 3600",
            label="last full compare",
            using_metrics={"seconds": self._metric(metrics.FULL_COMPARE_AGE, "Maximum")},
            period=_PERIOD,
        )
        return _graph("Age of the last full compare (hours)", [hours])

    def _per_table(self, title: str, name: str, statistic: str = "Sum") -> cloudwatch.GraphWidget:
        """One line per table, whatever the model's tables are: found by search when the page is opened."""
        dimensions = f"{metrics.NAMESPACE},{metrics.PIPELINE},{metrics.TABLE}"
        search = cloudwatch.SearchExpression(
            expression=(
                f'SEARCH(\'{{{dimensions}}} MetricName="{name}" {metrics.PIPELINE}="{self._pipeline}"\', '
                f"'{statistic}', {_PERIOD.to_seconds()})"
            ),
            label=f"${{PROP('Dim.{metrics.TABLE}')}}",
            period=_PERIOD,
        )
        return _graph(title, [search])

    def _durations(self) -> cloudwatch.GraphWidget:
        return _graph("Duration of the jobs (seconds)", [self._duration(job) for job in self._jobs])

    def _cost(self) -> cloudwatch.GraphWidget:
        """At most what is billed for the jobs' own time: auto scaling uses fewer workers; start-up is not in it."""
        parts = {job: self._duration(job, "Sum") for job in self._jobs}
        terms = " + ".join(f"FILL({job}, 0) * {workers * _DPU_PER_WORKER}" for job, workers in self._jobs.items())
        cost = cloudwatch.MathExpression(
            expression=terms, label="DPU-seconds, at most", using_metrics=parts, period=_PERIOD
        )
        return _graph("Cost of the jobs (DPU-seconds)", [cost])

    def _duration(self, job: str, statistic: str = "Maximum") -> cloudwatch.Metric:
        return self._metric(metrics.DURATION, statistic, {metrics.JOB: job}, job)

    def _metric(
        self, name: str, statistic: str, dimensions: dict[str, str] | None = None, label: str | None = None
    ) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=metrics.NAMESPACE,
            metric_name=name,
            dimensions_map={metrics.PIPELINE: self._pipeline, **(dimensions or {})},
            statistic=statistic,
            period=_PERIOD,
            label=label,
        )


def _runs(machine: sfn.StateMachine) -> cloudwatch.GraphWidget:
    ends = {
        "succeeded": machine.metric_succeeded(statistic="Sum", period=_PERIOD, label="succeeded"),
        "failed": machine.metric_failed(statistic="Sum", period=_PERIOD, label="failed"),
        "timed out": machine.metric_timed_out(statistic="Sum", period=_PERIOD, label="timed out"),
        "aborted": machine.metric_aborted(statistic="Sum", period=_PERIOD, label="aborted"),
    }
    return _graph("Runs", list(ends.values()))


def _graph(
    title: str,
    left: list[cloudwatch.IMetric],
    left_annotations: list[cloudwatch.HorizontalAnnotation] | None = None,
) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(
        title=title,
        left=left,
        left_annotations=left_annotations,
        left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False),
        width=_HALF,
        height=_TALL,
    )
