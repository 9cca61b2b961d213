"""A real identity provider and a real magazine for all tests of this folder, and a browser for each test."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import httpx2
import pytest

from demo.ports import free_port
from tests.support.timeouts import TIMEOUT


@contextmanager
def running(module: str, announcement: str, *arguments: str, **environment: str) -> Iterator[str]:
    """Run one of the demo's sites on a free port, and yield its URL."""
    command = [sys.executable, "-m", module, "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            assert line.startswith(announcement), line
            yield line.removeprefix(announcement).strip()
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def issuer() -> Iterator[str]:
    """The URL of an identity provider."""
    with running(
        "demo.identity_provider", "Identity provider listening on ", "--redirect-uri", "http://127.0.0.1:5555/signed-in"
    ) as url:
        yield url


@pytest.fixture(scope="session")
def magazine_without_service(issuer: str) -> Iterator[str]:
    """The URL of a magazine whose subscription service is down."""
    unused_url = f"http://127.0.0.1:{free_port()}"
    settings = {"MAGAZINE_NEWSSTAND_URL": unused_url, "MAGAZINE_ISSUER": issuer, "MAGAZINE_API_KEY": "nsk_invalid"}
    with running("demo.magazine", "Magazine listening on ", **settings) as url:
        yield url


@pytest.fixture
async def browser() -> AsyncIterator[httpx2.AsyncClient]:
    """A browser without cookies that does not follow redirects."""
    async with httpx2.AsyncClient(trust_env=False, timeout=TIMEOUT) as client:
        yield client
