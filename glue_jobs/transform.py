"""Glue job 2: pending manifests into the lake's mirrors, dimensions and versioned facts."""

from __future__ import annotations

from tidemark.base.metrics import job_metrics
from tidemark.base.spark import spark_throughout
from tidemark.jobs.arguments import parse_arguments
from tidemark.jobs.process import run_job
from tidemark.jobs.transform import transform
from tidemark.landing.area import Landing
from tidemark.model.loader import load_model


def main() -> None:
    """Read the arguments, build the ports, transform."""
    arguments = parse_arguments("transform")
    landing, processed = Landing(arguments.landing_uri), arguments.processed_uri
    spark = spark_throughout("transform", arguments.start_spark, processed)
    with job_metrics("transform", arguments.pipeline) as metrics, spark:
        model = load_model(arguments.model_uri, arguments.lake_name)
        transform(model, landing, processed, arguments.execution, metrics)


if __name__ == "__main__":
    run_job("transform", main)
