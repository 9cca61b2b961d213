"""The service is killed between the phases of a refund, and comes back: one refund, whatever the moment."""

import asyncio

import pytest

from tests.support.killing import killed_and_back
from tests.support.shop import Shop

MOMENTS = [
    pytest.param("POST", "/v1/refunds", "before", id="the intent is stored, and Stripe has not done it"),
    pytest.param("POST", "/v1/refunds", "after", id="Stripe has done it, and nothing is recorded"),
    pytest.param("POST", "/v1/credit_notes", "before", id="access has ended, and there is no credit note"),
    pytest.param("POST", "/v1/credit_notes", "after", id="the credit note is made, and not recorded"),
    pytest.param("DELETE", "/v1/subscriptions/*", "before", id="the cancellation is ordered, and not done"),
    pytest.param("DELETE", "/v1/subscriptions/*", "after", id="the cancellation is done, and not recorded"),
]


@pytest.mark.parametrize(("method", "path", "when"), MOMENTS)
async def test_killed_between_two_phases_a_refund_is_finished_once(
    apart: Shop, method: str, path: str, when: str
) -> None:
    ada = apart.person()
    await apart.subscribes(ada)
    payment = (await apart.overview(ada))["payments"][0]["id"]
    fault = await apart.fault(method=method, path=path, when=when, action="hold", times=1)

    click = asyncio.create_task(apart.refunds(payment))
    await killed_and_back(apart, fault, click=click)
    again = await apart.refunds(payment)
    await apart.settles()

    assert again.status_code in {201, 202} or again.json()["code"] == "idempotency_key_in_use", again.text
    (given,) = (await apart.at_stripe("/v1/refunds"))["data"]
    assert given["amount"] == 49_00
    (note,) = (await apart.at_stripe("/v1/credit_notes"))["data"]
    assert note["refunds"][0]["refund"] == given["id"]
    (ours,) = await apart.rows("SELECT status, amount, stripe_refund_id, credit_note_id FROM refunds")
    assert tuple(ours.values()) == ("succeeded", 49_00, given["id"], note["id"])
    (held,) = (await apart.overview(ada))["subscriptions"]
    assert (await apart.at_stripe(f"/v1/subscriptions/{held['stripe_id']}"))["status"] == "canceled"
    assert (await apart.check(ada))["reason"] == "refunded"
    confirmed = await apart.rows("SELECT count(*) FROM audit_log WHERE action = 'refund.confirmed'")
    assert confirmed[0]["count"] == 1


async def test_killed_while_a_reader_subscribes_nothing_is_made_twice(apart: Shop) -> None:
    ada = apart.person()
    for method, path in (("POST", "/v1/customers"), ("POST", "/v1/checkout/sessions")):
        fault = await apart.fault(method=method, path=path, when="after", action="hold", times=1)
        click = asyncio.create_task(apart.opens_checkout(ada))
        await killed_and_back(apart, fault, click=click)

    await apart.subscribes(ada)

    assert len(await apart.customers()) == 1
    assert len((await apart.at_stripe("/v1/checkout/sessions"))["data"]) == 1
    assert await apart.may_read(ada)


async def test_an_event_that_was_answered_200_is_applied_though_the_service_is_killed_at_once(apart: Shop) -> None:
    ada = apart.person()
    opened = (await apart.opens_checkout(ada)).json()
    fault = await apart.fault(method="GET", path="/v1/subscriptions/*", when="before", action="hold", times=1)
    await apart.fills_in(opened["url"])
    await killed_and_back(apart, fault)
    await apart.settles()

    assert await apart.may_read(ada)
