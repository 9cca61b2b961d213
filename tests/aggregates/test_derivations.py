"""Many subscriptions are derived at a time, with the same result as one by one, and nobody waits for it."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from app.aggregates import derivations, grants
from app.context import Context
from app.db import derivations as queue
from app.db import editions, issues, subscribers, subscriptions
from app.db.engine.session import Session, Sessions
from app.domain.calendar_files import plan_year
from app.domain.offers import OfferVersion, offers_of
from app.domain.plans import Catalogue
from app.services import catalogue as catalogues
from app.services import derivations as service
from tests.support.contexts import database_context
from tests.support.grant_scenarios import POLICY, add_subscription, rules_for, write_two_plan_catalogue
from tests.support.timeouts import TIMEOUT

NOW = datetime(2030, 6, 1, tzinfo=UTC)
LONG_AGO = datetime(2029, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
READERS = 12
STORED = {
    "grants": "SELECT * FROM grants ORDER BY id",
    "entitlements": "SELECT sub, access FROM entitlements ORDER BY sub",
    "terms": "SELECT invoice_id, last_issue, offer FROM terms ORDER BY invoice_id",
}


@pytest.fixture
def offer(tmp_path: Path) -> Catalogue:
    return catalogues.load(write_two_plan_catalogue(tmp_path))


@pytest.fixture
async def connection(database: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    made = await asyncpg.connect(database)
    yield made
    await made.close()


async def stored(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, list[Any]]:
    return {name: [tuple(row) for row in await connection.fetch(query)] for name, query in STORED.items()}


async def add_readers(sessions: Sessions, offer: Catalogue, *, seed: int = 7, kind: str | None = None) -> list[str]:
    """Add readers with one or two subscriptions, and return the IDs of these."""
    chance = random.Random(seed)
    return [
        (await add_subscription(sessions, offer, f"reader-{number}", chance, kind=kind)).id
        for number in range(READERS)
        for _ in range(chance.choice((1, 1, 2)))
    ]


async def publish(
    sessions: Sessions, offer: Catalogue, *, calendar: bool = True, more: tuple[str, ...] = (), at: datetime = LONG_AGO
) -> str:
    """Publish an edition with the catalogue's offers and ``more`` features, and return the token of the one before."""
    offers = offers_of(offer, rules_for(offer).access).values()
    richer = [replace(one, features=tuple(sorted({*one.features, *more}))) for one in offers]
    async with sessions.begin() as session:
        await editions.lock_changes(session)
        if calendar:
            planned = [plan_year(year, first_number=1 + 24 * index) for index, year in enumerate(range(2030, 2033))]
            await issues.save(session, [one for year in planned for one in year])
        await editions.add_offers(session, [OfferVersion(one, at) for one in richer])
        return await editions.publish(session)


async def derive_each(sessions: Sessions, offer: Catalogue, ids: list[str]) -> None:
    for one in ids:
        async with sessions.begin() as session:
            held = await subscriptions.by_id(session, one)
            assert held is not None
            reader = await subscribers.lock(session, held.subscriber_id)
            await grants.derive(session, rules_for(offer), reader, held, now=NOW)


async def derive_together(session: Session, offer: Catalogue, ids: list[str]) -> derivations.Results:
    return await derivations.derive_many(session, rules_for(offer), ids, now=NOW)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_many_at_a_time_are_derived_as_one_by_one(
    sessions: Sessions, offer: Catalogue, connection: "asyncpg.Connection[asyncpg.Record]", seed: int
) -> None:
    ids = await add_readers(sessions, offer, seed=seed)
    await publish(sessions, offer, more=("video",))
    before = await stored(connection)

    async with sessions.begin() as session:
        results = await derive_together(session, offer, [*ids, "scr_unknown"])
    together = await stored(connection)
    await derive_each(sessions, offer, ids)

    assert results.done == {*ids, "scr_unknown"}
    assert results.changed
    assert together != before
    assert await stored(connection) == together, "deriving each changes nothing more"
    async with sessions.begin() as session:
        assert (await derive_together(session, offer, ids)).changed == set()


