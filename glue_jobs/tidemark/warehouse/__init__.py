"""The warehouse behind a protocol, and its engines."""
