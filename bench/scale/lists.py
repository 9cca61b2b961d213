"""Lists of the API and of the console: each with its rarest filter, and a thousand pages on."""

from collections.abc import Callable
from datetime import datetime

from app.db import (
    anomalies,
    approvals,
    attention,
    audit,
    dashboard_stats,
    disputes,
    events,
    health,
    reader_filters,
    reader_search,
    reader_views,
    reconciliation,
    refunds,
    revocations,
    subscribers,
    work_queue,
)
from app.domain.audit import Selection as AuditSelection
from app.domain.dashboard_stats import DashboardStats, first_monday
from app.domain.events import Selection as EventSelection
from app.domain.reader_names import misspellings
from app.domain.reader_search import Filters, Position
from app.domain.work_queue import ItemKind
from app.domain.work_queue import Selection as QueueSelection
from bench.scale import fill
from bench.scale.subject import DEEP, PAGE, ZONE, Query, Subject, days_ago, query

NO_FILTERS = Filters()
ALL_FILTERS = Filters(
    status="past_due",
    plan="none",
    print_edition=True,
    ends_soon=True,
    unpaid=True,
    disputed=True,
    complimentary=True,
)


def _audit(case: str, before: int | None = None, **filters: str | datetime) -> Query:
    wanted = AuditSelection(**filters)  # type: ignore[arg-type]
    return query("audit.page", lambda s: audit.page(s.session, wanted, before=before, limit=PAGE), case)


async def _audit_deep(s: Subject) -> None:
    before = s.rows("audit_log") - DEEP * PAGE
    await audit.page(s.session, AuditSelection(), before=max(before, PAGE), limit=PAGE)


async def _audit_range(s: Subject) -> None:
    wanted = AuditSelection(since=days_ago(s, 1050), until=days_ago(s, 1049))
    await audit.page(s.session, wanted, before=None, limit=PAGE)


async def _audit_all_filters(s: Subject) -> None:
    wanted = AuditSelection(actor="policy", action=fill.RARE_ACTION, since=days_ago(s, 1000), until=days_ago(s, 1))
    await audit.page(s.session, wanted, before=None, limit=PAGE)


def _events(case: str, *, states: tuple[str, ...] = (), kind: str | None = None, **filters: str) -> Query:
    wanted = EventSelection(states=states, type=kind, **filters)  # type: ignore[arg-type]
    return query("events.page", lambda s: events.page(s.session, wanted, after=None, limit=PAGE), case)


async def _events_deep(s: Subject) -> None:
    await events.page(s.session, EventSelection(), after=(days_ago(s, 20), "evt_"), limit=PAGE)


async def _events_deep_by_state(s: Subject) -> None:
    wanted = EventSelection(states=("applied", "ignored"), type="invoice.*")
    await events.page(s.session, wanted, after=(days_ago(s, 20), "evt_"), limit=PAGE)


async def _events_range(s: Subject) -> None:
    wanted = EventSelection(since=days_ago(s, 31), until=days_ago(s, 30), states=("dead",))
    await events.page(s.session, wanted, after=None, limit=PAGE)


