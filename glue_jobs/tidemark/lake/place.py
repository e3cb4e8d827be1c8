"""New tables by Iceberg's own library: what CREATE TABLE makes, with a third of its calls of the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tidemark.base import quoting as names
from tidemark.base.spark import activate, java_class
from tidemark.lake.data_file import conform
from tidemark.lake.iceberg import IcebergTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from pyspark.sql import SparkSession

    from tidemark.lake.evolution import Columns

_ICEBERG: Final = "org.apache.iceberg"


class Place:
    """Where a table is, or may come to be.

    Parameters
    ----------
    spark
        Session with the catalog in it.
    name
        Spark's name of the table, quoted.
    """

    def __init__(self, spark: SparkSession, name: str) -> None:
        self._spark = spark
        activate(spark)
        found = self._iceberg("spark.Spark3Util").catalogAndIdentifier(spark._jsparkSession, name)  # noqa: SLF001
        self._catalog, self._identifier = found.catalog(), found.identifier()
        self._table = self._iceberg("spark.Spark3Util").identifierToTableIdentifier(self._identifier)

    def tables_beside(self) -> Sequence[str]:
        """Return the names of all tables of the database; none if it is not there."""
        if not self._catalog.namespaceExists(self._identifier.namespace()):
            return []
        # As one text: each table of a list would be two calls of Java. Glue's names have neither dots nor commas.
        listed = str(self._catalog.icebergCatalog().listTables(self._table.namespace()).toString())[1:-1]
        return [name.rpartition(".")[2] for name in listed.split(", ") if name]

    def create(
        self,
        columns: Columns,
        comment: str,
        properties: Mapping[str, str],
        month_of: str | None = None,
        rows: pa.Table | None = None,
    ) -> None:
        """Create a table, as one commit. It fails if there is one.

        Parameters
        ----------
        month_of
            The column by whose month the table is partitioned; None if it is not.
        rows
            Its first rows, columns by name; None for a table that never had any.
        """
        schema = self._schema(columns)
        table = self._catalog.icebergCatalog().buildTable(self._table, schema)
        for key, value in {**properties, "comment": comment}.items():
            table = table.withProperty(key, value)
        if month_of is not None:
            spec = self._iceberg("PartitionSpec").builderFor(schema).month(month_of).build()
            table = table.withPartitionSpec(spec)
        if rows is None:
            table.create()
            return
        made = table.createTransaction()
        new = IcebergTable(self._spark, made.table())
        new.replace([], conform(rows, new.schema))
        made.commitTransaction()

    def _schema(self, columns: Columns) -> Any:
        """Return Iceberg's schema, made of Spark's: it knows how each of Spark's types is stored."""
        listed = ", ".join(
            f"{names.spark(column)} {kind} COMMENT {names.spark_literal(text)}"
            for column, (kind, text) in columns.items()
        )
        found = java_class(self._spark, "org.apache.spark.sql.types.StructType").fromDDL(listed)
        return self._iceberg("spark.SparkSchemaUtil").convert(found)

    def _iceberg(self, name: str) -> Any:
        return java_class(self._spark, f"{_ICEBERG}.{name}")
