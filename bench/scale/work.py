"""Background work: claims, the inbox, the audit chain, reconciliation, the calendar and housekeeping."""

from datetime import timedelta
from functools import partial

from app.db import (
    audit,
    events,
    idempotency,
    inbox,
    inbox_writer,
    issues,
    reader_names,
    reader_views,
    reconciliation,
    recovery,
    revocations,
    subscriptions,
)
from app.db.engine import leases
from app.db.engine.fast_reads import FastReads
from app.db.inbox_writer import ReceivedEvent
from app.domain.audit import Entry
from app.domain.events import RefetchRequest
from app.domain.reader_names import parts_of
from app.domain.reader_views import Place, Viewer
from app.jobs import ROW_JOBS, RowJob
from app.services.reader_names import SLICE
from bench.scale.subject import LEASE, OWNER, ZONE, Query, Subject, query

PER_CLAIM = 10


def _request(event_id: str) -> RefetchRequest:
    return RefetchRequest(
        event_id=event_id,
        type="invoice.paid",
        api_version="2026-10-28.endive",
        livemode=True,
        object_id="in_new",
        created_at=None,
        key="subscription:sub_new",
        ignored=None,
    )


def _claim(job: RowJob) -> Query:
    claim = job.claim or partial(leases.claim, table=job.table)
    return query("leases.claim", lambda s: claim(s.session, owner=OWNER, lease=LEASE, limit=PER_CLAIM), job.table)


def _entry(s: Subject) -> Entry:
    return Entry(
        id=1, at=s.now, actor=f"reader:{s.reader}", action="refund.requested", object_id="rfd_1", subscriber_id=s.reader,
        reason=None, before=None, after=None, request_id=None,
    )  # fmt: skip


async def _seal(s: Subject) -> None:
    await audit.record(s.session, actor="policy", action="refund.requested", object_id="rfd_new")
    await audit.seal(s.session, limit=1000)


async def _advance(s: Subject) -> None:
    sweep = await reconciliation.start(s.session, kind="reconcile", by="operator:ops", dry_run=False, since=None)
    await reconciliation.advance(s.session, sweep, [], phase="payments", cursor={}, looked_at={"events": 1})


