"""Glue job 1: one consistent cut of the source database into the landing area."""

from __future__ import annotations

from tidemark.base.credentials import from_secret
from tidemark.base.metrics import job_metrics
from tidemark.base.spark import spark_throughout
from tidemark.jobs.arguments import accepted_deletes, given_credentials, parse_arguments
from tidemark.jobs.extract import ExtractRequest, extract
from tidemark.jobs.process import run_job
from tidemark.landing.area import Landing
from tidemark.model.loader import load_model


def main() -> None:
    """Read the arguments, build the ports, extract."""
    arguments = parse_arguments("extract")
    request = ExtractRequest(
        execution=arguments.execution,
        landing_format=arguments.landing_format,
        accept_deletes=accepted_deletes(arguments.accept_deletes),
        full_compare=arguments.full_compare == "true",
        restored=arguments.full_compare == "restored",
    )
    with job_metrics("extract", arguments.pipeline) as metrics, spark_throughout("extract", arguments.start_spark):
        model = load_model(arguments.model_uri)
        given = given_credentials(arguments, "source")
        source = from_secret(arguments.source_secret, arguments.ca_file, given)
        extract(model, source, Landing(arguments.landing_uri), request, metrics)


if __name__ == "__main__":
    run_job("extract", main)