async def test_a_yearly_reminder_that_is_due_survives_until_it_is_sent(
    sessions: Sessions, offer: Catalogue, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    (one, *_) = await add_readers(sessions, offer, kind="active")
    for about, moment in (("due", NOW), ("ahead", NOW + HOUR)):
        await connection.execute(
            "INSERT INTO notifications (id, kind, about, subscriber_id, subscription_id, data, event_at, send_at, status,"
            " channel, work_key, due_at) SELECT $2, 'yearly_reminder', $2, subscriber_id, id, '{}', $3, $3, 'scheduled',"
            " 'email', 'w', now() FROM subscriptions WHERE id = $1",
            one,
            about,
            moment,
        )

    async with sessions.begin() as session:
        await derive_together(session, offer, [one])

    left = await connection.fetch("SELECT about FROM notifications WHERE kind = 'yearly_reminder'")
    assert [row["about"] for row in left] == ["due"]


async def test_a_locked_reader_is_left_out_and_a_failing_one_holds_up_no_other(
    sessions: Sessions, offer: Catalogue, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    locked = (await add_readers(sessions, offer, kind="active"))[0]
    owner = await connection.fetchval("SELECT subscriber_id FROM subscriptions WHERE id = $1", locked)
    owned = await connection.fetch("SELECT id FROM subscriptions WHERE subscriber_id = $1", owner)
    failing, fine = [
        row["id"]
        for row in await connection.fetch(
            "SELECT min(id) AS id FROM subscriptions WHERE subscriber_id <> $1 GROUP BY subscriber_id LIMIT 2", owner
        )
    ]
    await connection.execute(
        "UPDATE terms SET plan = 'gone', refunded_as = NULL, suspended_as = NULL WHERE subscription_id = $1", failing
    )
    async with connection.transaction():
        await connection.execute("SELECT FROM subscribers WHERE id = $1 FOR UPDATE", owner)
        async with asyncio.timeout(TIMEOUT), sessions.begin() as session:
            results = await derive_together(session, offer, [locked, failing, fine])

    assert locked in {row["id"] for row in owned}
    assert (results.locked, set(results.failed), results.done) == ({locked}, {failing}, {fine})


async def test_a_sleeping_client_delays_neither_a_calendar_change_nor_other_readers(
    sessions: Sessions, offer: Catalogue
) -> None:
    ids = await add_readers(sessions, offer)
    await publish(sessions, offer)
    await derive_each(sessions, offer, ids)
    async with asyncio.timeout(TIMEOUT), sessions() as sleeping, sleeping.begin():
        await editions.locked(sleeping, rules_for(offer).zone)  # it derives and sleeps

        replaced = await publish(sessions, offer, more=("video",))
        await derive_each(sessions, offer, ids)

        async with sessions.begin() as session:
            assert not await editions.are_unused(session, [replaced])
    async with sessions.begin() as session:
        assert await editions.are_unused(session, [replaced])


async def test_a_client_that_sleeps_while_it_changes_the_calendar_delays_no_reader(
    sessions: Sessions, offer: Catalogue
) -> None:
    ids = await add_readers(sessions, offer)
    async with asyncio.timeout(TIMEOUT), sessions() as sleeping, sleeping.begin():
        await editions.lock_changes(sleeping)
        await issues.save(sleeping, plan_year(2030, first_number=1))
        await editions.publish(sleeping)

        await derive_each(sessions, offer, ids)
        async with sessions.begin() as session:
            assert (await derive_together(session, offer, ids)).done == set(ids)


async def test_a_term_that_was_derived_from_the_old_edition_is_found_after_its_commit(
    sessions: Sessions, offer: Catalogue, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    ctx = context(sessions, offer)
    (one, *_) = await add_readers(sessions, offer, kind="active")
    await publish(sessions, offer)
    async with sessions() as slow, slow.begin():
        held = await subscriptions.by_id(slow, one)
        assert held is not None
        await grants.derive(slow, ctx.rules, await subscribers.lock(slow, held.subscriber_id), held, now=NOW)
        replaced = await publish(sessions, offer, more=("video",), at=NOW)
        async with sessions.begin() as session:
            run_id = await queue.add_run(session, queue.CATALOGUE, {"plans": ["annual", "small"]}, replaced=replaced)
        await service.queue_affected(ctx, run_id, now=NOW)
        assert not await connection.fetchval("SELECT count(*) FROM calendar_work"), "it waits for the old edition"

    await service.queue_affected(ctx, run_id, now=NOW)
    await derive_all(ctx)

    (run,) = await service.recent(ctx)
    assert run.finished_at is not None
    assert run.found == run.visited
    assert "video" in str(await connection.fetch("SELECT features FROM grants WHERE subscription_id = $1", one))


def context(sessions: Sessions, offer: Catalogue) -> Context:
    """Return a context with the parts that derivations use."""
    made = Context.__new__(Context)
    for name, value in {
        "settings": database_context(sessions).settings,
        "sessions": sessions,
        "rules": rules_for(offer),
    }.items():
        object.__setattr__(made, name, value)
    return made


async def derive_all(ctx: Context) -> None:
    async with asyncio.timeout(TIMEOUT):
        while not (await service.derive_slice(ctx, now=NOW)).is_last:
            pass


async def test_a_change_continues_where_a_killed_worker_stopped(
    sessions: Sessions, offer: Catalogue, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    ctx, ids = context(sessions, offer), await add_readers(sessions, offer, kind="active")
    replaced = await publish(sessions, offer)
    async with sessions.begin() as session:
        run_id = await queue.add_run(session, queue.CATALOGUE, {"plans": ["annual", "small"]}, replaced=replaced)
    async with sessions.begin() as session:
        await queue.queue(session, run_id, ids[:5])  # a worker is killed after its first slice
    slice_task = asyncio.create_task(service.derive_slice(ctx, now=NOW))
    await asyncio.sleep(0.01)
    slice_task.cancel()  # and another one while it derives
    await asyncio.gather(slice_task, return_exceptions=True)
    (run,) = await service.unfinished(ctx)
    assert not run.is_queued

    await service.queue_affected(ctx, run_id, now=NOW)
    await derive_all(ctx)

    (run,) = await service.recent(ctx)
    assert (run.finished_at is not None, run.visited >= len(ids)) == (True, True)
    assert await connection.fetchval("SELECT count(*) FROM calendar_work") == 0
    assert await connection.fetchval("SELECT count(*) FROM terms WHERE offer IS NULL") == 0


WITH_VIDEO = "SELECT DISTINCT subscription_id FROM grants WHERE features ? 'video'"
REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
CREATE TRIGGER refuse BEFORE DELETE ON grants FOR EACH ROW
WHEN (OLD.subscription_id = '{id}') EXECUTE FUNCTION refuse()
"""


async def test_a_row_that_the_database_refuses_holds_up_no_other(
    sessions: Sessions, offer: Catalogue, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    ctx, ids = context(sessions, offer), await add_readers(sessions, offer, kind="active")
    bad, *good = ids
    replaced = await publish(sessions, offer, more=("video",))
    async with sessions.begin() as session:
        run_id = await queue.add_run(session, queue.CATALOGUE, {"plans": ["annual", "small"]}, replaced=replaced)
        await queue.queue(session, run_id, ids)
    queued_at = await connection.fetchval("SELECT due_at FROM calendar_work WHERE id = $1", bad)
    await connection.execute(REFUSE.format(id=bad))

    await derive_all(ctx)

    (left,) = await connection.fetch("SELECT id, attempts, last_error, due_at FROM calendar_work")
    assert (left["id"], left["attempts"]) == (bad, 1)
    assert left["due_at"] > queued_at
    assert "refused" in left["last_error"]
    with_video = {row[0] for row in await connection.fetch(WITH_VIDEO)}
    assert with_video
    assert with_video <= set(good)
    (run,) = await service.recent(ctx)
    assert (run.visited, run.finished_at) == (len(good), None)


async def test_an_old_catalogue_is_not_the_latest_offer_until_a_day_later(sessions: Sessions, offer: Catalogue) -> None:
    annual = offer.plans["annual"]
    fewer = replace(annual, features={name: one for name, one in annual.features.items() if name != "audio"})
    old, new = context(sessions, offer), context(sessions, replace(offer, plans={**offer.plans, "annual": fewer}))

    async def has_audio() -> bool:
        async with sessions.begin() as session:
            found = (await editions.current(session, POLICY.zone)).offers.latest("annual")
        assert found is not None
        return "audio" in found.features

    assert await service.record_offers(old, now=NOW)
    assert await service.record_offers(new, now=NOW + HOUR)
    assert not await service.record_offers(old, now=NOW + 2 * HOUR), "an old process restarts"
    assert not await has_audio()
    assert await service.record_offers(new, now=NOW + 3 * HOUR)
    assert await service.record_offers(old, now=NOW + 25 * HOUR), "the catalogue was changed back"
    assert await has_audio()


async def test_notices_that_old_workers_took_are_followed_again_a_day_later(
    sessions: Sessions, offer: Catalogue, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    ctx, ids = context(sessions, offer), await add_readers(sessions, offer, kind="active")
    assert await service.record_offers(ctx, now=NOW)
    (first,) = [run for run in await service.recent(ctx) if run.kind == queue.NOTICES]
    await service.queue_affected(ctx, first.id, now=NOW)
    await connection.execute("DELETE FROM calendar_work")  # as workers of the release before do

    assert not await service.repeat_notices(ctx, now=NOW + 23 * HOUR)
    assert all(await asyncio.gather(*(service.repeat_notices(ctx, now=NOW + 25 * HOUR) for _ in range(2))))
    again = [run for run in await service.recent(ctx) if run.kind == queue.NOTICES and run.id != first.id]
    await service.queue_affected(ctx, again[0].id, now=NOW)

    assert len(again) == 1, "once, however many processes there are"
    assert await connection.fetchval("SELECT count(*) FROM calendar_work") == len(ids)


async def test_a_change_that_affects_no_subscription_is_finished(sessions: Sessions, offer: Catalogue) -> None:
    ctx = context(sessions, offer)
    async with sessions.begin() as session:
        run_id = await queue.add_run(session, queue.CATALOGUE, {"plans": ["annual"]}, replaced="")

    await service.queue_affected(ctx, run_id, now=NOW)

    (run,) = await service.recent(ctx)
    assert (run.finished_at is not None, run.found) == (True, 0)


async def test_changes_that_the_release_before_queued_are_applied(
    sessions: Sessions, offer: Catalogue, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    ctx, ids = context(sessions, offer), await add_readers(sessions, offer, kind="active")
    await publish(sessions, offer)
    change = '{"last": [], "since": null, "beyond": true, "begun": []}'
    await connection.execute(
        "INSERT INTO calendar_work (id, work_key, due_at, change) VALUES ('cal_1', 'calendar', now(), $1)", change
    )
    await connection.execute(
        "INSERT INTO calendar_work (id, work_key, due_at) VALUES ($1, 'ledger:' || $1, now())", ids[0]
    )

    await derive_all(ctx)
    (run,) = await service.unfinished(ctx)
    await service.queue_affected(ctx, run.id, now=NOW)
    await derive_all(ctx)

    assert await connection.fetchval("SELECT count(*) FROM calendar_work") == 0
    assert await connection.fetchval("SELECT count(*) FROM terms WHERE last_issue IS NOT NULL") > 0


async def test_comps_get_new_features_and_lose_none(
    sessions: Sessions, offer: Catalogue, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with sessions.begin() as session:
        bob = await subscribers.ensure(session, sub="bob", email=None, name=None)
        await session.execute(
            text(
                "INSERT INTO comps (id, subscriber_id, plan, starts_at, until, reason, given_by)"
                " VALUES ('cmp_1', :bob, 'annual', '2030-01-01', '2031-01-01', 'why', 'staff:x')"
            ),
            {"bob": bob.id},
        )
        await session.execute(
            text(
                "INSERT INTO grants (id, subscriber_id, source, features) VALUES ('grt_cmp_1', :bob, 'comp',"
                """ CAST('{"old": [[1893456000, 1924992000, "comp"]]}' AS jsonb))"""
            ),
            {"bob": bob.id},
        )
    await publish(sessions, offer, calendar=False, more=("video",))

    async with sessions.begin() as session:
        results = await derive_together(session, offer, ["cmp_1"])

    assert results.changed == {"cmp_1"}
    features = await connection.fetchval("SELECT string_agg(key, ' ') FROM grants, jsonb_object_keys(features) AS key")
    assert {"old", "video", "archive"} <= set(features.split())
    assert '"video"' in await connection.fetchval("SELECT access::text FROM entitlements WHERE sub = 'bob'")
