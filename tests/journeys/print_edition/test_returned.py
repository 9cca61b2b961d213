"""What is returned of renewals that billed print although it had been dropped: once, and nothing that went back already."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest

from app import main
from app.aggregates import credits
from app.db import credits as saved_credits
from app.db import subscriptions
from app.db.engine.session import Session
from app.domain.errors import StripeUnavailable
from app.gateway import subscriptions as at_stripe
from app.services import catalogue
from tests.journeys.disputes.test_disputes import bank_action
from tests.journeys.refunds.test_credits import balance, subscribe_with_credit
from tests.support.crashes import wait_until_hit
from tests.support.print_edition import give_credit, items, put, quote, use_card
from tests.support.shop import START_TIME, Shop

DIGITAL = "newsstand_annual_digital"
RENEWAL = START_TIME.replace(year=2027)


async def _drop_while_stripe_fails(shop: Shop, *, card: str = "pm_card_visa") -> str:
    """Drop print of a new subscription half an hour before it renews, while Stripe can't take it away. Return the fault."""
    await shop.plan_issues(90)
    ada = shop.person()
    await shop.subscribe(ada, print_edition=True)
    await use_card(shop, card)
    await shop.advance_to(RENEWAL - timedelta(minutes=30))
    quoted = await quote(shop, ada)
    fault = await shop.add_fault(method="POST", path="/v1/subscriptions/*", action="status", status=500, times=None)
    answer = await put(shop, ada, enabled=False, amount=quoted["amount"]["amount"])
    assert (answer.status_code, answer.json()["status"]) == (202, "processing"), answer.text
    await shop.postpone("print_changes")
    return fault


async def _complete(shop: Shop, fault: str) -> None:
    """Let Stripe respond again, and complete the change."""
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.execute("UPDATE print_changes SET due_at = now()")
    await shop.wait_until("SELECT bool_and(status = 'completed') FROM print_changes")
    await shop.wait_until_idle()


async def _renewals(shop: Shop) -> list[str]:
    """Return the invoices of the renewals, the earliest first."""
    listed = (await shop.stripe_get("/v1/invoices"))["data"]
    return [one["id"] for one in reversed(listed) if one["billing_reason"] == "subscription_cycle"]


async def test_a_share_that_staff_returned_outside_stripe_is_not_refunded_again(shop: Shop) -> None:
    fault = await _drop_while_stripe_fails(shop)
    await shop.advance_to(RENEWAL + timedelta(hours=3))
    (renewal,) = await _renewals(shop)
    note = {"invoice": renewal, "amount": "2400", "out_of_band_amount": "2400"}
    await shop.stripe_post("/v1/credit_notes", **note)
    await shop.wait_until_idle()

    await _complete(shop, fault)

    assert (await shop.stripe_get("/v1/refunds"))["data"] == []
    assert await items(shop) == [DIGITAL]
    (_, renewed) = await shop.rows("SELECT copies::text, refunded_as FROM terms ORDER BY starts_at")
    assert tuple(renewed.values()) == ("{}", None)


async def test_a_renewal_that_a_lost_dispute_took_is_not_refunded(shop: Shop) -> None:
    fault = await _drop_while_stripe_fails(shop)
    await shop.advance_to(RENEWAL + timedelta(hours=3))
    (charge, _) = (await shop.stripe_get("/v1/charges"))["data"]
    dispute = await bank_action(shop, f"charges/{charge['id']}/dispute")
    await bank_action(shop, f"disputes/{dispute['id']}", status="lost")

    await _complete(shop, fault)

    assert (await shop.stripe_get("/v1/refunds"))["data"] == []
    (_, renewed) = await shop.rows("SELECT refunded_as FROM terms ORDER BY starts_at")
    assert renewed["refunded_as"] == "dispute_lost"


async def test_two_renewals_that_billed_dropped_print_are_both_returned(shop: Shop) -> None:
    fault = await _drop_while_stripe_fails(shop)
    await give_credit(shop, 73_00 + 10_00)  # pays the first renewal, and a part of the second
    await shop.advance_to(RENEWAL + timedelta(hours=3))
    await shop.advance_to(RENEWAL.replace(year=2028) + timedelta(hours=3))
    first, second = await _renewals(shop)

    await _complete(shop, fault)

    (refund,) = (await shop.stripe_get("/v1/refunds"))["data"]
    notes = (await shop.stripe_get("/v1/credit_notes"))["data"]
    returned = {one["invoice"]: one["amount"] for one in notes if one["customer_balance_transaction"] is not None}
    assert returned[first] == 24_00
    assert 24_00 - 1 <= refund["amount"] + returned[second] <= 24_01
    terms = await shop.rows("SELECT copies::text FROM terms ORDER BY starts_at")
    assert [one["copies"] for one in terms[1:]] == ["{}", "{}"]


