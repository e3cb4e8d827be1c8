"""Glue job 3: the lake's newest state into the warehouse, in one transaction."""

from __future__ import annotations

from tidemark.base.credentials import from_secret
from tidemark.base.metrics import job_metrics
from tidemark.base.spark import spark_throughout
from tidemark.jobs.arguments import given_credentials, parse_arguments
from tidemark.jobs.load import load
from tidemark.jobs.process import run_job
from tidemark.landing.area import Landing
from tidemark.model.loader import load_model
from tidemark.warehouse.kinds import open_warehouse


def main() -> None:
    """Read the arguments, build the ports, load."""
    arguments = parse_arguments("load")
    with job_metrics("load", arguments.pipeline) as metrics, spark_throughout("load", arguments.start_spark):
        model = load_model(arguments.model_uri, arguments.lake_name)
        given = given_credentials(arguments, "warehouse")
        credentials = from_secret(arguments.warehouse_secret, arguments.ca_file, given)
        warehouse = open_warehouse(arguments.warehouse_kind, model, credentials)
        load(model, Landing(arguments.landing_uri), arguments.processed_uri, warehouse, metrics)


if __name__ == "__main__":
    run_job("load", main)
