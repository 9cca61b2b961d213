"""Price migrations and their changes."""

from datetime import timedelta

from app.db import price_migrations
from app.domain.price_migrations import ChangeStatus, MigrationStatus, PriceChange, PriceMigration
from bench.scale.subject import PAGE, Subject, query


def _migration(s: Subject) -> PriceMigration:
    return PriceMigration(
        id="pmg_new",
        plan="other",
        currency="usd",
        targets=(),
        versions=(),
        from_at=s.now,
        status=MigrationStatus.PLANNING,
        publisher_sends_notices=True,
        requested_by="operator:ops",
        created_at=s.now,
    )


def _change(s: Subject, change_id: str = "pcg_new") -> PriceChange:
    return PriceChange(
        id=change_id,
        migration_id=s.id("pmg", 0),
        subscription_id=s.subscription,
        subscriber_id=s.reader,
        stripe_id="sub_new",
        status=ChangeStatus.PLANNED,
        reason=None,
        currency="usd",
        items=(),
        renewal_at=s.now + timedelta(days=30),
    )


_ALL = "counts the changes of one migration, for its page"
PRICE_MIGRATIONS = (
    query(
        "price_migrations.insert",
        lambda s: price_migrations.insert(s.session, _migration(s), list_again_at=s.now),
    ),
    query("price_migrations.lock_plan", lambda s: price_migrations.lock_plan(s.session, "annual")),
    query("price_migrations.by_id", lambda s: price_migrations.by_id(s.session, s.id("pmg", 0), lock=True)),
    query("price_migrations.unfinished", lambda s: price_migrations.unfinished(s.session, "annual")),
    query("price_migrations.running", lambda s: price_migrations.running(s.session)),
    query("price_migrations.page", lambda s: price_migrations.page(s.session, before=s.now, limit=PAGE)),
    query(
        "price_migrations.set_status",
        lambda s: price_migrations.set_status(s.session, s.id("pmg", 0), MigrationStatus.RUNNING),
    ),
    query("price_migrations.clear_due", lambda s: price_migrations.clear_due(s.session, s.id("pmg", 0))),
    query(
        "price_migrations.set_listed",
        lambda s: price_migrations.set_listed(s.session, s.id("pmg", 0), listed_at=s.now),
    ),
    query("price_migrations.finish", lambda s: price_migrations.finish(s.session, s.id("pmg", 0), now=s.now)),
    query("price_migrations.queue_due", lambda s: price_migrations.queue_due(s.session, now=s.now)),
    query("price_migrations.add_changes", lambda s: price_migrations.add_changes(s.session, [_change(s)])),
    query("price_migrations.change_by_id", lambda s: price_migrations.change_by_id(s.session, s.id("pcg"), lock=True)),
    query("price_migrations.save_change", lambda s: price_migrations.save_change(s.session, _change(s, s.id("pcg")))),
    query("price_migrations.clear_change_due", lambda s: price_migrations.clear_change_due(s.session, s.id("pcg"))),
    query(
        "price_migrations.stop_changes",
        lambda s: price_migrations.stop_changes(s.session, s.id("pmg", 0)),
        reads_all="stops every open change of one migration",
    ),
    query("price_migrations.counts", lambda s: price_migrations.counts(s.session, s.id("pmg", 0)), reads_all=_ALL),
    query(
        "price_migrations.changes",
        lambda s: price_migrations.changes(s.session, s.id("pmg", 0), status=None, after=s.id("pcg"), limit=PAGE),
        case="all",
    ),
    query(
        "price_migrations.changes",
        lambda s: price_migrations.changes(s.session, s.id("pmg", 0), status="planned", after=s.id("pcg"), limit=PAGE),
        case="of a status",
    ),
    query(
        "price_migrations.with_subscriptions",
        lambda s: price_migrations.with_subscriptions(s.session, s.reader, now=s.now),
    ),
    query("price_migrations.upcoming", lambda s: price_migrations.upcoming(s.session, s.subscription, now=s.now)),
)
