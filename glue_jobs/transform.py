"""Glue job 2: pending manifests into the lake's mirrors, dimensions and versioned facts."""

from __future__ import annotations

from tidemark.arguments import parse_arguments
from tidemark.errors import run_job
from tidemark.landing import Landing
from tidemark.metrics import job_metrics
from tidemark.model_loader import load_model
from tidemark.transformation import transform


def main() -> None:
    """Read the arguments, build the ports, transform."""
    arguments = parse_arguments("transform")
    with job_metrics("transform", arguments.pipeline) as metrics:
        model = load_model(arguments.model_uri, arguments.lake_name)
        transform(model, Landing(arguments.landing_uri), arguments.processed_uri, arguments.run_id, metrics)


if __name__ == "__main__":
    run_job("transform", main)
