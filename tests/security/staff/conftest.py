"""A service with a console, as in the console's own tests."""

from tests.console.conftest import open_console, shop

__all__ = ["open_console", "shop"]
