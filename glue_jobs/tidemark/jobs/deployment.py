"""Names of everything that one deployment consists of."""

from __future__ import annotations

from dataclasses import dataclass

from tidemark.jobs.time_limits import DEFAULT_LIMITS, TimeLimits
from tidemark.lake.retention import DEFAULT_BATCHES_DAYS, DEFAULT_DAILY_DAYS


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What one deployment of Tidemark is called and where its parts are.

    Parameters
    ----------
    model_name
        Name of the model folder; names the star's schema, the lake databases and all resources.
    model_uri
        Folder of the model: a path or ``s3://bucket/prefix``.
    landing_uri, processed_uri
        ``s3://bucket[/prefix]`` of the landing data and of the Iceberg warehouse.
    source_secret, warehouse_secret
        Secrets Manager ids; JSON with host, port, dbname, username, password and, if needed, sslmode, sslrootcert.
    landing_format
        ``parquet`` or ``csv``.
    stage
        Tells deployments of one model in one account apart (``dev``, ``prod``); empty if there is but one.
    ca_file
        File of the authorities that signed the databases' certificates, beside the script; ``system`` for the
        machine's own.
    time_limits
        How long each job may take.
    source_host, source_port, source_dbname, warehouse_host, warehouse_port, warehouse_dbname
        What a secret lacks (one that RDS manages has user and password only); None if it says all.
    warehouse_kind
        One of :data:`tidemark.warehouse.kinds.KINDS`; None if it is the usual one.
    keep_batches_days, keep_daily_days
        So many days every batch's state of the lake is kept, and after that, for so many days, the last one of a day.
    landing_days
        Landed batches that are older are removed, and with them the way to make the lake anew; None: they stay.
    start_spark
        Every job starts a SparkContext before its work, also where it needs none: YARN, under Glue, fails one without.
    """

    model_name: str
    model_uri: str
    landing_uri: str
    processed_uri: str
    source_secret: str
    warehouse_secret: str
    landing_format: str = "parquet"
    stage: str = ""
    ca_file: str = "system"
    time_limits: TimeLimits = DEFAULT_LIMITS
    source_host: str | None = None
    source_port: int | None = None
    source_dbname: str | None = None
    warehouse_host: str | None = None
    warehouse_port: int | None = None
    warehouse_dbname: str | None = None
    warehouse_kind: str | None = None
    keep_batches_days: int = DEFAULT_BATCHES_DAYS
    keep_daily_days: int = DEFAULT_DAILY_DAYS
    landing_days: int | None = None
    start_spark: bool = False

    @property
    def prefix(self) -> str:
        """Common first part of every resource's name."""
        return "-".join(filter(None, ("tidemark", self.model_name.replace("_", "-"), self.stage)))

    @property
    def pipeline(self) -> str:
        """What the metrics call this deployment."""
        return self.prefix

    @property
    def lake_name(self) -> str:
        """First part of the lake databases' names: stages in one account share one catalogue."""
        return "_".join(filter(None, (self.model_name, self.stage)))
