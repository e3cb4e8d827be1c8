"""What the jobs tell CloudWatch: rows, ages, durations; what alarms and the dashboard are made of.

Owns the names of all metrics: the CDK app builds its alarms from the same constants. Promises: a job publishes once,
at its end, also when it fails; a metric that cannot be published costs a line in the log and a few seconds, never the
run.
"""

from __future__ import annotations

import contextlib
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from tidemark.base.aws import AwsRefusal, AwsSilence, client
from tidemark.base.errors import ShrinkError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_cloudwatch.type_defs import MetricDatumTypeDef

Unit = Literal["Count", "Seconds"]

NAMESPACE: Final = "Tidemark"
PIPELINE: Final = "Pipeline"
TABLE: Final = "Table"
JOB: Final = "Job"

# Of the pipeline as a whole.
FRESHNESS: Final = "Freshness"
CUT_AGE: Final = "CutAge"
FULL_COMPARE_AGE: Final = "FullCompareAge"
SHRINK_GUARD_HITS: Final = "ShrinkGuardHits"
# Of the pipeline, and of each table.
ROWS_READ: Final = "RowsRead"
ROWS_CHANGED: Final = "RowsChanged"
ROWS_QUARANTINED: Final = "RowsQuarantined"
# Of each job.
DURATION: Final = "Duration"
FAILURES: Final = "Failures"

_PER_REQUEST: Final = 1000
_log = logging.getLogger("tidemark.metrics")


class Metrics:
    """The metrics of one job run, kept until they are published together.

    Parameters
    ----------
    pipeline
        Value of the dimension ``Pipeline``: tells deployments apart.
    """

    def __init__(self, pipeline: str) -> None:
        self.pipeline = pipeline
        self.data: list[MetricDatumTypeDef] = []

    def record(self, name: str, value: float, unit: Unit, **dimensions: str) -> None:
        """Keep one value; ``dimensions`` (``Table``, ``Job``) stand beside the pipeline."""
        pairs = {PIPELINE: self.pipeline, **dimensions}
        self.data.append(
            {
                "MetricName": name,
                "Dimensions": [{"Name": key, "Value": text} for key, text in pairs.items()],
                "Timestamp": datetime.now(UTC),
                "Value": float(value),
                "Unit": unit,
            }
        )

    def rows(self, name: str, per_table: dict[str, int]) -> None:
        """Keep a count of rows per table, and their sum for the pipeline."""
        for table, count in per_table.items():
            self.record(name, count, "Count", **{TABLE: table})
        self.record(name, sum(per_table.values()), "Count")

    def age(self, name: str, since: str | datetime) -> None:
        """Keep how many seconds ago a time (ISO 8601 with offset, or aware) was; never below 0."""
        then = datetime.fromisoformat(since) if isinstance(since, str) else since
        self.record(name, max(0.0, (datetime.now(UTC) - then).total_seconds()), "Seconds")

    def publish(self) -> None:
        """Send everything; an error is logged and swallowed: no metric is worth a failed run."""
        try:
            for first in range(0, len(self.data), _PER_REQUEST):
                client("cloudwatch").put_metric_data(
                    Namespace=NAMESPACE, MetricData=self.data[first : first + _PER_REQUEST]
                )
        except (AwsRefusal, AwsSilence) as error:
            _log.warning("metrics were not published (%s); alarms may ring for want of data", type(error).__name__)
        self.data = []


@contextlib.contextmanager
def job_metrics(job: str, pipeline: str) -> Iterator[Metrics]:
    """Measure a job run and publish at its end, whatever the end is."""
    metrics, start, failed = Metrics(pipeline), time.monotonic(), True
    try:
        yield metrics
        failed = False
    except ShrinkError:
        metrics.record(SHRINK_GUARD_HITS, 1, "Count")
        raise
    finally:
        metrics.record(DURATION, time.monotonic() - start, "Seconds", **{JOB: job})
        metrics.record(FAILURES, int(failed), "Count", **{JOB: job})
        metrics.publish()
