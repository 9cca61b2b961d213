"""
The service is killed between the phases of a change and restarted: the change is whole or absent, and paid once. No copy is
sent twice, or to a reader who has dropped print.
"""

import asyncio
from datetime import UTC, datetime

import pytest

from tests.support.crashes import kill_and_restart
from tests.support.labels import HOME, freeze, labels, try_to_freeze
from tests.support.print_edition import change, items, print_invoices, put
from tests.support.shop import Shop

ISSUE = 5  # of the planned ones
CUTOFF = datetime(2026, 3, 9, 5, tzinfo=UTC)
DIGITAL, PRINT = "newsstand_annual_digital", "newsstand_annual_print"
ADDING = [
    pytest.param("/v1/invoices", "before", id="intent stored, no draft"),
    pytest.param("/v1/invoices", "after", id="drafted, not recorded"),
    pytest.param("/v1/invoiceitems", "after", id="line added, not recorded"),
    pytest.param("/v1/invoices/*/finalize", "before", id="draft checked, not finalized"),
    pytest.param("/v1/invoices/*/finalize", "after", id="finalized, not recorded"),
    pytest.param("/v1/invoices/*/pay", "before", id="finalized, not paid"),
    pytest.param("/v1/invoices/*/pay", "after", id="paid, not recorded"),
    pytest.param("/v1/subscriptions/*", "before", id="paid, print not joined"),
    pytest.param("/v1/subscriptions/*", "after", id="joined, not recorded"),
]
DROPPING = [
    pytest.param("/v1/subscriptions/*", "before", id="intent stored, print not taken away"),
    pytest.param("/v1/subscriptions/*", "after", id="taken away, not recorded"),
    pytest.param("/v1/refunds", "before", id="taken away, not refunded"),
    pytest.param("/v1/refunds", "after", id="refunded, not recorded"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("path", "when"), ADDING)
async def test_an_addition_that_is_killed_is_completed_and_paid_once(killable_shop: Shop, path: str, when: str) -> None:
    shop = killable_shop
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada)
    fault = await shop.add_fault(method="POST", path=path, when=when, action="hold", times=1)

    click = asyncio.create_task(put(shop, ada, enabled=True, amount=23_00, address=HOME))
    await kill_and_restart(shop, fault, click=click)
    await shop.wait_until("SELECT bool_and(status = 'completed') FROM print_changes")
    await shop.wait_until_idle()

    (invoice,) = await print_invoices(shop)
    assert (invoice["status"], invoice["amount_paid"]) == ("paid", 23_00)
    assert await items(shop) == [DIGITAL, PRINT]
    assert len(await shop.rows("SELECT * FROM payments")) == 2
    (term,) = await shop.rows("SELECT print_edition FROM terms")
    assert term["print_edition"]
    assert len(await shop.rows("SELECT * FROM audit_log WHERE action = 'print_edition.added'")) == 1
    again = await put(shop, ada, enabled=True, amount=23_00, address=HOME)
    assert again.status_code == 200 or again.json()["code"] == "idempotency_key_in_use", again.text
    await shop.advance_to(CUTOFF)
    await freeze(shop, ISSUE)
    assert len(await labels(shop, ISSUE)) == 1
    assert (await try_to_freeze(shop, ISSUE, supplement=True)).json()["code"] == "nothing_to_add"


@pytest.mark.slow
async def test_an_addition_killed_after_its_payment_failed_is_absent(killable_shop: Shop) -> None:
    shop = killable_shop
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada)
    (customer,) = await shop.stripe_customers()
    card = await shop.stripe_post("/v1/payment_methods/pm_card_chargeCustomerFail/attach", customer=customer["id"])
    (held,) = (await shop.stripe_get("/v1/subscriptions", customer=customer["id"]))["data"]
    await shop.stripe_post(f"/v1/subscriptions/{held['id']}", default_payment_method=card["id"])
    fault = await shop.add_fault(method="POST", path="/v1/invoices/*/void", when="before", action="hold", times=1)

    click = asyncio.create_task(put(shop, ada, enabled=True, amount=23_00, address=HOME))
    await kill_and_restart(shop, fault, click=click)
    await shop.wait_until("SELECT bool_and(status = 'failed') FROM print_changes")
    await shop.wait_until_idle()

    (invoice,) = await print_invoices(shop)
    assert invoice["status"] == "void"
    assert await items(shop) == [DIGITAL]
    (term,) = await shop.rows("SELECT print_edition FROM terms")
    assert not term["print_edition"]


@pytest.mark.slow
@pytest.mark.parametrize(("path", "when"), DROPPING)
async def test_a_removal_that_is_killed_is_completed_and_refunded_once(
    killable_shop: Shop, path: str, when: str
) -> None:
    shop = killable_shop
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada)
    await change(shop, ada, enabled=True, address=HOME)
    fault = await shop.add_fault(method="POST", path=path, when=when, action="hold", times=1)

    click = asyncio.create_task(put(shop, ada, enabled=False, amount=23_00, key="print-2"))
    await kill_and_restart(shop, fault, click=click)
    await shop.wait_until("SELECT bool_and(status = 'completed') FROM print_changes")
    await shop.wait_until("SELECT bool_and(status = 'succeeded') FROM refunds")
    await shop.wait_until_idle()

    (refund,) = (await shop.stripe_get("/v1/refunds"))["data"]
    assert refund["amount"] == 23_00
    assert await items(shop) == [DIGITAL]
    (term,) = await shop.rows("SELECT copies::text AS copies FROM terms")
    assert term["copies"] == "{}"
    assert await shop.may_read(ada)
    await shop.advance_to(CUTOFF)
    assert (await freeze(shop, ISSUE))["counts"]["copies"] == 0
    assert (await try_to_freeze(shop, ISSUE, supplement=True)).json()["code"] == "nothing_to_add"
