"""Erasing a reader, and the nightly job that removes what has expired."""

from datetime import timedelta
from functools import partial

from app.db import approvals, erasures, retention
from app.db.retention import EXPIRIES, Expiry
from app.domain.erasures import Erasure, Kept
from bench.scale.subject import Query, Subject, query

ONCE_FOR_A_READER = "a reader is exported or erased once"
SUB = "auth0|x"
BLOCKS = 30  # a few thousand rows; the job reads more in a statement, which takes longer in proportion


async def _started(s: Subject) -> Erasure:
    return await erasures.start(s.session, s.reader, sub=SUB, customer_id="cus_x", by="operator:ops")


async def _finish(s: Subject) -> None:
    erasure = await _started(s)
    kept = [Kept(what="payments", why="books", count=1)]
    await erasures.finish(s.session, erasure.id, erased={}, kept=kept, last_trace_in=timedelta(0))


async def _remove_last_trace(s: Subject) -> None:
    await _finish(s)
    found = await erasures.find(s.session, s.reader)
    if found is not None:
        await erasures.remove_last_trace(s.session, found)


async def _add_customer(s: Subject) -> None:
    await erasures.add_customer(s.session, await _started(s), "cus_y")


async def _run_retention(s: Subject) -> None:
    await retention.schedule(s.session, due_in=timedelta(0))
    progress = await retention.progress_of_due(s.session) or retention.Progress()
    await retention.save(s.session, progress)
    await retention.finish(s.session, progress, next_in=timedelta(days=1))


async def _expire_range(s: Subject, expiry: Expiry) -> None:
    places = {"after": retention.block(0), "before": retention.block(expiry.blocks or BLOCKS)}
    await retention.blocks_of(s.session, expiry)
    await retention.expire(s.session, expiry, kept_for=timedelta(days=30), limit=500, **places)


def _expire(expiry: Expiry) -> Query:
    return query("retention.expire", partial(_expire_range, expiry=expiry), expiry.what)


PERSONAL_DATA = (
    query("approvals.of_subscriber", lambda s: approvals.of_subscriber(s.session, s.reader)),
    query("erasures.start", _started, reads_all=ONCE_FOR_A_READER),
    query("erasures.erased_among", lambda s: erasures.erased_among(s.session, s.ids("rdr"))),
    query(
        "erasures.inactive_among",
        lambda s: erasures.inactive_among(s.session, before=s.now, after="", limit=1_000),
    ),
    query("erasures.is_inactive", lambda s: erasures.is_inactive(s.session, s.reader, before=s.now)),
    query("erasures.by_id", lambda s: erasures.by_id(s.session, "era_1")),
    query("erasures.find", lambda s: erasures.find(s.session, s.reader)),
    query("erasures.add_customer", _add_customer, reads_all=ONCE_FOR_A_READER),
    query("erasures.unclosed_subscriptions", lambda s: erasures.unclosed_subscriptions(s.session, s.reader)),
    query("erasures.unfinished_refunds", lambda s: erasures.unfinished_refunds(s.session, s.reader)),
    query("erasures.object_ids", lambda s: erasures.object_ids(s.session, s.reader)),
    query("erasures.rows_of", lambda s: erasures.rows_of(s.session, s.reader, sub=SUB), reads_all=ONCE_FOR_A_READER),
    query(
        "erasures.erase_rows", lambda s: erasures.erase_rows(s.session, s.reader, sub=SUB), reads_all=ONCE_FOR_A_READER
    ),
    query("erasures.finish", _finish, reads_all=ONCE_FOR_A_READER),
    query("erasures.reopen", lambda s: erasures.reopen(s.session, s.reader)),
    query("erasures.remove_last_trace", _remove_last_trace, reads_all=ONCE_FOR_A_READER),
    query("retention.schedule", _run_retention),
    query("retention.progress_of_due", _run_retention),
    query("retention.save", _run_retention),
    query("retention.blocks_of", lambda s: retention.blocks_of(s.session, EXPIRIES[0])),
    query("retention.finish", _run_retention),
    *map(_expire, EXPIRIES),
)
