#!/bin/sh
# Checks format, lint, types, who imports whom, sizes, security, vulnerabilities, stray addresses of the folders given.
# Types take about as long as all the rest: both run at once, each on a core of its own.
set -u
cd "$(dirname "$0")/.."
bin=.venv/bin
types=$(mktemp)
trap 'rm -f "$types"' EXIT

rest() {
    $bin/ruff format --check . &&
        $bin/ruff check . &&
        PYTHONPATH=. $bin/lint-imports --no-cache &&
        $bin/python -m scripts.sizes "$@" &&
        # Low findings ("imports subprocess") are judged line by line by ruff's S rules already.
        $bin/bandit -q --severity-level medium -c pyproject.toml -r "$@" &&
        sh scripts/stray.sh &&
        $bin/python scripts/audit.py
}

$bin/mypy "$@" tests >"$types" 2>&1 &
mypy=$!
rest "$@"
code=$?
wait $mypy || code=1
cat "$types"
exit $code
