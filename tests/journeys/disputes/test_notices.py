"""Readers are told about disputes and failed refunds, in the words of the same reason as the access checks."""

from datetime import timedelta
from typing import Any

from tests.journeys.disputes.test_disputes import (
    REFUND_FAILS,
    access_reason,
    bank_action,
    lenient_catalogue,
    lenient_shop,
    open_dispute,
    subscribe,
)
from tests.support.shop import START_TIME, Person, Shop

__all__ = ["lenient_catalogue", "lenient_shop"]


async def mine(shop: Shop, by: Person) -> dict[str, Any]:
    return dict((await shop.get("/v1/me/subscription", by)).json())


async def preview(shop: Shop, by: Person) -> dict[str, Any]:
    return dict((await shop.get("/v1/me/subscription/cancel-preview", by)).json())


async def test_a_reader_is_notified_of_a_disputed_payment(shop: Shop) -> None:
    ada = shop.person()
    payment = await subscribe(shop, ada)
    before = await preview(shop, ada)
    dispute = await open_dispute(shop, payment)

    told, shown = await mine(shop, ada), await preview(shop, ada)
    assert await access_reason(shop, ada) == (False, told["notice"]["code"]), "the gate gives the same reason"
    assert told["notice"]["text"] == (
        "Your bank is disputing your payment, so your access is on hold until the dispute is settled."
    )
    assert told["guarantee"]["reason"] == "payment_disputed"
    assert shown["notice"] == told["notice"]
    promised = [shown["period_end"][name] for name in ("access_until", "issues_kept", "editions_until")]
    assert promised == [None, None, None]

    await bank_action(shop, f"disputes/{dispute}", status="won")
    assert (await mine(shop, ada))["notice"] is None
    assert await preview(shop, ada) == before

    again = await open_dispute(shop, payment)
    await bank_action(shop, f"disputes/{again}", status="lost")
    told = await mine(shop, ada)
    assert await access_reason(shop, ada) == (False, told["notice"]["code"])
    assert "bank returned your payment" in told["notice"]["text"]


async def test_a_reader_who_keeps_access_is_notified_of_an_inquiry(shop: Shop) -> None:
    ada = shop.person()
    payment = await subscribe(shop, ada)
    before = await preview(shop, ada)

    await open_dispute(shop, payment, kind="inquiry")

    told, shown = await mine(shop, ada), await preview(shop, ada)
    assert (told["notice"]["code"], told["notice"]["text"]) == (
        "payment_disputed",
        "Your bank has asked us about one of your payments. You keep access.",
    )
    assert shown["period_end"] == before["period_end"]


async def test_a_refund_that_failed_is_not_shown_as_refunded(shop: Shop) -> None:
    await shop.stripe.put("/_sandbox/settings", json={"refund_seconds": 7 * 86400})
    ada = shop.person()
    payment = await subscribe(shop, ada, card=REFUND_FAILS)
    assert (await shop.request_refund(payment)).status_code == 201
    await shop.wait_until_idle()
    assert (await mine(shop, ada))["notice"]["code"] == "ended"
    assert await access_reason(shop, ada) == (False, "refunded")

    await shop.advance_to(START_TIME + timedelta(days=90))  # beyond the guarantee

    told = await mine(shop, ada)
    assert told["notice"]["code"] == "refund_failed"
    assert await access_reason(shop, ada) == (False, "refund_failed")
    (held,) = (await shop.overview(ada))["subscriptions"]
    assert held["terms"][0]["refund_failed"] is True
    quote = (await shop.get("/v1/me/refund-quote", ada)).json()
    assert (quote["allowed"], quote["until"], quote["ends_access"]) == (True, None, False)
    assert quote["effect"] == "Only the payment is refunded. The subscription has already ended."
    assert told["guarantee"]["until"] is None, "the date in the past is not offered"
    assert (await shop.request_refund(payment, key="again")).status_code == 201
    assert await access_reason(shop, ada) == (False, "refunded")
    assert (await mine(shop, ada))["notice"]["code"] == "ended"


async def test_a_reader_whose_access_was_restored_sees_its_end(lenient_shop: Shop) -> None:
    shop = lenient_shop
    ada = shop.person()
    payment = await subscribe(shop, ada, card=REFUND_FAILS)
    assert (await shop.request_refund(payment)).status_code == 201
    await shop.wait_until_idle()

    await shop.advance_to(START_TIME + timedelta(days=8))

    told = await mine(shop, ada)
    assert await access_reason(shop, ada) == (True, "paid_term")
    assert (told["notice"]["code"], told["notice"]["until"]) == ("refund_failed", "2027-03-01T18:00:00Z")
