"""A recovery brings the restored database up to date and does nothing else: what is due waits until the data is current."""

from datetime import UTC, datetime

import pytest

from tests.journeys.cancellations.test_declared import renewed_in_berlin
from tests.journeys.webhooks.test_inbox import newsstand
from tests.support.shop import Shop

NOTICE_ENDS = datetime(2027, 4, 3, 5, tzinfo=UTC)


@pytest.fixture
async def shop(killable_shop: Shop) -> Shop:
    """Provide a shop whose service can be stopped while its database is restored."""
    return killable_shop


async def test_no_contract_that_was_resumed_after_the_backup_is_ended(shop: Shop) -> None:
    ada = await renewed_in_berlin(shop)
    assert (await shop.post("/v1/me/subscription/cancel", ada, {"when": "notice"})).status_code == 200
    await shop.wait_until_idle()
    (held,) = (await shop.overview(ada))["subscriptions"]
    path = f"/v1/subscriptions/{held['stripe_id']}"

    assert shop.process is not None
    shop.process.kill()  # what happens now is as if it happened after the backup
    await shop.stripe.put("/_sandbox/settings", json={"loss": 1.0})
    await shop.stripe_post(path, cancel_at_period_end="false")
    await shop.advance_to(NOTICE_ENDS)
    await shop.execute("UPDATE declarations SET due_at = now()")
    status, output, words = await newsstand(shop.settings, "recover", "--since", "2027-03-02")

    assert (status, words.splitlines()[-1]) == (0, "Nothing differs from Stripe."), output + words
    assert await shop.rows("SELECT status, attempts FROM declarations") == [{"status": "scheduled", "attempts": 0}]
    await shop.process.start()
    await shop.wait_until("SELECT status <> 'scheduled' FROM declarations")
    assert await shop.rows("SELECT status FROM declarations") == [{"status": "revoked"}]
    await shop.wait_until_idle()
    assert (await shop.stripe_get(path))["status"] == "active"
    assert (await shop.stripe_get("/v1/refunds"))["data"] == []
    assert await shop.may_read(ada)


async def test_a_contract_that_was_resumed_at_stripe_meanwhile_is_kept(shop: Shop) -> None:
    ada = await renewed_in_berlin(shop)
    assert (await shop.post("/v1/me/subscription/cancel", ada, {"when": "notice"})).status_code == 200
    await shop.wait_until_idle()
    (held,) = (await shop.overview(ada))["subscriptions"]
    path = f"/v1/subscriptions/{held['stripe_id']}"

    await shop.stripe.put("/_sandbox/settings", json={"loss": 1.0})
    await shop.stripe_post(path, cancel_at_period_end="false")
    await shop.advance_to(NOTICE_ENDS)
    await shop.execute("UPDATE declarations SET due_at = now()")
    await shop.wait_until("SELECT status <> 'scheduled' FROM declarations")

    assert await shop.rows("SELECT status FROM declarations") == [{"status": "revoked"}]
    assert (await shop.stripe_get(path))["status"] == "active"
    assert (await shop.stripe_get("/v1/refunds"))["data"] == []
    assert await shop.may_read(ada)


async def test_messages_wait_and_those_that_go_out_once_are_left_to_staff(shop: Shop) -> None:
    await shop.subscribe(shop.person())
    assert shop.process is not None
    shop.process.kill()
    for kind, send_at in (
        ("card_expiring", "2026-03-01"),
        ("renewal_ahead", "2026-03-01"),
        ("issue_delayed", "2027-01-01"),
    ):
        await shop.execute(
            "INSERT INTO notifications (id, kind, about, subscriber_id, data, event_at, send_at, status, channel, work_key,"
            f" due_at) SELECT 'ntf_{kind}', '{kind}', 'sub_1', id, '{{}}', '2030-01-01', '{send_at}', 'scheduled', 'email',"
            f" 'notification:{kind}', now() FROM subscribers"
        )
    outbox = await shop.rows("SELECT count(*) FROM outbox_events WHERE queued_at IS NULL")
    status, output, words = await newsstand(shop.settings, "recover", "--since", "2026-03-01")

    assert status == 0, output + words
    assert "Messages to readers that may have been sent since the backup, and are not sent again: 1.\n" in words
    told = await shop.rows("SELECT kind, status FROM notifications WHERE about = 'sub_1' ORDER BY kind")
    assert [tuple(one.values()) for one in told] == [
        ("card_expiring", "uncertain"),
        ("issue_delayed", "scheduled"),
        ("renewal_ahead", "scheduled"),
    ]
    assert await shop.rows("SELECT count(*) FROM outbox_events WHERE queued_at IS NULL") == outbox
