"""The Iceberg lake: mirrors of the source, and what its tables have in common."""