def _refunds(case: str, *, status: str | None = None, needs_attention: bool = False, deep: bool = False) -> Query:
    async def run(s: Subject) -> None:
        after = s.id("rfd", s.rows("refunds") // 2) if deep else None
        await refunds.page(s.session, status=status, attention=needs_attention, after=after, limit=PAGE)

    return query("refunds.page", run, case)


def _disputes(case: str, *, is_open: bool | None, deep: bool = False) -> Query:
    async def run(s: Subject) -> None:
        after = s.id("dp", s.rows("disputes") // 20 * 10) if deep else None
        await disputes.list_page(s.session, is_open=is_open, after=after, limit=PAGE)

    return query("disputes.list_page", run, case)


async def _approvals_deep(s: Subject) -> None:
    await approvals.pending(s.session, after=s.id("adj", s.rows("approval_requests") // 200 * 100), limit=PAGE)


def _views(case: str, *, viewer: str | None = None, of_reader: bool = False, days: float | None = None) -> Query:
    async def run(s: Subject) -> None:
        since, until = (days_ago(s, days), days_ago(s, days - 1)) if days is not None else (None, None)
        await reader_views.page(
            s.session,
            subscriber_id=s.reader if of_reader else None,
            viewer=viewer,
            since=since,
            until=until,
            before=s.rows("reader_views") // 2 if days is None else None,
            limit=PAGE,
        )

    return query("reader_views.page", run, case)


LISTS = (
    _audit("all"),
    query("audit.page", _audit_deep, "a thousand pages on"),
    query("audit.page", _audit_range, "a day, three years ago"),
    query("audit.page", _audit_all_filters, "all filters, no match"),
    _audit("rarest actor", actor=fill.RARE_ACTOR),
    _audit("commonest actor", actor="policy"),
    _audit("rarest action", action=fill.RARE_ACTION),
    _audit("rarest actions", action=f"{fill.RARE_ACTION.partition('.')[0]}.*"),
    _audit("commonest actions", action="refund.*"),
    _audit("no such action", action="nothing.*"),
    _audit("actor and action, no match", actor="policy", action=fill.RARE_ACTION),
    _audit("actor and actions, no match", actor=fill.RARE_ACTOR, action="refund.*"),
    _audit("rarest object", object_id=fill.RARE_OBJECT),
    _audit("commonest object", object_id="events"),
    query(
        "audit.page",
        lambda s: audit.page(s.session, AuditSelection(subscriber_id=s.reader), before=None, limit=PAGE),
        "subscriber",
    ),
    query("audit.list_for_subscriber", lambda s: audit.list_for_subscriber(s.session, s.reader)),
    _events("all"),
    query("events.page", _events_deep, "a thousand pages on"),
    query("events.page", _events_deep_by_state, "states and types, a thousand pages on"),
    query("events.page", _events_range, "state and a day"),
    _events("rarest state", states=("dead",)),
    _events("commonest state", states=("applied",)),
    _events("failed", states=("failed", "dead")),
    _events("rarest type", kind=fill.RARE_TYPE),
    _events("commonest types", kind="invoice.*"),
    _events("no such type", kind="nothing.*"),
    _events("state and type, no match", states=("dead",), kind="invoice.paid"),
    _events("state and types, no match", states=("failed", "dead"), kind="payout.*"),
    query(
        "events.page",
        lambda s: events.page(s.session, EventSelection(object_id=s.id("sub")), after=None, limit=PAGE),
        "object",
    ),
    query(
        "events.page",
        lambda s: events.page(s.session, EventSelection(key=f"subscription:{s.id('sub')}"), after=None, limit=PAGE),
        "key",
    ),
    query("events.count", lambda s: events.count(s.session, EventSelection(states=("failed", "dead"))), "failed"),
    query(
        "events.count",
        lambda s: events.count(s.session, EventSelection(states=("dead",), type="invoice.*")),
        "state and type, no match",
    ),
    query(
        "events.oldest",
        lambda s: events.oldest(s.session, EventSelection(states=("dead",)), after=None, limit=100),
        "dead",
    ),
    _views("deep"),
    _views("rarest viewer", viewer=fill.RARE_ACTOR),
    _views("reader", of_reader=True),
    _views("viewer and a day, no match", viewer=fill.RARE_ACTOR, days=500),
    _views("a day, three years ago", days=1050),
    _refunds("all"),
    _refunds("deep", deep=True),
    _refunds("rarest status", status=fill.RARE_STATUS),
    _refunds("commonest status, deep", status="succeeded", deep=True),
    _refunds("attention", needs_attention=True),
    _refunds("attention and status, no match", status="processing", needs_attention=True),
    _refunds("attention, deep", needs_attention=True, deep=True),
    _disputes("all", is_open=None),
    _disputes("all, deep", is_open=None, deep=True),
    _disputes("open", is_open=True),
    _disputes("open, deep", is_open=True, deep=True),
    _disputes("closed, deep", is_open=False, deep=True),
    query("approvals.pending", lambda s: approvals.pending(s.session, after=None, limit=PAGE)),
    query("approvals.pending", _approvals_deep, "deep"),
    query("attention.list_page", lambda s: attention.list_page(s.session, after=None, limit=PAGE)),
    query("attention.list_page", lambda s: attention.list_page(s.session, after="issfr_8", limit=PAGE), "deep"),
    query("anomalies.list_open", lambda s: anomalies.list_open(s.session, after=None, limit=PAGE)),
    *(
        query(
            "work_queue.page",
            lambda s, kind=kind: work_queue.page(  # type: ignore[misc]
                s.session, QueueSelection(kinds=(kind,)), after=None, limit=PAGE, now=s.now
            ),
            kind,
        )
        for kind in ItemKind
    ),
    query(
        "work_queue.page",
        lambda s: work_queue.page(
            s.session,
            QueueSelection(kinds=(ItemKind.REFUND_FAILED,)),
            after=(ItemKind.REFUND_FAILED, days_ago(s, 300), "rfd"),
            limit=PAGE,
            now=s.now,
        ),
        "deep",
    ),
    query("anomalies.list_open", lambda s: anomalies.list_open(s.session, after="ano_8", limit=PAGE), "deep"),
    query("revocations.after", lambda s: revocations.after(s.session, s.rows("revocations") // 2, limit=1000)),
    query(
        "reconciliation.differences",
        lambda s: reconciliation.differences(s.session, s.id("swp", 7), limit=1000),
        max_rows=200_000,
    ),
    query(
        "reconciliation.count_differences",
        lambda s: reconciliation.count_differences(s.session, s.id("swp", 7)),
        max_rows=200_000,
    ),
    query("subscribers.with_email", lambda s: subscribers.with_email(s.session, "reader-1234@example.com")),
    query(
        "reconciliation.unlisted_subscriptions",
        lambda s: reconciliation.unlisted_subscriptions(s.session, days_ago(s, 500), days_ago(s, 400), listed=()),
    ),
)


async def _readers_deep(s: Subject) -> None:
    after = Position(at=days_ago(s, 500), id="")
    await reader_filters.newest(s.session, Filters(), after=after, limit=PAGE, now=s.now)


async def _readers_by_status_deep(s: Subject) -> None:
    after = Position(at=days_ago(s, 500), id="")
    await reader_filters.newest(s.session, Filters(status="active"), after=after, limit=PAGE, now=s.now)


def _readers(case: str, filters: Filters) -> Query:
    return query(
        "reader_filters.newest",
        lambda s: reader_filters.newest(s.session, filters, after=None, limit=PAGE, now=s.now),
        case,
    )


def _named(case: str, *words: list[str], filters: Filters = NO_FILTERS, card: str | None = None) -> Query:
    return query(
        "reader_search.by_names",
        lambda s: reader_search.by_names(s.session, words, filters, card=card, now=s.now),
        case,
        # A reader has a dozen parts, which are read for each other word, or the readers with each word are intersected.
        max_rows=max(13 * reader_search.SCANNED, len(words) * reader_search.INTERSECTED),
    )


def _valued(case: str, words: Callable[[Subject], str]) -> Query:
    return query("reader_search.by_value", lambda s: reader_search.by_value(s.session, words(s)), case)


READERS = (
    _readers("all", Filters()),
    query("reader_filters.newest", _readers_deep, "deep"),
    _readers("commonest status", Filters(status="active")),
    query("reader_filters.newest", _readers_by_status_deep, "commonest status, deep"),
    _readers("no such status", Filters(status="paused")),
    _readers("rarest plan", Filters(plan=fill.RARE_PLAN)),
    _readers("commonest plan", Filters(plan="annual")),
    _readers("no such plan", Filters(plan="none", print_edition=True)),
    _readers("edition", Filters(print_edition=True)),
    _readers("unpaid", Filters(unpaid=True)),
    _readers("unpaid of a rare plan", Filters(unpaid=True, plan=fill.RARE_PLAN)),
    _readers("ends soon", Filters(ends_soon=True)),
    _readers("disputed", Filters(disputed=True)),
    _readers("disputed and unpaid", Filters(disputed=True, unpaid=True)),
    _readers("complimentary", Filters(complimentary=True)),
    _readers("all filters, no match", ALL_FILTERS),
    _valued("address", lambda s: "reader-1234@"),
    _valued("many addresses", lambda s: "reader-"),
    _valued("payment", lambda s: s.id("pi")),
    _valued("invoice", lambda s: "NS-1234"),
    _named("a name", ["family77"]),
    _named("many names", ["f"]),
    _named("two names", ["family77"], ["given7"]),
    _named("two common words", ["fam"], ["giv"]),
    _named("a misspelled name", ["family77", "family78"], ["given7", "given8"]),
    _named("a name and filters", ["fam"], filters=Filters(plan=fill.RARE_PLAN, disputed=True)),
    _named("a name and a card", ["fam"], card="1234"),
    query(
        "reader_search.by_card", lambda s: reader_search.by_card(s.session, "1234", NO_FILTERS, now=s.now), "no filter"
    ),
    query(
        "reader_search.by_card",
        lambda s: reader_search.by_card(s.session, "1234", Filters(unpaid=True), now=s.now),
        "unpaid",
    ),
    query(
        "reader_search.by_ids", lambda s: reader_search.by_ids(s.session, s.ids("rdr"), Filters(plan="none"), now=s.now)
    ),
    query(
        "reader_search.count_parts",
        lambda s: reader_search.count_parts(s.session, ["family77", "f"]),
        max_rows=2 * reader_search.SCANNED,
    ),
    query(
        "reader_search.known_parts",
        lambda s: reader_search.known_parts(s.session, sorted(misspellings("famly77"))),
    ),
    query("reader_search.different_parts", lambda s: reader_search.different_parts(s.session, "fam", limit=1000)),
    query("reader_search.details", lambda s: reader_search.details(s.session, s.ids("rdr"))),
)
NO_FIGURES = DashboardStats(subscriptions=[], weeks=[], refunds=[], unpaid=[])
HEALTH = (
    query("health.read_readiness", lambda s: health.read_readiness(s.sessions)),
    query(
        "health.read_backlog",
        lambda s: health.read_backlog(s.sessions),
        max_rows=health.MAX_COUNT,
    ),
    query("health.is_migrated", lambda s: health.is_migrated(s.session)),
    query("health.is_writable", lambda s: health.is_writable(s.session)),
    query("health.oldest_unapplied_age", lambda s: health.oldest_unapplied_age(s.session)),
    query("health.events_by_state", lambda s: health.events_by_state(s.session), max_rows=health.MAX_COUNT),
    query("attention.counts", lambda s: attention.counts(s.session), max_rows=health.MAX_COUNT),
    query(
        "work_queue.counts",
        lambda s: work_queue.counts(s.session, tuple(ItemKind), now=s.now),
        max_rows=health.MAX_COUNT,
    ),
    query("disputes.count_open", lambda s: disputes.count_open(s.session), max_rows=health.MAX_COUNT),
    query("dashboard_stats.read", lambda s: dashboard_stats.read(s.session)),
    query("dashboard_stats.request_refresh", lambda s: dashboard_stats.request_refresh(s.session)),
    query("dashboard_stats.save", lambda s: dashboard_stats.save(s.session, NO_FIGURES)),
    query(
        "dashboard_stats.count",
        lambda s: dashboard_stats.count(s.session, first=first_monday(s.now, ZONE), zone=ZONE, now=s.now),
        reads_all="a worker counts the figures when they are old, and the less often, the longer it takes",
    ),
)
