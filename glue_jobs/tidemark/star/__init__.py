"""Dimensions and facts: from the mirrors to the star, version by version."""
