"""The tables of background work are complete."""

from datetime import UTC, datetime
from typing import cast

from app.context import Context
from app.db.models import Base
from app.domain.events import FAMILIES, RefetchKind
from app.jobs import ROW_JOBS, event_handlers


def test_every_table_with_due_rows_has_a_job() -> None:
    tables = {table.name for table in Base.metadata.tables.values() if "due_at" in table.columns}

    assert tables == {job.table for job in ROW_JOBS} | {"events", "calendar_work", "notifications", "webhook_lanes"}


def test_every_kind_of_object_in_an_event_has_a_handler() -> None:
    handlers = event_handlers(cast("Context", None), now=datetime(2026, 3, 1, tzinfo=UTC))

    kinds = {kind for family in FAMILIES.values() for kind, _ in family.places}
    kinds |= {family.unknown_shape for family in FAMILIES.values() if family.unknown_shape is not None}
    assert kinds | {RefetchKind.DUPLICATES} == set(handlers)
