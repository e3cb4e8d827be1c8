#!/bin/sh
# Installs Tidemark into .venv: the locked packages, the command .venv/bin/tidemark, and .venv/jars.
# Run again, it does nothing that is already done. PYTHON=... chooses the interpreter.
set -eu
cd "$(dirname "$0")/.."

stamp=.venv/.installed

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

# An environment is kept while its Python runs, was made for this very folder (its scripts carry the path, pyvenv.cfg has
# it without quoting), and is of the version that was asked for, if one was.
environment_is_good() {
    version=$(version_of .venv/bin/python) || return 1
    case $version in 3.11 | 3.12 | 3.13) ;; *) return 1 ;; esac
    grep -qF " $(pwd -P)/.venv" .venv/pyvenv.cfg || return 1
    [ -z "${PYTHON:-}" ] || [ "$version" = "$(version_of "$PYTHON")" ]
}

if environment_is_good; then
    sh scripts/preflight.sh java >/dev/null
else
    python=$(sh scripts/preflight.sh)
    echo "Making the virtual environment .venv with $python"
    rm -rf .venv
    "$python" -m venv .venv
fi

# What is installed is told by content, not by file times: a checkout changes times without changing anything.
wanted=$(cat requirements.txt pyproject.toml scripts/setup.sh | cksum)
if [ "$wanted" != "$(cat $stamp 2>/dev/null || true)" ]; then
    rm -f $stamp
    pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }
    export PIP_ROOT_USER_ACTION=ignore # as root in a container a virtual environment is harmless

    echo "Installing $(grep -c '^[A-Za-z0-9._-]*==' requirements.txt) packages (about 600 MB; a minute or two)"
    # uv, pinned and verified like every other package, installs the rest several times faster than pip does. It does
    # not know pip's configuration (an index of one's own), so pip is the second try.
    quiet='--quiet'
    [ ! -t 2 ] || quiet=''
    uv_pin=$(mktemp)
    trap 'rm -f "$uv_pin"' EXIT
    sed -n '/^uv==/,/[^\\]$/p' requirements.txt >"$uv_pin"
    if ! {
        pip install --quiet --require-hashes -r "$uv_pin" &&
            .venv/bin/uv pip sync $quiet --system-certs --python .venv/bin/python --require-hashes requirements.txt
    }; then
        echo "uv could not install the packages (its message is above); trying pip, which is slower"
        pip install --quiet --require-hashes -r requirements.txt
    fi
    # uv quotes the folder's name in the command that this makes, whatever is in it (pip's breaks at a quote or a $).
    # Twice quiet: setuptools warns about editable installations as such.
    .venv/bin/uv pip install --quiet --offline --python .venv/bin/python --no-deps --no-build-isolation -e . ||
        pip install -qq --no-deps --no-build-isolation -e .
    echo "$wanted" >$stamp
fi

.venv/bin/python -m scripts.jars

# Java's archive of preloaded classes (scripts/class_archive.py): a job's cold start in half the time.
fits=$({ cat jars.lock scripts/class_archive.py requirements.txt && "${JAVA_HOME:+$JAVA_HOME/bin/}java" -version 2>&1; } | cksum)
if [ ! -f .venv/spark.jsa ] || [ "$fits" != "$(cat .venv/.archived 2>/dev/null || true)" ]; then
    .venv/bin/python -m scripts.class_archive --digest "$fits"
    echo "$fits" >.venv/.archived
fi
