"""Whether a process is there."""

from __future__ import annotations

import os
import time


def is_alive(pid: int) -> bool:
    """Whether a process is running, or not yet waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def is_gone(pid: int, seconds: float = 20) -> bool:
    """Whether a process has ended after so many seconds at most."""
    deadline = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_alive(pid)
