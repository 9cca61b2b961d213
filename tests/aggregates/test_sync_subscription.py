"""Database constraints: saves are fenced by a version, some rows are unique, and grants are rebuilt from all sources."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app.aggregates import grants
from app.db import checkouts, intents, payments, refunds, subscribers, subscriptions
from app.db import grants as stored_grants
from app.db.checkouts import Choice
from app.db.engine.session import Session, Sessions
from app.domain.entitlements import AccessPeriod, AccessReason, Grant
from app.domain.errors import ConcurrentUpdate
from app.domain.payments import payments_of
from app.domain.rules import Rules
from app.domain.subscriptions import Subscription
from app.domain.terms import terms_of
from tests.domain.test_entitlements import CATALOGUE, POLICY
from tests.domain.test_quotes import CHICAGO, REFUND
from tests.domain.test_subscriptions import SEEN

RULES = Rules(catalogue=CATALOGUE, access=POLICY, zone=CHICAGO)
NOW = datetime(2026, 3, 1, 18, tzinfo=UTC)
CHOICE = Choice(plan="annual", print_edition=False, promotion_code=None)


async def create_reader(session: Session, sub: str = "ada", customer: str | None = "cus_1") -> subscribers.Subscriber:
    made = await subscribers.ensure(session, sub=sub, email=f"{sub}@example.com", name=sub.title())
    if customer is not None:
        await subscribers.set_customer(session, made.id, customer)
    return made


async def create_subscription(session: Session) -> tuple[subscribers.Subscriber, Subscription]:
    owner = await create_reader(session)
    held = await subscriptions.save(session, owner.id, SEEN, if_version=0)
    await subscriptions.save_terms(session, held.id, terms_of(SEEN, CATALOGUE))
    await payments.save(session, held.id, payments_of(SEEN, CATALOGUE))
    await grants.derive(session, RULES, owner, held)
    return owner, held


async def read_entitlement(sessions: Sessions, sub: str = "ada") -> tuple[int, dict[str, object]]:
    async with sessions.begin() as session:
        row = (
            await session.execute(text("SELECT version, access FROM entitlements WHERE sub = :sub"), {"sub": sub})
        ).one()
    return row.version, row.access


async def test_a_state_fetched_before_a_newer_save_is_discarded(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        _, held = await create_subscription(session)
        before = await subscriptions.version(session, held.stripe_id)
    async with sessions.begin() as session:
        await subscriptions.save(session, held.subscriber_id, replace(SEEN, status="canceled"), if_version=before)

    with pytest.raises(ConcurrentUpdate):
        async with sessions.begin() as session:
            await subscriptions.save(session, held.subscriber_id, SEEN, if_version=before)

    async with sessions.begin() as session:
        kept = await subscriptions.by_stripe_id(session, held.stripe_id)
    assert kept is not None
    assert (kept.status, kept.version) == ("canceled", before + 1)


async def test_only_one_of_two_concurrent_first_fetches_is_saved(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        owner = await create_reader(session)

    async def look() -> Subscription:
        async with sessions.begin() as session:
            await subscribers.lock(session, owner.id)
            return await subscriptions.save(session, owner.id, SEEN, if_version=0)

    results = await asyncio.gather(look(), look(), return_exceptions=True)

    assert [type(r) for r in results].count(ConcurrentUpdate) == 1


async def test_the_older_of_two_payment_fetches_is_discarded(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        await create_subscription(session)
        seen = await payments.version(session, "pi_1")
        assert await payments.advance(session, "pi_1", if_version=seen)

    async with sessions.begin() as session:
        assert not await payments.advance(session, "pi_1", if_version=seen)


async def test_saving_the_same_state_again_changes_nothing(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        owner, held = await create_subscription(session)
    first = await read_entitlement(sessions)
    async with sessions.begin() as session:
        await subscribers.lock(session, owner.id)
        await subscriptions.save_terms(session, held.id, terms_of(SEEN, CATALOGUE))
        await payments.save(session, held.id, payments_of(SEEN, CATALOGUE))
        await grants.derive(session, RULES, owner, held)

    assert await read_entitlement(sessions) == first
    async with sessions.begin() as session:
        assert len(await payments.of_subscription(session, held.id)) == 1


async def test_a_refunded_term_stays_refunded_after_another_sync(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        owner, held = await create_subscription(session)
        await subscriptions.mark_term_refunded(session, "in_1", "guarantee", at=NOW)
    async with sessions.begin() as session:
        await subscribers.lock(session, owner.id)
        await subscriptions.save_terms(session, held.id, terms_of(SEEN, CATALOGUE))
        await grants.derive(session, RULES, owner, held)

    version, access = await read_entitlement(sessions)
    assert (version, access["features"], access["otherwise"]) == (2, {}, "refunded")


async def test_ending_one_subscription_keeps_the_grants_of_another(sessions: Sessions) -> None:
    period = AccessPeriod(NOW, NOW + timedelta(days=30), AccessReason.PAID_TERM)
    async with sessions.begin() as session:
        owner, held = await create_subscription(session)
        other = await subscriptions.save(session, owner.id, replace(SEEN, id="sub_2"), if_version=0)
        mine = Grant(id="grt_other", source=AccessReason.PAID_TERM, features={"audio": (period,)})
        await stored_grants.replace(session, owner.id, other.id, [mine])
        await stored_grants.replace(session, owner.id, held.id, [])
        await grants.rebuild(session, owner)

    _, access = await read_entitlement(sessions)
    assert list(access["features"]) == ["audio"]  # type: ignore[call-overload]


async def test_a_reader_has_at_most_one_open_checkout(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        owner = await create_reader(session)
        await checkouts.start(session, owner.id, CHOICE)

    with pytest.raises(IntegrityError):
        async with sessions.begin() as session:
            await checkouts.start(session, owner.id, CHOICE)


async def test_an_older_response_does_not_reopen_a_completed_checkout(sessions: Sessions) -> None:
    other_fields = {"stripe_id": "cs_1", "payment_status": "unpaid", "url": None, "expires_at": None}
    async with sessions.begin() as session:
        owner = await create_reader(session)
        held = await checkouts.start(session, owner.id, CHOICE)
        await checkouts.save(session, held.id, status="complete", stripe_subscription_id="sub_1", **other_fields)  # type: ignore[arg-type]
        after = await checkouts.save(session, held.id, status="open", stripe_subscription_id=None, **other_fields)  # type: ignore[arg-type]

    assert (after.status, after.stripe_subscription_id) == ("complete", "sub_1")


async def test_the_first_customer_of_a_reader_is_kept(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        owner = await create_reader(session, customer=None)
        first = await subscribers.set_customer(session, owner.id, "cus_1")
        second = await subscribers.set_customer(session, owner.id, "cus_2")

    assert first == second == "cus_1"


async def test_a_payment_has_at_most_one_refund_in_process(sessions: Sessions) -> None:
    refund = replace(REFUND, status="processing", basis="dashboard")
    async with sessions.begin() as session:
        owner, _ = await create_subscription(session)
        await refunds.insert(session, replace(refund, subscriber_id=owner.id), unfinished=True)

    with pytest.raises(IntegrityError):
        async with sessions.begin() as session:
            await refunds.insert(session, replace(refund, id="rfd_2", subscriber_id=owner.id), unfinished=True)


async def test_an_intent_is_repeated_with_the_same_key_and_parameters(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        first = await intents.record(session, "rfd_1", "refund", {"amount": 1})
        again = await intents.record(session, "rfd_1", "refund", {"amount": 2})
        assert (again.key, again.parameters) == (first.key, {"amount": 1})

        await intents.settle(session, first.key)
        second = await intents.record(session, "rfd_1", "refund", {"amount": 3})
        assert (second.key, second.parameters) == ("rfd_1:refund:2", {"amount": 3})


async def test_a_new_intent_supersedes_the_previous_one(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        await intents.record(session, "scr_1", "schedule_end", {})
        await intents.record(session, "scr_1", "resume", {})
        anew = await intents.record(session, "scr_1", "schedule_end", {})

    assert anew.key == "scr_1:schedule_end:2"


async def test_ordering_the_end_of_a_subscription_twice_counts_once(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        _, held = await create_subscription(session)
        assert await subscriptions.order_end(session, held.id, by="guarantee", now=NOW)
        assert not await subscriptions.order_end(session, held.id, by="cancel_now", now=NOW + timedelta(days=1))
        ended = await subscriptions.by_id(session, held.id)

    assert ended is not None
    assert (ended.ended_by, ended.access_ended_at) == ("guarantee", NOW)


async def test_an_older_fetch_does_not_clear_pending_work_of_an_end(sessions: Sessions) -> None:
    """A worker may save an active state after the subscription has ended here or at Stripe."""
    async with sessions.begin() as session:
        _, held = await create_subscription(session)
        await subscriptions.order_close(session, held.id)
        await subscriptions.clear_due(session, held.id)
        assert await subscriptions.due(session, held.id) is None, "an active subscription has no pending work"

        await subscriptions.order_end(session, held.id, by="cancel_now", now=NOW)
        await subscriptions.clear_due(session, held.id)
        assert await subscriptions.due(session, held.id) is not None


async def test_a_subscription_that_ended_since_an_older_fetch_stays_due(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        owner, held = await create_subscription(session)
        over = replace(SEEN, status="canceled", ended_at=NOW)
        await subscriptions.save(session, owner.id, over, if_version=held.version)
        await subscriptions.order_close(session, held.id)

        await subscriptions.clear_due(session, held.id)

        assert await subscriptions.due(session, held.id) is not None
