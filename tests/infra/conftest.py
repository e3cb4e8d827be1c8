"""Both stages, synthesised once for all tests."""

from __future__ import annotations

import pytest

from tests.infra.templates import Synthesis, synthesis


@pytest.fixture(scope="session", params=["dev", "prod"])
def stage(request: pytest.FixtureRequest) -> Synthesis:
    """Each of the two stages in turn."""
    return synthesis()[request.param]


@pytest.fixture(scope="session")
def dev() -> Synthesis:
    """The stage with every setting set."""
    return synthesis()["dev"]


@pytest.fixture(scope="session")
def prod() -> Synthesis:
    """The stage with defaults."""
    return synthesis()["prod"]
