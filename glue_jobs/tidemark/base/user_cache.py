"""Where this user's files are that can be made again: on a laptop they outlive a process."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """Return the folder: ``TIDEMARK_CACHE``, or ``tidemark`` in the user's cache; it need not be there."""
    if own := os.environ.get("TIDEMARK_CACHE"):
        return Path(own).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tidemark"
