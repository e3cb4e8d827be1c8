"""Look the locked packages up in the database of known vulnerabilities; skip with a word where it cannot be reached.

pip-audit ends with the same exit code for "vulnerable" and for "no answer", and calls packages that the database does
not know "skipped": its report is read instead. Exit code 1 means a known vulnerability, or that pip-audit itself broke.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
_UNREACHABLE: Final = re.compile(
    r"ConnectionError|ProxyError|SSLError|Timeout|HTTPError|Max retries|ServiceError|ConnectionReset"
)


def say(text: str) -> None:
    """Print one line."""
    sys.stdout.write(f"known vulnerabilities: {text}\n")


def judge(dependencies: list[dict[str, Any]]) -> int:
    """Report what was found on the packages; give the exit code."""
    answered = [item for item in dependencies if "vulns" in item]
    if not answered:
        say("skipped, the database knows none of the packages (a mirror without it?)")
        return 0
    found = [(item, vulnerability) for item in answered for vulnerability in item["vulns"]]
    for item, vulnerability in found:
        fixed = ", ".join(vulnerability.get("fix_versions") or ()) or "no version yet"
        say(f"{item['name']} {item['version']}: {vulnerability['id']}, fixed in {fixed}")
    if found:
        say("raise the packages above in requirements.in, then run 'make lock'")
        return 1
    say(f"none in {len(answered)} of {len(dependencies)} packages")
    return 0


def main() -> int:
    """Run pip-audit on requirements.txt and judge its report."""
    with tempfile.TemporaryDirectory() as name:
        report = Path(name, "report.json")
        command = [
            str(Path(sysconfig.get_path("scripts"), "pip-audit")),
            *("--requirement", str(ROOT / "requirements.txt"), "--disable-pip", "--require-hashes"),
            *("--progress-spinner", "off", "--format", "json", "--output", str(report)),
        ]
        try:
            run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)  # noqa: S603
        except subprocess.TimeoutExpired:
            say("skipped, the database did not answer within 5 minutes")
            return 0
        if report.is_file():
            return judge(json.loads(report.read_text(encoding="utf-8"))["dependencies"])
    if _UNREACHABLE.search(run.stderr):
        say("skipped, the database cannot be reached")
        return 0
    sys.stderr.write(run.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
