"""The service is killed between the phases of a refund and restarted; the refund is paid once."""

import asyncio

import pytest

from tests.support.crashes import kill_and_restart
from tests.support.shop import Shop

STEPS = [
    pytest.param("POST", "/v1/refunds", "before", id="intent stored, not paid"),
    pytest.param("POST", "/v1/refunds", "after", id="paid, not recorded"),
    pytest.param("POST", "/v1/credit_notes", "before", id="access ended, no credit note"),
    pytest.param("POST", "/v1/credit_notes", "after", id="credit note created, not recorded"),
    pytest.param("DELETE", "/v1/subscriptions/*", "before", id="cancellation ordered, not done"),
    pytest.param("DELETE", "/v1/subscriptions/*", "after", id="canceled, not recorded"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path", "when"), STEPS)
async def test_a_refund_is_completed_once_if_killed_between_two_phases(
    killable_shop: Shop, method: str, path: str, when: str
) -> None:
    ada = killable_shop.person()
    await killable_shop.subscribe(ada)
    payment = (await killable_shop.overview(ada))["payments"][0]["id"]
    fault = await killable_shop.add_fault(method=method, path=path, when=when, action="hold", times=1)

    click = asyncio.create_task(killable_shop.request_refund(payment))
    await kill_and_restart(killable_shop, fault, click=click)
    again = await killable_shop.request_refund(payment)
    await killable_shop.wait_until_idle()

    assert again.status_code in {201, 202} or again.json()["code"] == "idempotency_key_in_use", again.text
    (refund,) = (await killable_shop.stripe_get("/v1/refunds"))["data"]
    assert refund["amount"] == 49_00
    (note,) = (await killable_shop.stripe_get("/v1/credit_notes"))["data"]
    assert note["refunds"][0]["refund"] == refund["id"]
    (ours,) = await killable_shop.rows("SELECT status, amount, stripe_refund_id, credit_note_id FROM refunds")
    assert tuple(ours.values()) == ("succeeded", 49_00, refund["id"], note["id"])
    (held,) = (await killable_shop.overview(ada))["subscriptions"]
    assert (await killable_shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}"))["status"] == "canceled"
    assert (await killable_shop.check(ada))["reason"] == "refunded"
    confirmed = await killable_shop.rows("SELECT count(*) FROM audit_log WHERE action = 'refund.confirmed'")
    assert confirmed[0]["count"] == 1


async def test_nothing_is_created_twice_if_killed_while_a_reader_subscribes(killable_shop: Shop) -> None:
    ada = killable_shop.person()
    for method, path in (("POST", "/v1/customers"), ("POST", "/v1/checkout/sessions")):
        fault = await killable_shop.add_fault(method=method, path=path, when="after", action="hold", times=1)
        click = asyncio.create_task(killable_shop.open_checkout(ada))
        await kill_and_restart(killable_shop, fault, click=click)

    await killable_shop.subscribe(ada)

    assert len(await killable_shop.stripe_customers()) == 1
    assert len((await killable_shop.stripe_get("/v1/checkout/sessions"))["data"]) == 1
    assert await killable_shop.may_read(ada)


async def test_an_acknowledged_event_is_applied_if_the_service_is_killed(
    killable_shop: Shop,
) -> None:
    ada = killable_shop.person()
    opened = (await killable_shop.open_checkout(ada)).json()
    fault = await killable_shop.add_fault(
        method="GET", path="/v1/subscriptions/*", when="before", action="hold", times=1
    )
    await killable_shop.pay_checkout(opened["url"])
    await kill_and_restart(killable_shop, fault)
    await killable_shop.wait_until_idle()

    assert await killable_shop.may_read(ada)
