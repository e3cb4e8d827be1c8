"""Where the small model lies that the product's tests share."""

from pathlib import Path
from typing import Final

SHOP_MODEL: Final = Path(__file__).with_name("integration") / "shop"
