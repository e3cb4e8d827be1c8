#!/bin/sh
# Checks what must be on the machine before anything is installed: Python 3.11-3.13 with venv, and Java 17 or newer.
# Prints the chosen Python on standard output; what is missing, with the cure, on standard error (exit code 1).
# Plain sh, because the Python it finds may be too old to run anything of ours, or absent.
# PYTHON=... names one interpreter to use; JAVA_HOME is respected, as Spark does. With the argument "java" only Java is
# checked (an environment exists already).
set -u

problems=0

problem() { # found, expected, then lines saying what to do
    problems=$((problems + 1))
    printf 'make setup: %s\n  expected: %s\n' "$1" "$2" >&2
    shift 2
    printf '  %s\n' "$@" >&2
    printf '\n' >&2
}

# Prints "version path" of an interpreter that really runs (a pyenv shim may exist and fail), else nothing.
probe_python() {
    "$1" -c 'import sys; print("%d.%d %s" % (sys.version_info[0], sys.version_info[1], sys.executable))' 2>/dev/null
}

# Debian splits ensurepip off into a package of its own: venv can then be imported, but makes no environment.
can_make_venv() {
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

find_python() {
    found='none' without_venv=''
    # A candidate that does not run is passed over: the list is from the best to the least.
    for candidate in ${PYTHON:+"$PYTHON"} ${PYTHON:-python3.13 python3.12 python3.11 python3 python}; do
        answer=$(probe_python "$candidate") || continue
        version=${answer%% *}
        case $version in
        3.11 | 3.12 | 3.13)
            if can_make_venv "$candidate"; then
                python=${answer#* }
                return 0
            fi
            without_venv=${without_venv:-"Python $version (${answer#* })"}
            ;;
        *) [ "$found" != none ] || found="Python $version (${answer#* })" ;;
        esac
    done
    if [ -n "$without_venv" ]; then
        problem "found $without_venv, but it cannot make virtual environments." "Python with the module venv" \
            "Debian, Ubuntu: sudo apt install python3-venv" \
            "macOS:          brew install python@3.13"
    else
        problem "found ${PYTHON:+PYTHON=$PYTHON, which is: }$found." "Python 3.11, 3.12 or 3.13" \
            "Debian, Ubuntu: sudo apt install python3 python3-venv" \
            "macOS:          brew install python@3.13" \
            "One that is not on PATH: make setup PYTHON=/path/to/python3.13"
    fi
    return 1
}

check_java() {
    java=${JAVA_HOME:+$JAVA_HOME/bin/}java
    # The first line that names a version: options from JAVA_TOOL_OPTIONS are announced before it.
    version=$("$java" -version 2>&1 | sed -n 's/.*version "\([^"]*\)".*/\1/p' | sed -n 1p)
    major=${version#1.} # Java 8 calls itself 1.8
    major=${major%%[!0-9]*}
    if [ "${major:-0}" -ge 17 ]; then
        return 0
    fi
    if [ -n "$version" ]; then
        found="found Java $version${JAVA_HOME:+ (JAVA_HOME=$JAVA_HOME)}."
    else
        found="found no Java that runs${JAVA_HOME:+ (JAVA_HOME=$JAVA_HOME)}."
    fi
    problem "$found" "Java 17 or newer, for Spark" \
        "Debian, Ubuntu: sudo apt install openjdk-17-jre-headless   (or openjdk-21-jre-headless)" \
        "macOS:          brew install openjdk@17 && export JAVA_HOME=\"\$(brew --prefix openjdk@17)\""
    return 1
}

python=''
[ "${1:-}" = java ] || find_python
check_java
[ "$problems" -eq 0 ] || exit 1
printf '%s\n' "$python"
