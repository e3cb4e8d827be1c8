"""Tidemark: a PostgreSQL database into an Iceberg lake and a star-schema warehouse with full fact history."""
