"""What Tidemark adds to a model: names of its own tables, and of the columns that every table gets."""

from __future__ import annotations

from typing import Final

QUARANTINE: Final = "quarantine"
"""The lake's table of rejected rows."""
