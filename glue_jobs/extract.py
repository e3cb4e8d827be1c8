"""Glue job 1: one consistent cut of the source database into the landing area."""

from __future__ import annotations

from tidemark.arguments import parse_arguments
from tidemark.credentials import from_secret
from tidemark.errors import run_job
from tidemark.extraction import ExtractRequest, extract
from tidemark.landing import Landing
from tidemark.metrics import job_metrics
from tidemark.model_loader import load_model


def main() -> None:
    """Read the arguments, build the ports, extract."""
    arguments = parse_arguments("extract")
    request = ExtractRequest(
        run_id=arguments.run_id,
        landing_format=arguments.landing_format,
        accept_deletes=frozenset(filter(None, (name.strip() for name in arguments.accept_deletes.split(",")))),
        full_compare=arguments.full_compare == "true",
        restored=arguments.full_compare == "restored",
    )
    with job_metrics("extract", arguments.pipeline) as metrics:
        model = load_model(arguments.model_uri)
        source = from_secret(arguments.source_secret, arguments.ca_file)
        extract(model, source, Landing(arguments.landing_uri), request, metrics)


if __name__ == "__main__":
    run_job("extract", main)
