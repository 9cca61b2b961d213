"""Reconciliation finds, reports and repairs what differs from Stripe, and changes nothing else."""

from datetime import timedelta
from typing import Any

from app.services.reconciliation import Report
from tests.journeys.webhooks.test_inbox import newsstand
from tests.support.commands import Command
from tests.support.crashes import wait_until_hit
from tests.support.processes import environment
from tests.support.reconciliation import reconcile
from tests.support.shop import START_TIME, Shop
from tests.support.trials import start_trial

QUIET = "SELECT count(*) FROM events WHERE id LIKE 'knk_%'"


def report_lines(report: Report) -> list[str]:
    return [one.words for one in report.differences]


async def stripe_copy(shop: Shop) -> list[list[dict[str, Any]]]:
    """Return our copy of Stripe's data, without columns that only we use."""
    return [
        await shop.rows(
            """SELECT stripe_id, status, plan, print_edition, price_amount, current_period_end, cancel_at, ended_at
               FROM subscriptions ORDER BY stripe_id"""
        ),
        await shop.rows("SELECT id, invoice_id, amount, tax FROM payments ORDER BY id"),
        await shop.rows("SELECT stripe_refund_id, payment_id, amount, status FROM refunds ORDER BY stripe_refund_id"),
        await shop.rows("SELECT sub, access FROM entitlements ORDER BY sub"),
    ]


async def test_reconciliation_imports_undelivered_events(shop: Shop) -> None:
    ada, bob = shop.person(), shop.person("bob")
    await shop.subscribe(ada)
    (held,) = (await shop.overview(ada))["subscriptions"]
    opened = (await shop.open_checkout(bob)).json()
    await shop.stripe.put("/_sandbox/settings", json={"loss": 1.0})
    await shop.stripe_post(f"/v1/subscriptions/{held['stripe_id']}", cancel_at_period_end="true")
    await shop.pay_checkout(opened["url"], email="bob@example.com")
    assert not await shop.may_read(bob)

    preview = await reconcile(shop, dry_run=True)
    assert not await shop.may_read(bob)
    report = await reconcile(shop)
    again = await reconcile(shop)

    found = report_lines(report)
    assert set(report_lines(preview)[: len(found)]) == set(found)  # then the rows derived from them
    assert any("customer.subscription.updated): not received" in words for words in report_lines(report))
    assert await shop.may_read(bob)
    assert (await shop.overview(ada))["subscriptions"][0]["cancel_at"] is not None
    assert again.differences == []
    assert again.sweep.counts["subscriptions"] == 2


async def test_reconciliation_repairs_changed_rows_and_reports_each_difference(shop: Shop) -> None:
    ada, bob = shop.person(), shop.person("bob")
    await shop.subscribe(ada)
    await shop.subscribe(bob, print_edition=True)
    (hers,), (his,) = [(await shop.overview(one))["subscriptions"] for one in (ada, bob)]
    (payment,) = (await shop.overview(bob))["payments"]
    refund = await shop.stripe_post("/v1/refunds", payment_intent=payment["id"], amount="500")
    await shop.wait_until_idle()
    right = await stripe_copy(shop)
    quiet = await shop.rows(QUIET)

    untouched = await reconcile(shop)
    assert (untouched.differences, await shop.rows(QUIET)) == ([], quiet)

    await shop.execute(f"UPDATE subscriptions SET status = 'past_due' WHERE stripe_id = '{hers['stripe_id']}'")
    await shop.execute(f"UPDATE subscriptions SET print_edition = false WHERE stripe_id = '{his['stripe_id']}'")
    await shop.execute(f"DELETE FROM payments WHERE id = '{(await shop.overview(ada))['payments'][0]['id']}'")
    await shop.execute("UPDATE refunds SET status = 'pending'")
    report = await reconcile(shop)

    assert report.for_review == []
    assert set(report_lines(report)) == {
        f"subscription {hers['stripe_id']}: past_due here, active at Stripe",
        f"subscription {his['stripe_id']}: without print here, with print at Stripe",
        f"refund {refund['id']}: pending here, succeeded at Stripe",
    }
    assert await stripe_copy(shop) == right
    assert (await reconcile(shop)).differences == []


async def test_reconciliation_stores_cards_that_are_not_stored_yet(shop: Shop) -> None:
    await shop.subscribe(shop.person())
    card = "SELECT card_brand, card_last4, card_country, card_expires_on FROM subscriptions"
    right = await shop.rows(card)
    await shop.execute("UPDATE subscriptions SET card_brand = NULL, card_last4 = NULL")

    report = await reconcile(shop)
    await shop.wait_until_idle()

    assert [line for line in report_lines(report) if "the card that pays differs" in line]
    assert await shop.rows(card) == right
    assert (await reconcile(shop)).differences == []


