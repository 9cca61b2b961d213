"""Fixtures of the tests of commands and containers."""

from tests.support.database_roles import roles

__all__ = ["roles"]
