"""What the local S3 has been asked for so far, in its own words (Prometheus text)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.request import ProxyHandler, build_opener

import psutil  # type: ignore[import-untyped]

from local_stack.aws.object_store import METRICS_PORT

_LINE: Final = re.compile(r"SeaweedFS_s3_(request_total|bucket_traffic_(?:received|sent)_bytes_total)\{.*\} (\S+)")
_MB: Final = 1e6


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Requests, and megabytes written to it and read from it, in some time."""

    requests: int = 0
    written_mb: float = 0.0
    read_mb: float = 0.0

    def since(self, before: Traffic) -> Traffic:
        """Return what has come since."""
        return Traffic(
            requests=self.requests - before.requests,
            written_mb=self.written_mb - before.written_mb,
            read_mb=self.read_mb - before.read_mb,
        )


def traffic(daemon: int) -> Traffic:
    """Ask the store of a local AWS, by the daemon's process id; nothing where moto is its S3."""
    address = _address(daemon)
    if address is None:
        return Traffic()
    with build_opener(ProxyHandler({})).open(address, timeout=10) as answer:
        found = _LINE.findall(answer.read().decode())
    total = {name: sum(float(value) for of, value in found if of == name) for name, _ in found}
    return Traffic(
        requests=int(total.get("request_total", 0)),
        written_mb=total.get("bucket_traffic_received_bytes_total", 0) / _MB,
        read_mb=total.get("bucket_traffic_sent_bytes_total", 0) / _MB,
    )


def _address(daemon: int) -> str | None:
    for process in psutil.Process(daemon).children(recursive=True):
        for word in process.cmdline() if process.name() == "weed" else ():
            if word.startswith(f"{METRICS_PORT}="):
                return f"http://127.0.0.1:{word.partition('=')[2]}/metrics"
    return None
