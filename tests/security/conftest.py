"""Fixtures of the security tests: the same running service as in the journeys."""

from tests.journeys.conftest import killable_shop, shop

__all__ = ["killable_shop", "shop"]
