"""Recording which member of staff sees which reader."""

from collections.abc import Sequence

import structlog

from app.db import reader_views
from app.db.engine.fast_reads import FastReads
from app.db.engine.session import DATABASE_FAILURES
from app.domain.reader_views import Viewer

log = structlog.get_logger()


async def record(reads: FastReads, subscriber_ids: Sequence[str], viewer: Viewer) -> None:
    """
    Record that somebody sees these readers.

    While the database is read-only, support can still look a reader up. The view is then recorded in the log.
    """
    if not subscriber_ids:
        return
    try:
        await reader_views.add(reads, subscriber_ids, viewer)
    except DATABASE_FAILURES as failure:
        log.warning(
            "reader_view_not_recorded",
            viewer=viewer.actor,
            place=viewer.place,
            subscribers=list(subscriber_ids),
            error=type(failure).__name__,
        )
