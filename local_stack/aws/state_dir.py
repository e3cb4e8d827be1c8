"""Where a stack is, and what its local AWS keeps there: names that the daemon and those who look for it share."""

from __future__ import annotations

from pathlib import Path
from typing import Final

DEFAULT_STATE: Final = Path(".tidemark")

STACK_FILE: Final = "stack.json"
LOCK_FILE: Final = "stack.lock"
NOTIFICATIONS_FILE: Final = "notifications.jsonl"
LOG_FILE: Final = "logs/aws.log"
STORE_LOG_FILE: Final = "logs/s3.log"
LAKE_DIR: Final = "lake"
"""Where the store keeps its objects."""
KEEP_WARM: Final = "TIDEMARK_KEEP_WARM_SECONDS"
"""Environment variable: how long the daemon keeps idle processes for the next job; 0: each job starts its own."""