async def test_reconciliation_finds_lost_payments_of_a_correct_subscription(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (payment,) = (await shop.overview(ada))["payments"]
    refund = await shop.stripe_post("/v1/refunds", payment_intent=payment["id"], amount="500")
    await shop.wait_until_idle()
    right = await stripe_copy(shop)

    await shop.execute("DELETE FROM refunds")
    await shop.execute("DELETE FROM payments")
    report = await reconcile(shop)

    assert report_lines(report) == [
        f"payment {payment['id']}: unknown here, 4900 usd at Stripe",
        f"refund {refund['id']}: unknown here, 500 usd of {payment['id']} succeeded at Stripe",
    ]
    assert await stripe_copy(shop) == right


async def test_staff_see_a_difference_that_a_refetch_cannot_repair(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    await shop.execute("UPDATE subscriptions SET stripe_id = 'sub_of_another_account'")
    await shop.execute("UPDATE subscribers SET stripe_customer_id = 'cus_of_another_account'")
    before = await stripe_copy(shop)

    report = await reconcile(shop)

    assert len(report.for_review) == len(report.differences) == 3
    assert any("who has the customer cus_of_another_account already" in words for words in report_lines(report))
    assert any(w == "subscription sub_of_another_account: active here, unknown at Stripe" for w in report_lines(report))
    assert any("which is not a known customer" in words for words in report_lines(report))
    assert await stripe_copy(shop) == before
    assert await shop.may_read(ada)


async def test_a_killed_reconciliation_resumes_where_it_stopped(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    await shop.execute("UPDATE subscriptions SET status = 'past_due'")
    fault = await shop.add_fault(method="GET", path="/v1/refunds", when="before", action="hold", times=100)
    process = Command(["reconcile", "--json"], environment(shop.settings))
    await wait_until_hit(shop, fault)
    at_once, _, why = await newsstand(shop.settings, "reconcile", "--json")
    process.kill()
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.wait_until("SELECT NOT EXISTS (SELECT FROM leases WHERE key = 'reconcile' AND until > now())")
    await shop.stripe.delete("/_sandbox/requests")
    status, output, _ = await newsstand(shop.settings, "reconcile")
    await shop.wait_until_idle()

    assert status == 0
    assert (at_once, why) == (1, "Another reconciliation is running\n")
    assert "past_due here, active at Stripe" in output
    assert await shop.stripe_requests("GET", "/v1/subscriptions") == []
    assert len(await shop.stripe_requests("GET", "/v1/refunds")) == 1
    (sweep,) = await shop.rows("SELECT finished_at FROM sweeps WHERE by LIKE 'operator:%'")
    assert sweep["finished_at"] is not None
    (held,) = (await shop.overview(ada))["subscriptions"]
    assert held["status"] == "active"


async def test_a_finished_reconciliation_that_is_made_due_again_does_nothing(shop: Shop) -> None:
    await shop.execute(
        """INSERT INTO sweeps (id, kind, by, dry_run, phase, cursor, counts, work_key, due_at, finished_at)
           VALUES ('swp_1', 'reconcile', 'operator:x', false, 'done', '{}', '{}', 'reconcile', now(), now())"""
    )

    await shop.wait_until("SELECT due_at IS NULL FROM sweeps WHERE id = 'swp_1'")


async def test_reconciliation_runs_at_its_scheduled_time(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    await shop.execute("UPDATE subscriptions SET status = 'past_due'")
    await shop.execute(
        """INSERT INTO sweeps (id, kind, by, dry_run, phase, cursor, counts, work_key, due_at)
           VALUES ('swp_1', 'reconcile', 'schedule', false, 'events', '{}', '{}', 'reconcile', now())"""
    )

    await shop.wait_until("SELECT finished_at IS NOT NULL FROM sweeps WHERE id = 'swp_1'")
    await shop.wait_until_idle()

    assert (await shop.overview(ada))["subscriptions"][0]["status"] == "active"


async def test_reconciliation_finds_a_lost_renewal_that_needed_no_payment(shop: Shop) -> None:
    """A promotion or the customer balance can pay a renewal completely, so no payment is missing here."""
    ada = shop.person()
    await shop.subscribe(ada)
    (customer,) = await shop.stripe_customers()
    await shop.stripe_post(f"/v1/customers/{customer['id']}/balance_transactions", amount="-4900", currency="usd")
    await shop.advance_to(START_TIME + timedelta(days=366))
    seen = await shop.overview(ada)
    assert (len(seen["payments"]), len(seen["subscriptions"][0]["terms"])) == (1, 2)
    invoice = seen["subscriptions"][0]["terms"][1]["invoice"]
    right = await shop.rows("SELECT * FROM terms ORDER BY invoice_id")
    assert (await reconcile(shop)).differences == []

    await shop.execute(f"DELETE FROM terms WHERE invoice_id = '{invoice}'")
    preview = await reconcile(shop, dry_run=True)
    assert len(await shop.rows("SELECT 1 FROM terms")) == 1
    report = await reconcile(shop)

    (words,) = report_lines(preview)
    assert words.startswith(f"invoice {invoice}: no term here, paid without a payment at Stripe, from 2027-03-01")
    assert report_lines(report) == [words]
    assert await shop.rows("SELECT * FROM terms ORDER BY invoice_id") == right
    assert (await reconcile(shop)).differences == []


async def test_a_trial_is_no_lost_renewal(shop: Shop) -> None:
    ada = shop.person()
    await start_trial(shop, ada)

    assert (await reconcile(shop)).differences == []