async def test_a_drop_and_the_end_at_once_return_no_more_than_the_balance_paid(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person()
    await subscribe_with_credit(shop, ada, 20_00, print_edition=True)
    quoted = await quote(shop, ada)
    fault = await shop.add_fault(method="POST", path="/v1/credit_notes", when="before", action="hold", times=1)

    click = asyncio.create_task(put(shop, ada, enabled=False, amount=quoted["amount"]["amount"]))
    await wait_until_hit(shop, fault)  # the drop is about to return its share of the balance
    (charge,) = (await shop.stripe_get("/v1/charges"))["data"]
    await shop.stripe_post("/v1/refunds", charge=charge["id"])  # which ends the subscription
    await shop.wait_until("SELECT closed_at IS NOT NULL OR last_error LIKE '%same request%' FROM subscriptions")
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await click
    await shop.execute("UPDATE print_changes SET due_at = now() WHERE due_at IS NOT NULL")
    await shop.execute("UPDATE subscriptions SET due_at = now() WHERE due_at IS NOT NULL")
    await shop.wait_until("SELECT closed_at IS NOT NULL FROM subscriptions")
    await shop.wait_until_idle()

    assert await balance(shop, ada) == 20_00
    share = quoted["to_balance"]["amount"]
    assert sorted(await _returned(shop)) == [share, 20_00 - share]


async def test_two_returns_of_one_invoice_at_once_return_what_is_due_together(shop: Shop) -> None:
    await shop.plan_issues(50)
    await subscribe_with_credit(shop, shop.person(), 20_00, print_edition=True)
    (row,) = await shop.rows("SELECT id, stripe_id FROM subscriptions")
    fault = await shop.add_fault(method="POST", path="/v1/credit_notes", when="before", action="hold", times=1)

    async with main.open_context(shop.settings, catalogue.load(Path(shop.settings.catalogue))) as ctx:
        async with ctx.sessions.begin() as session:
            held = await subscriptions.by_id(session, row["id"])
        assert held is not None
        (invoice,) = (await at_stripe.fetch(ctx.gateway, row["stripe_id"])).invoices

        async def give_back(total: int) -> None:
            """Return as much as is missing to a total."""

            async def due(session: Session) -> int:
                return total - sum(one.amount for one in await saved_credits.of_subscription(session, row["id"]))

            await credits.return_to_balance(ctx.sessions, ctx.gateway, held, invoice, due, reason="test")

        part = asyncio.create_task(give_back(6_00))
        await wait_until_hit(shop, fault)
        with pytest.raises(StripeUnavailable):  # the part is on its way, and is repeated before the rest
            await give_back(20_00)
        await shop.stripe.delete(f"/_sandbox/faults/{fault}")
        await part
        await give_back(20_00)
        await give_back(20_00)
    await shop.wait_until_idle()

    assert sorted(await _returned(shop)) == [6_00, 14_00]


async def _returned(shop: Shop) -> list[int]:
    """Return the amounts of the credit notes that gave the balance back what it had paid."""
    notes = (await shop.stripe_get("/v1/credit_notes"))["data"]
    return [one["amount"] for one in notes if one["customer_balance_transaction"] is not None]


async def test_print_of_an_uncollectible_renewal_is_returned_when_it_is_paid_later(shop: Shop) -> None:
    fault = await _drop_while_stripe_fails(shop, card="pm_card_chargeCustomerFail")
    await shop.advance_to(RENEWAL + timedelta(hours=3))
    (renewal,) = await _renewals(shop)
    await shop.stripe_post(f"/v1/invoices/{renewal}/mark_uncollectible")
    await _complete(shop, fault)
    (completed,) = await shop.rows("SELECT due_at FROM print_changes")

    (customer,) = await shop.stripe_customers()
    card = await shop.stripe_post("/v1/payment_methods/pm_card_visa/attach", customer=customer["id"])
    await shop.stripe_post(f"/v1/invoices/{renewal}/pay", payment_method=card["id"])
    await shop.wait_until_idle()

    assert completed["due_at"] is None
    (refund,) = (await shop.stripe_get("/v1/refunds"))["data"]
    assert (refund["amount"], refund["metadata"]["newsstand_basis"]) == (24_00, "print_dropped")
    (_, renewed) = await shop.rows("SELECT copies::text, refunded_as FROM terms ORDER BY starts_at")
    assert tuple(renewed.values()) == ("{}", None)
    (row,) = await shop.rows("SELECT status, due_at FROM print_changes")
    assert tuple(row.values()) == ("completed", None)


async def test_each_return_to_the_balance_is_in_the_audit_log(shop: Shop) -> None:
    """A change of print and the end of the subscription return parts of the same invoice, one after the other."""
    await shop.plan_issues(50)
    ada = shop.person()
    await subscribe_with_credit(shop, ada, 20_00, print_edition=True)
    quoted = await quote(shop, ada)
    await put(shop, ada, enabled=False, amount=quoted["amount"]["amount"])
    await shop.wait_until_idle()
    (charge,) = (await shop.stripe_get("/v1/charges"))["data"]
    await shop.stripe_post("/v1/refunds", charge=charge["id"])
    await shop.wait_until("SELECT closed_at IS NOT NULL FROM subscriptions")
    await shop.wait_until_idle()

    recorded = await shop.rows("SELECT after FROM audit_log WHERE action = 'invoice.return_to_balance' ORDER BY id")
    assert (
        sorted(json.loads(row["after"])["amount"] for row in recorded) == sorted(await _returned(shop)) == [657, 1343]
    )
