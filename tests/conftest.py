"""Shared fixtures: a real PostgreSQL, an identity provider, and the local Stripe over HTTP."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

from app.db.engine.pool import Pool, close_pool, open_pool
from app.db.engine.session import Sessions, make_engine, make_sessions
from app.observability import ACCESS_LOG, NOISY
from demo.stack import Ports, Stack
from tests.support import compiled_statements
from tests.support.database import Postgres, home_of
from tests.support.issuer import Issuer, running_issuer
from tests.support.sandbox import sandbox

__all__ = ["sandbox"]

# A test that runs the whole service takes a second and more of a processor, and one in a browser seven. ``make test`` runs
# those of the main paths, and ``make test-slow`` all others, so that ``make test`` takes eight minutes at most on two cores.
WHOLE_SERVICE = frozenset({"database", "sandbox", "issuer"})  # the fixtures that it needs
MAIN_PATHS = frozenset(
    {
        "access/test_entitlement_checks.py",
        "access/test_gate.py",
        "cancellations/test_by_readers.py",
        "disputes/test_disputes.py",
        "failures/test_failover.py",
        "failures/test_read_only.py",
        "failures/test_stopped_worker.py",
        "labels/test_label_runs.py",
        "lifecycle/test_renewals.py",
        "notifications/test_renewals.py",
        "operations/test_work_queue.py",
        "price_migrations/test_price_migrations.py",
        "print_edition/test_print_edition.py",
        "refunds/test_guarantee.py",
        "subscribing/test_subscribing.py",
        "webhooks/test_applying_events.py",
    }
)
JOURNEYS = Path(__file__).parent / "journeys"

compiled_statements.share()
# Drawing a traceback with all local variables takes about a second.
structlog.dev.ConsoleRenderer.get_active().exception_formatter = structlog.dev.plain_traceback
# A busy machine may take any time for an example. In CI, Hypothesis chooses such a profile itself.
hypothesis.settings.register_profile(
    "busy machine",
    hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]),
)
hypothesis.settings.load_profile("busy machine")


@pytest.hookimpl(tryfirst=True)  # before the marker expression selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that run the whole service as slow, except those of the main paths."""
    main = {JOURNEYS / name for name in MAIN_PATHS}
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if (fixtures >= WHOLE_SERVICE or "stack" in fixtures) and item.path not in main:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def log_settings() -> Iterator[None]:
    """Undo what a test, or a command it runs in this process, sets for the logs: other tests read them."""
    root = logging.getLogger()
    handlers, levels = root.handlers[:], {name: logging.getLogger(name).level for name in ("", *NOISY)}
    was_configured = structlog.is_configured()
    yield
    if was_configured or not structlog.is_configured():
        return
    structlog.reset_defaults()
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger(ACCESS_LOG).disabled = False


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Postgres:
    """Provide one server for all test workers. It stops by itself after the last of them."""
    base = tmp_path_factory.getbasetemp()
    server = Postgres(home_of(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base))
    server.prepare()
    return server


@pytest.fixture
async def database(postgres: Postgres) -> AsyncIterator[str]:
    """Provide the URL of a new, migrated database."""
    dsn = await postgres.create()
    yield dsn
    await postgres.drop(dsn)


@pytest.fixture
async def sessions(database: str) -> AsyncIterator[Sessions]:
    """Provide sessions of a new, migrated database."""
    engine = make_engine(database, pool_size=5)
    yield make_sessions(engine)
    await engine.dispose()


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """Provide bare connections to the database of ``sessions``."""
    opened = await open_pool(database, size=2, pooler=False)
    yield opened
    await close_pool(opened)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Run the whole demo. Tests that use it belong to the xdist group "stack", so that it is started once."""
    running = Stack(Ports.free(), report=lambda _: None)
    asyncio.run(running.start())
    yield running
    running.stop()


@pytest.fixture(scope="session")
def issuer() -> Iterator[Issuer]:
    """Provide a running identity provider that mints any token."""
    with running_issuer() as running:
        yield running
