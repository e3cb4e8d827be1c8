"""What a user of dlt writes for one table with history; run in dlt's own environment, with the table's name."""

from __future__ import annotations

import os
import sys

import dlt  # type: ignore[import-not-found]
from dlt.sources.helpers.transform import add_row_hash_to_table  # type: ignore[import-not-found]
from dlt.sources.sql_database import sql_table  # type: ignore[import-not-found]

source = os.environ["SOURCE_URI"].replace("postgresql:", "postgresql+psycopg2:", 1)
table = sql_table(source, table=sys.argv[1], backend="pyarrow", chunk_size=100_000)
history = {"disposition": "merge", "strategy": "scd2", "row_version_column_name": "row_hash"}
table.add_map(add_row_hash_to_table("row_hash")).apply_hints(write_disposition=history)
target = dlt.destinations.postgres(os.environ["DESTINATION_URI"])
pipeline = dlt.pipeline("orders", destination=target, dataset_name="dlt")
pipeline.run(table)
