"""Glue job 4: the lake's upkeep, once a night and never beside a tick."""

from __future__ import annotations

from tidemark.base.metrics import job_metrics
from tidemark.base.spark import spark_throughout
from tidemark.jobs.arguments import parse_arguments
from tidemark.jobs.maintain import maintain
from tidemark.jobs.process import run_job
from tidemark.lake.retention import Retention
from tidemark.landing.area import Landing
from tidemark.model.loader import load_model


def main() -> None:
    """Read the arguments, build the ports, maintain."""
    arguments = parse_arguments("maintain")
    landing, processed = Landing(arguments.landing_uri), arguments.processed_uri
    days = (arguments.keep_batches_days, arguments.keep_daily_days, arguments.landing_days or 0)
    keep = Retention(*map(int, days))
    spark = spark_throughout("maintain", arguments.start_spark, processed)
    with job_metrics("maintain", arguments.pipeline), spark:
        model = load_model(arguments.model_uri, arguments.lake_name)
        maintain(model, landing, processed, arguments.execution, keep)


if __name__ == "__main__":
    run_job("maintain", main)
