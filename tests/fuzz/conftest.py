"""The fuzz runs on the shop of the integration tests, grown a little."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fuzz.shop import grow
from tests.integration.conftest import Pipeline, module_pipelines, shop_template

__all__ = ["grown_shop", "module_pipelines", "shop_template"]


@pytest.fixture(scope="module")
def grown_shop(module_pipelines: Callable[[], Pipeline]) -> Pipeline:
    """A shop that no other module touches."""
    shop = module_pipelines()
    with shop.source.connect() as connection:
        grow(connection, shop.folder)
    return shop
