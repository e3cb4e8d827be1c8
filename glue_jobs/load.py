"""Glue job 3: the lake's newest state into the warehouse, in one transaction."""

from __future__ import annotations

from tidemark.arguments import parse_arguments
from tidemark.credentials import from_secret
from tidemark.errors import run_job
from tidemark.landing import Landing
from tidemark.loading import load
from tidemark.model_loader import load_model
from tidemark.warehouse.postgres import PostgresWarehouse


def main() -> None:
    """Read the arguments, build the ports, load."""
    arguments = parse_arguments("load")
    model = load_model(arguments.model_uri)
    warehouse = PostgresWarehouse(model, from_secret(arguments.warehouse_secret))
    load(model, Landing(arguments.landing_uri), arguments.processed_uri, warehouse)


if __name__ == "__main__":
    run_job("load", main)
