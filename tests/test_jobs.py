"""The tables of background work are complete, and a step that fails stops no other."""

from datetime import UTC, datetime
from typing import cast

from pydantic import SecretStr
from sqlalchemy import text

from app import main
from app.context import Context
from app.db.engine.session import Sessions
from app.db.models import Base
from app.domain.events import FAMILIES, RefetchKind
from app.jobs import RECOVERS, ROW_JOBS, Jobs, event_handlers
from app.services import catalogue
from app.settings import Settings
from tests.support.shop import CATALOGUE

WAITS_FOR_RECOVERY = {  # acts because a time has come, or speaks to readers and other systems
    "declarations",
    "print_changes",
    "price_migrations",
    "price_changes",
    "contact_changes",
    "postal_addresses",
    "figures",
    "sweeps",
    "erasures",
    "retention_runs",
    "notifications",
    "outbox_events",
    "webhook_lanes",
}


def test_every_table_with_due_rows_has_a_job() -> None:
    tables = {table.name for table in Base.metadata.tables.values() if "due_at" in table.columns}

    assert tables == {job.table for job in ROW_JOBS} | {"events", "calendar_work", "notifications", "webhook_lanes"}


async def test_each_job_runs_in_a_recovery_or_waits_for_its_end(database: str) -> None:
    async with main.open_context(Settings(database_url=SecretStr(database)), catalogue.load(CATALOGUE)) as ctx:
        tables = [job.table for job in Jobs(ctx).every_job()]

    assert sorted(tables) == sorted([*RECOVERS, *WAITS_FOR_RECOVERY]), (
        "decide for each job whether it may run on old data"
    )


def test_every_kind_of_object_in_an_event_has_a_handler() -> None:
    handlers = event_handlers(cast("Context", None), now=datetime(2026, 3, 1, tzinfo=UTC))

    kinds = {kind for family in FAMILIES.values() for kind, _ in family.places}
    kinds |= {family.unknown_shape for family in FAMILIES.values() if family.unknown_shape is not None}
    assert kinds | {RefetchKind.DUPLICATES} == set(handlers)


async def test_a_step_of_the_housekeeping_that_fails_stops_no_other(database: str, sessions: Sessions) -> None:
    async with sessions.begin() as session:
        await session.execute(text("ALTER TABLE idempotent_requests RENAME TO renamed"))

    async with main.open_context(Settings(database_url=SecretStr(database)), catalogue.load(CATALOGUE)) as ctx:
        await Jobs(ctx).housekeeping()

    async with sessions.begin() as session:
        assert await session.scalar(text("SELECT count(*) FROM retention_runs")) == 1
        assert await session.scalar(text("SELECT count(*) FROM sweeps WHERE by = 'schedule'")) == 1
