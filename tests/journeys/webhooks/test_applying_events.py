"""Workers apply events one at a time for each subscription; a failing event neither blocks others nor repeats forever."""

from datetime import timedelta

from sqlalchemy import text

from app.db import inbox
from app.db.engine import leases
from app.db.engine.session import Sessions
from app.services import webhooks
from tests.support.contexts import database_context
from tests.support.many_subscribers import add_events, create_subscribers
from tests.support.shop import Shop

POISON = """
CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.stripe_id = '{stripe_id}' THEN RAISE EXCEPTION 'poison'; END IF;
    RETURN NEW;
END $$
"""
STRIKES = "CREATE TRIGGER poison BEFORE INSERT OR UPDATE ON subscriptions FOR EACH ROW EXECUTE FUNCTION poison()"


async def test_a_database_error_of_one_subscription_does_not_affect_others(shop: Shop) -> None:
    ids = await create_subscribers(shop, 6)
    await shop.execute(POISON.format(stripe_id=ids[2]))
    await shop.execute(STRIKES)

    await add_events(shop, ids, each=2)
    await shop.wait_until("SELECT count(*) = 10 FROM events WHERE state = 'applied'")

    await shop.wait_until("SELECT count(*) = 2 FROM events WHERE state = 'failed' AND last_error LIKE '%poison%'")
    assert len(await shop.rows("SELECT FROM entitlements")) == 5
    await shop.execute("DROP TRIGGER poison ON subscriptions")
    await shop.execute("UPDATE events SET due_at = now() WHERE due_at IS NOT NULL")
    await shop.wait_until_idle()
    assert {row["state"] for row in await shop.rows("SELECT state FROM events WHERE id LIKE 'evt%'")} == {"applied"}
    assert len(await shop.rows("SELECT FROM entitlements")) == 6


async def test_an_early_payment_event_causes_a_fetch_of_its_subscription(shop: Shop) -> None:
    (stripe_id,) = await create_subscribers(shop, 1)
    invoice = (await shop.stripe_get("/v1/invoices", subscription=stripe_id))["data"][0]["id"]
    await shop.execute(
        "INSERT INTO events (id, type, object_id, state, payload, work_key, due_at)"
        f" VALUES ('evt_1', 'invoice_payment.paid', 'inpay_1', 'received', '{{}}', 'invoice:{invoice}', now())"
    )

    await shop.wait_until_idle()

    (event,) = await shop.rows("SELECT state, work_key, attempts FROM events WHERE id = 'evt_1'")
    assert tuple(event.values()) == ("applied", f"subscription:{stripe_id}", 1)
    assert len(await shop.rows("SELECT FROM payments")) == 1


async def test_an_event_that_kills_every_worker_is_marked_dead(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        await inbox.request_refetch(session, "subscription:sub_1", why="test")
    claimed: list[leases.Claimed] = []
    while not claimed or claimed[0].attempts <= 3:
        async with sessions.begin() as session:
            claimed = await inbox.claim(session, owner="a killed worker", lease=timedelta(0), limit=1)
            await leases.release(session, "subscription:sub_1", owner="a killed worker")
            await session.execute(text("UPDATE events SET due_at = now()"))

    looked_at: list[str] = []

    async def look(stripe_id: str) -> None:
        looked_at.append(stripe_id)

    closer = webhooks.event_closer(database_context(sessions))
    await webhooks.apply(
        database_context(sessions), {"subscription": look}, claimed[0], owner="the last", max_attempts=3, closer=closer
    )

    async with sessions.begin() as session:
        (row,) = (await session.execute(text("SELECT state, due_at, last_error FROM events"))).all()
    assert looked_at == []
    assert tuple(row) == ("dead", None, "every attempt crashed the worker")
