"""A real issuer on a free port, one for all tests of this folder, and a browser for each."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest


@pytest.fixture(scope="session")
def issuer() -> Iterator[str]:
    """Start `python -m demo.issuer` and return where it listens."""
    command = [sys.executable, "-m", "demo.issuer", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Issuer listening on "), line
        yield line.removeprefix("Issuer listening on ").strip()
        process.terminate()
        process.wait(timeout=10)


@pytest.fixture
async def browser() -> AsyncIterator[httpx2.AsyncClient]:
    """A browser without cookies that shows each redirect."""
    async with httpx2.AsyncClient() as client:
        yield client
