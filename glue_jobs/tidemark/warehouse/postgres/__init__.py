"""The warehouse in PostgreSQL."""
