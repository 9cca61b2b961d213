"""A response of Stripe that can't be stored fails only its own event, with a reason."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from app.db import inbox, payments
from app.db.engine import leases
from app.db.engine.session import Sessions
from app.domain.subscriptions import Payment
from app.services import webhooks
from tests.support.contexts import database_context

LEASE = timedelta(seconds=30)


async def test_an_amount_beyond_64_bits_fails_only_its_own_event(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        await inbox.request_refetch(session, "subscription:sub_huge", why="test")
        await inbox.request_refetch(session, "subscription:sub_fine", why="test")
    closer = webhooks.event_closer(database_context(sessions))

    async def look(stripe_id: str) -> None:
        if stripe_id == "sub_fine":
            return
        huge = Payment(
            id="pi_1",
            invoice_id="in_1",
            amount=2**70,
            tax=0,
            currency="usd",
            paid_at=datetime(2026, 3, 1, tzinfo=UTC),
            billing_reason="subscription_create",
        )
        async with sessions.begin() as session:
            await payments.save(session, "scr_1", [huge])

    async with sessions.begin() as session:
        claimed = await leases.claim(session, "events", owner="anna", lease=LEASE, limit=10)
    for one in claimed:
        await webhooks.apply(
            database_context(sessions), {"subscription": look}, one, owner="anna", max_attempts=1, closer=closer
        )

    async with sessions.begin() as session:
        rows = (await session.execute(text("SELECT work_key, state, last_error FROM events"))).all()
        held = await session.scalar(text("SELECT count(*) FROM leases"))
    found = {row.work_key: (row.state, row.last_error) for row in rows}
    assert found["subscription:sub_fine"] == ("applied", None)
    state, why = found["subscription:sub_huge"]
    assert state == "dead"
    assert why
    assert held == 0
