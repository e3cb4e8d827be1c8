"""The lake's two databases in the Glue Data Catalog; their tables are made, and changed, by the transform."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_glue as glue
from constructs import Construct

if TYPE_CHECKING:
    from tidemark.jobs.deployment import Deployment


class LakeCatalog(Construct):
    """Databases ``<lake>_source`` (mirrors) and ``<lake>_star`` (dimensions, facts, run ledger, quarantine)."""

    def __init__(self, scope: Construct, construct_id: str, *, deployment: Deployment) -> None:
        super().__init__(scope, construct_id)
        self.source = self._database("Source", deployment, "source", "mirrors of the source's tables")
        self.star = self._database("Star", deployment, "star", "dimensions, versioned facts, run ledger, quarantine")

    def _database(self, construct_id: str, deployment: Deployment, kind: str, what: str) -> glue.Database:
        name = f"{deployment.lake_name}_{kind}"
        database = glue.Database(
            self,
            construct_id,
            database_name=name,
            # Where Iceberg puts a database's tables by itself; said here, it also holds for other engines.
            location_uri=f"{deployment.processed_uri}/{name}.db",
            description=f"Tidemark: {what}",
        )
        database.apply_removal_policy(cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)
        return database
