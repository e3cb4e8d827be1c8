"""Entry point of the CDK: the stacks of one stage. Run it by ``make synth``, ``make diff`` or ``make deploy``."""

from __future__ import annotations

import sys

import aws_cdk as cdk

from cdk_app.settings import SettingsError, from_context
from cdk_app.stage import build, hold_to_rules


def main() -> None:
    """Read the settings, build the stacks, write the templates."""
    app = cdk.App()
    try:
        settings = from_context(app)
    except SettingsError as error:
        sys.exit(f"These settings cannot be used:\n{error}")
    build(app, settings)
    hold_to_rules(app)
    app.synth()


if __name__ == "__main__":
    main()
