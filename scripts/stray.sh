#!/bin/sh
# Fails when a file of the tree holds what belongs to one machine or to nobody: the address of a package registry, a
# path of the machine it was written on, a key; or what belongs into a settings file that is never committed: an AWS
# account, a telephone number, an e-mail address. Every pattern has a bracket in it, so that this file does not match.
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
1) ;;
0)
    echo "stray addresses: the lines above hold a registry's address, a path of one machine, or a key. Remove it." >&2
    exit 1
    ;;
*) exit 2 ;;
esac

# What stands for nobody may stay: account 000000000000 and that of AWS's own examples, numbers that are given to films,
# addresses at example.org and its like.
personal='(^|[^[:alnum:].-])[0-9]{12}([^[:alnum:].]|$)|(^|[^[:alnum:]])[+][1-9][0-9]{6,14}([^0-9]|$)'
personal="$personal|[[:alnum:]._+-]+[@][[:alnum:].-]*[[:alnum:]-]+[.][A-Za-z]{2,}"
nobody='(^|[^0-9])(0{12}|123456789012)([^0-9]|$)|[+]447700900[0-9]{3}|[@]([[:alnum:]-]+[.])*(example[.](org|com|net)|invalid)'
if git grep "$scope" --exclude-standard -nIoE -e "$personal" -- . | grep -vE "$nobody"; then
    echo "stray addresses: the lines above hold an AWS account, a telephone number or an e-mail address. Put it into" >&2
    echo "settings.<stage>.json, which is never committed (docs/deploy.md)." >&2
    exit 1
fi
echo "stray addresses: none"
