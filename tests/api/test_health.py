"""Liveness, readiness and metrics. A backlog is reported but does not make a replica unready."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace

import httpx2
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from app.api import health, middleware, problems
from app.db import health as db_health
from app.db.engine.session import Sessions, make_engine, make_sessions
from app.settings import Settings
from tests.support.database import Postgres


def client_of(sessions: Sessions) -> httpx2.AsyncClient:
    made = FastAPI()
    problems.install(made)
    middleware.install(made)
    made.include_router(health.router)
    made.state.api = SimpleNamespace(
        ctx=SimpleNamespace(settings=Settings(), probes=sessions),
        entitlements=SimpleNamespace(remembers=False),
        scrape=asyncio.Lock(),
    )
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=made), base_url="http://newsstand.test")


@pytest.fixture
async def client(sessions: Sessions) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(sessions) as client:
        yield client


@pytest.fixture
async def away() -> AsyncIterator[httpx2.AsyncClient]:
    """Provide a client of a service whose database is unavailable."""
    engine = make_engine("postgresql://nobody@127.0.0.1:1/nothing")
    async with client_of(make_sessions(engine)) as client:
        yield client
    await engine.dispose()


async def add_event(sessions: Sessions, state: str, *, ago: str, due: bool) -> None:
    """Insert an event that was received some time ago."""
    async with sessions.begin() as session:
        await session.execute(
            text(
                f"""
                INSERT INTO events (id, type, state, payload, work_key, received_at, due_at)
                VALUES ('evt_' || gen_random_uuid(), 'invoice.paid', :state, '{{}}', 'subscription:sub_1',
                        now() - interval '{ago}', CASE WHEN :due THEN now() END)
                """
            ),
            {"state": state, "due": due},
        )


async def metrics(client: httpx2.AsyncClient) -> dict[tuple[str, str], float]:
    """Return each metric sample by its name and its relevant label."""
    response = await client.get("/metrics")
    assert response.status_code == 200
    return {
        (sample.name, sample.labels.get("state", "")): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


async def test_a_service_with_its_database_is_ready(client: httpx2.AsyncClient) -> None:
    response = await client.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {
        "status": "ok",
        "degraded": False,
        "writable": True,
        "oldest_unapplied_event": 0.0,
        "email": "off",  # no mail server is set
        "why": None,
    }


@pytest.mark.parametrize("state", ["received", "failed"])
async def test_an_overdue_event_degrades_the_service_but_keeps_it_ready(
    client: httpx2.AsyncClient, sessions: Sessions, state: str
) -> None:
    await add_event(sessions, state, ago="6 minutes", due=True)
    response = await client.get("/readyz")
    assert response.status_code == 200
    assert response.json()["degraded"] is True
    assert 360 <= response.json()["oldest_unapplied_event"] < 420


async def test_a_dead_event_degrades_the_service_until_it_is_handled(
    client: httpx2.AsyncClient, sessions: Sessions
) -> None:
    await add_event(sessions, "dead", ago="1 minute", due=False)
    body = (await client.get("/readyz")).json()
    assert (body["status"], body["degraded"]) == ("ok", True)


async def test_recent_applied_and_ignored_events_do_not_degrade_the_service(
    client: httpx2.AsyncClient, sessions: Sessions
) -> None:
    await add_event(sessions, "received", ago="1 minute", due=True)
    for state in ("applied", "ignored"):
        await add_event(sessions, state, ago="2 days", due=False)
    body = (await client.get("/readyz")).json()
    assert (body["status"], body["degraded"]) == ("ok", False)


async def test_without_a_database_the_service_is_alive_but_not_ready(away: httpx2.AsyncClient) -> None:
    assert (await away.get("/healthz")).json() == {"status": "ok"}
    response = await away.get("/readyz")
    assert response.status_code == 503
    assert (response.json()["status"], response.json()["degraded"]) == ("unavailable", True)
    assert "127.0.0.1" not in response.text


async def test_without_any_migration_the_service_is_not_ready(postgres: Postgres) -> None:
    dsn = await postgres.create(empty=True)
    engine = make_engine(dsn)
    async with client_of(make_sessions(engine)) as client:
        response = await client.get("/readyz")
        assert (response.status_code, response.json()["why"]) == (503, "migrations are missing")
    await engine.dispose()
    await postgres.drop(dsn)


@pytest.mark.parametrize(
    ("version", "suits"),
    [
        pytest.param("0002", True, id="this release's schema"),
        pytest.param("0001", False, id="older schema"),
        pytest.param("0003", True, id="next release's schema"),
        pytest.param(None, False, id="none"),
    ],
)
def test_a_release_runs_on_its_own_schema_and_the_next_one(version: str | None, *, suits: bool) -> None:
    assert db_health.is_compatible(version, {"0001"}) is suits


async def test_the_service_is_ready_on_the_next_releases_schema(client: httpx2.AsyncClient, sessions: Sessions) -> None:
    async with sessions.begin() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = 'of the next release'"))
    assert (await client.get("/readyz")).status_code == 200


async def test_metrics_cover_requests_and_the_inbox(client: httpx2.AsyncClient, sessions: Sessions) -> None:
    await add_event(sessions, "failed", ago="10 minutes", due=True)
    await add_event(sessions, "received", ago="1 minute", due=True)
    await add_event(sessions, "dead", ago="2 days", due=False)
    await client.get("/healthz")
    samples = await metrics(client)
    assert 600 <= samples["newsstand_oldest_unapplied_event_seconds", ""] < 660
    assert [samples["newsstand_events", state] for state in ("received", "failed", "dead")] == [1, 1, 1]
    assert ("newsstand_http_requests_total", "") in samples


async def test_the_other_metrics_are_served_without_a_database(away: httpx2.AsyncClient) -> None:
    samples = await metrics(away)
    assert (
        samples["newsstand_oldest_unapplied_event_seconds", ""]
        != samples["newsstand_oldest_unapplied_event_seconds", ""]
    )
    assert samples["process_start_time_seconds", ""] > 0