WORK = (
    *map(_claim, ROW_JOBS),
    query(
        "leases.due_tables",
        lambda s: leases.due_tables(s.session, [*(job.table for job in ROW_JOBS), "reader_name_parts"]),
    ),
    query("reader_names.is_due", lambda s: reader_names.is_due(s.session)),
    query("reader_names.take", lambda s: reader_names.take(s.session, limit=SLICE)),
    query("reader_names.replace", lambda s: reader_names.replace(s.session, {s.reader: parts_of(["Ada Invented"])})),
    query("reader_names.outdate", lambda s: reader_names.outdate(s.session, s.reader)),
    query("leases.take_all", lambda s: leases.take_all(s.session, ["webhook:new"], owner=OWNER, lease=LEASE)),
    query("leases.take", lambda s: leases.take(s.session, "payment:pi_new", owner=OWNER, lease=LEASE)),
    query("leases.renew", lambda s: leases.renew(s.session, ["payment:pi_new"], owner=OWNER, lease=LEASE)),
    query(
        "leases.begin",
        lambda s: leases.begin(
            s.sessions, leases.Claimed("payment:pi_new", (), 1, table="events"), owner=OWNER, lease=LEASE
        ),
    ),
    query("leases.release", lambda s: leases.release(s.session, "payment:pi_new", owner=OWNER)),
    query("leases.release_all", lambda s: leases.release_all(s.session, ["payment:pi_new"], owner=OWNER)),
    query(
        "leases.reschedule", lambda s: leases.reschedule(s.session, "events", s.ids("evt", 3), attempts=2, error="x")
    ),
    query("leases.postpone", lambda s: leases.postpone(s.session, "events", s.ids("evt", 3), lease=LEASE)),
    query("leases.notify", lambda s: leases.notify(s.session)),
    query("inbox_writer.insert", lambda s: inbox_writer.insert(s.pool, [ReceivedEvent(_request("evt_new"), "{}")])),
    query(
        "inbox.request_refetch", lambda s: inbox.request_refetch(s.session, f"subscription:{s.id('sub')}", why="bench")
    ),
    query("inbox.claim", lambda s: inbox.claim(s.session, owner=OWNER, lease=LEASE, limit=PER_CLAIM)),
    query("inbox.backlog", lambda s: inbox.backlog(s.session), max_rows=100_000),
    query("inbox.close", lambda s: inbox.close(s.session, [(f"subscription:{s.id('sub')}", s.ids("evt", 3))])),
    query(
        "inbox.was_told",
        lambda s: inbox.was_told(s.session, f"subscription:{s.id('sub')}", before=s.now, within=timedelta(days=3)),
    ),
    query("inbox.move", lambda s: inbox.move(s.session, s.ids("evt", 3), key="subscription:sub_new")),
    query("inbox.ignore", lambda s: inbox.ignore(s.session, s.ids("evt", 3), reason="x")),
    query("inbox.mark_waiting", lambda s: inbox.mark_waiting(s.session, s.ids("evt", 3))),
    query("inbox.mark_failed", lambda s: inbox.mark_failed(s.session, s.ids("evt", 3), most=12)),
    query("inbox.mark_dead", lambda s: inbox.mark_dead(s.session, f"subscription:{s.id('sub')}", most=12)),
    query("inbox.list_by_keys", lambda s: inbox.list_by_keys(s.session, [f"subscription:{s.id('sub')}"])),
    query("events.by_id", lambda s: events.by_id(s.session, s.id("evt"))),
    query("events.payload_of", lambda s: events.payload_of(s.session, s.id("evt"))),
    query("events.replay", lambda s: events.replay(s.session, s.ids("evt", 3))),
    query("events.rekey", lambda s: events.rekey(s.session, s.id("evt"), key="subscription:sub_new", reason=None)),
    query("events.prune", lambda s: events.prune(s.session, kept_for=timedelta(days=35), limit=1000)),
    query(
        "audit.record",
        lambda s: audit.record(s.session, actor="policy", action="refund.requested", object_id="rfd_new", note="x"),
    ),
    query("audit.seal", _seal),
    query("audit.count_of", lambda s: audit.count_of(s.session, s.reader)),
    query("audit.vouched_for", lambda s: audit.vouched_for(s.session, _entry(s))),
    query(
        "audit.replace_actor",
        lambda s: audit.replace_actor(s.session, "auth0|x", subscriber_id=s.reader, by="operator:ops"),
    ),
    query("events.reduce_payloads", lambda s: events.reduce_payloads(s.session, lambda _: "{}", limit=1000)),
    query(
        "reader_views.add",
        lambda s: reader_views.add(FastReads(s.pool), [s.reader], Viewer(actor="staff:a", place=Place.API)),
    ),
    query("reader_views.prune", lambda s: reader_views.prune(s.session, kept_for=timedelta(days=1095), limit=1000)),
    query("recovery.begin", lambda s: recovery.begin(s.session, since=s.now, now=s.now)),
    query(
        "recovery.raise_versions",
        lambda s: recovery.raise_versions(s.session, 2**50, after="auth0|8", limit=2000),
        max_rows=8_000,
    ),
    query("recovery.is_pending", lambda s: recovery.is_pending(s.session, before=s.now)),
    query(
        "recovery.pending_work", lambda s: recovery.pending_work(s.session, before=s.now), max_rows=recovery.MAX_COUNT
    ),
    query("recovery.dead_events", lambda s: recovery.dead_events(s.session, since=s.now - timedelta(days=9))),
    query("recovery.database_time", lambda s: recovery.database_time(s.session)),
    query("reconciliation.is_behind", lambda s: reconciliation.is_behind(s.session)),
    query("audit.head", lambda s: audit.head(s.session)),
    query("audit.chain", lambda s: audit.chain(s.session, after=s.rows("audit_log") // 2, limit=1000)),
    query(
        "audit.find_unlisted", lambda s: audit.find_unlisted(s.session), reads_all="verifies the whole log, by command"
    ),
    query(
        "audit.find_missing",
        lambda s: audit.find_missing(s.session),
        reads_all="verifies all entries that wait, by command",
    ),
    query(
        "audit.count_unsealed",
        lambda s: audit.count_unsealed(s.session),
        reads_all="counts all entries that wait, by command",
    ),
    query("subscriptions.take_checks", lambda s: subscriptions.take_checks(s.session, now=s.now, limit=100)),
    query("issues.calendar", lambda s: issues.calendar(s.session, ZONE)),
    query(
        "reconciliation.start",
        lambda s: reconciliation.start(s.session, kind="reconcile", by="ops", dry_run=False, since=None),
    ),
    query("reconciliation.schedule", lambda s: reconciliation.schedule(s.session, due_in=timedelta(hours=1))),
    query("reconciliation.unschedule", lambda s: reconciliation.unschedule(s.session)),
    query("reconciliation.clear_due", lambda s: reconciliation.clear_due(s.session, s.id("swp"))),
    query("reconciliation.by_id", lambda s: reconciliation.by_id(s.session, s.id("swp"))),
    query(
        "reconciliation.unfinished",
        lambda s: reconciliation.unfinished(s.session, kind="reconcile", dry_run=False, since=None),
    ),
    query(
        "reconciliation.finished_since", lambda s: reconciliation.finished_since(s.session, within=timedelta(days=30))
    ),
    query("reconciliation.advance", _advance),
    query(
        "reconciliation.differing_objects",
        lambda s: reconciliation.differing_objects(s.session, s.id("swp", 7), s.ids("sub")),
    ),
    query("reconciliation.listed_by_imports", lambda s: reconciliation.listed_by_imports(s.session, s.ids("sub"))),
    query(
        "reconciliation.pending_keys",
        lambda s: reconciliation.pending_keys(s.session, [f"subscription:{one}" for one in s.ids("sub")]),
        max_rows=50_000,  # all that are due, while that costs less than a hundred looks into the index of keys
    ),
    query("reconciliation.known_events", lambda s: reconciliation.known_events(s.session, s.ids("evt"))),
    query(
        "reconciliation.insert_events", lambda s: reconciliation.insert_events(s.session, [(_request("evt_new"), "{}")])
    ),
    query(
        "reconciliation.count_objects",
        lambda s: reconciliation.count_objects(s.session),
        reads_all="counts all objects, once at the end of a sweep",
    ),
    query("reconciliation.known_customers", lambda s: reconciliation.known_customers(s.session, s.ids("cus"))),
    query("reconciliation.prune", lambda s: reconciliation.prune(s.session, kept_for=timedelta(days=1095))),
    query("revocations.newest", lambda s: revocations.newest(s.session)),
    query("revocations.publish", lambda s: revocations.publish(s.session)),
    query("revocations.prune", lambda s: revocations.prune(s.session, kept_for=timedelta(minutes=115))),
    query("idempotency.prune", lambda s: idempotency.prune(s.session, kept_for=timedelta(hours=23))),
)
