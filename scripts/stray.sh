#!/bin/sh
# Fails when a file of the tree holds what belongs to one machine or to nobody: the address of a package registry, a
# path of the machine it was written on, a key. Every pattern has a bracket in it, so that this file does not match.
set -u
cd "$(dirname "$0")/.."

pattern='pypi[.]org|pythonhosted[.]org|repo1?[.]maven|maven[.]apache|maven[.]org|registry[.](npmjs|yarnpkg)'
pattern="$pattern|--(extra-)?index-ur[l]|(^|[^[:alnum:]_.-])/(wor[k]|roo[t]|User[s])/"
pattern="$pattern|(AKI[A]|ASI[A])[0-9A-Z]{16}|BEGIN [A-Z ]*PRIVATE KE[Y]"

if ! command -v git >/dev/null; then
    echo "stray addresses: skipped, git is not installed"
    exit 0
fi
# Tracked files and those about to be; outside a repository (a copy of the tree) all that are not ignored.
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then scope=--untracked; else scope=--no-index; fi
git grep "$scope" --exclude-standard -nIE -e "$pattern" -- .
case $? in
1) echo "stray addresses: none" ;;
0)
    echo "stray addresses: the lines above hold a registry's address, a path of one machine, or a key. Remove it." >&2
    exit 1
    ;;
*) exit 2 ;;
esac
