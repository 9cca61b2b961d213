"""Skip the tests whose programs are not installed."""

import pytest

from scripts.system_packages import Machine, reason


def skip_without(package: str) -> None:
    """Skip the running test if a Debian package is not installed; the summary counts the test and gives the reason."""
    if Machine().missing([package]):
        pytest.skip(reason([package]))
