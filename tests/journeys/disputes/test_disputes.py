"""Disputes: the disputed term is suspended, restored or ended, and nothing else changes."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.shop import CATALOGUE, START_TIME, VISA, Person, Shop, open_shop

REFUND_FAILS = "4000000000005126"
WARNS = "4000000000005423"


async def subscribe(shop: Shop, by: Person, *, card: str = VISA) -> str:
    """Subscribe a reader, and return the ID of their payment."""
    opened = await shop.open_checkout(by)
    assert opened.status_code == 201, opened.text
    paid = await shop.pay_checkout(opened.json()["url"], card=card)
    assert paid.status_code == 303, paid.text
    await shop.wait_until_idle()
    return str((await shop.overview(by))["payments"][-1]["id"])


async def charge_of(shop: Shop, payment: str) -> str:
    """Return the charge of a payment."""
    return str((await shop.stripe_get(f"/v1/payment_intents/{payment}"))["latest_charge"])


async def bank_action(shop: Shop, path: str, **wanted: object) -> dict[str, Any]:
    """Trigger an action of a bank."""
    done = await shop.stripe.post(f"/_sandbox/{path}", json=wanted)
    assert done.status_code == 200, done.text
    await shop.wait_until_idle()
    return dict(done.json())


async def open_dispute(shop: Shop, payment: str, **wanted: object) -> str:
    """Dispute a payment; return the ID of the dispute."""
    return str((await bank_action(shop, f"charges/{await charge_of(shop, payment)}/dispute", **wanted))["id"])


async def support_list(shop: Shop, path: str, **query: str) -> list[dict[str, Any]]:
    """Return a list of the support API."""
    answer = await shop.get(f"/v1/support/{path}", shop.agent, **query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


async def policy_entries(shop: Shop) -> list[tuple[str, str, str]]:
    """Return the audit log entries of automatic actions."""
    rows = await shop.rows("SELECT action, reason, object_id FROM audit_log WHERE actor = 'policy' ORDER BY id")
    return [tuple(row.values()) for row in rows]


async def access_reason(shop: Shop, by: Person) -> tuple[bool, str]:
    """Return whether a reader has access, and why."""
    answer = await shop.check(by)
    return answer["allowed"], answer["reason"]


async def subscription_of(shop: Shop, by: Person) -> dict[str, Any]:
    """Return a reader's subscription at Stripe."""
    (held,) = (await shop.overview(by))["subscriptions"]
    return await shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}")


async def test_a_won_dispute_restores_access_in_full(shop: Shop) -> None:
    ada, bea = shop.person(), shop.person("bea")
    await subscribe(shop, bea)
    payment = await subscribe(shop, ada)
    granted = await shop.check(ada)

    dispute = await open_dispute(shop, payment, reason="fraudulent")

    assert await access_reason(shop, ada) == (False, "dispute_open")
    assert (await shop.overview(ada))["access"]["archive"]["reason"] == "dispute_open"
    assert await shop.may_read(bea)
    (shown,) = await support_list(shop, "disputes")
    assert (shown["id"], shown["status"], shown["payment"], shown["open"]) == (dispute, "needs_response", payment, True)
    assert shown["due_by"] == (START_TIME + timedelta(days=9)).isoformat().replace("+00:00", "Z")
    quote = await shop.quote(payment)
    assert (quote["allowed"], quote["reason"]) == (False, "payment_disputed")
    refused = await shop.request_refund(payment)
    assert (refused.status_code, refused.json()["code"]) == (409, "payment_disputed")
    assert "newsstand_open_disputes 1.0" in (await shop.http.get("/metrics")).text

    await bank_action(shop, f"disputes/{dispute}", status="won")

    assert await shop.check(ada) == granted
    assert (await subscription_of(shop, ada))["status"] == "active"
    assert await support_list(shop, "disputes") == []
    assert [d["status"] for d in await support_list(shop, "disputes", state="closed")] == ["won"]
    assert await policy_entries(shop) == [
        ("access.suspended", "dispute_open", payment),
        ("access.restored", "dispute_over", payment),
    ]
    assert (await shop.request_refund(payment, key="after-all")).status_code == 201


async def test_a_lost_dispute_ends_the_term_and_the_subscription(shop: Shop) -> None:
    ada = shop.person()
    payment = await subscribe(shop, ada)
    dispute = await open_dispute(shop, payment)

    await bank_action(shop, f"disputes/{dispute}", status="lost")

    assert await access_reason(shop, ada) == (False, "dispute_lost")
    (held,) = (await shop.overview(ada))["subscriptions"]
    assert (held["ended_by"], held["terms"][0]["refunded_as"]) == ("dispute_lost", "dispute_lost")
    assert (await subscription_of(shop, ada))["status"] == "canceled"
    refused = await shop.request_refund(payment)
    assert (refused.status_code, refused.json()["code"]) == (409, "payment_disputed")
    assert (await shop.stripe_get("/v1/refunds"))["data"] == []
    # An appeal changes nothing by itself: the reader knows that access ended, and staff see the appeal.
    await bank_action(shop, f"disputes/{dispute}", status="appeal_under_review")
    await bank_action(shop, f"disputes/{dispute}", status="won")
    assert await access_reason(shop, ada) == (False, "dispute_lost")
    (item,) = await support_list(shop, "attention")
    assert (item["id"], item["why"]) == (dispute, "won_after_lost")
    dismissal = {"reason": "comped by hand"}
    assert (await shop.post(f"/v1/support/attention/{dispute}/dismiss", shop.agent, dismissal)).status_code == 204
    assert await support_list(shop, "attention") == []
    assert (await shop.post(f"/v1/support/attention/{dispute}/dismiss", shop.agent, dismissal)).status_code == 404


async def test_a_dispute_lost_after_a_renewal_ends_only_the_term_of_its_payment(shop: Shop) -> None:
    ada = shop.person()
    payment = await subscribe(shop, ada)
    await shop.advance_to(START_TIME + timedelta(days=360))
    dispute = await open_dispute(shop, payment)
    assert await access_reason(shop, ada) == (False, "dispute_open")
    await shop.advance_to(START_TIME + timedelta(days=370))
    assert await access_reason(shop, ada) == (True, "paid_term"), "the renewal was paid and is not disputed"

    await bank_action(shop, f"disputes/{dispute}", status="lost")

    assert await access_reason(shop, ada) == (True, "paid_term")
    assert (await subscription_of(shop, ada))["status"] == "canceled"
    assert (await shop.stripe_get("/v1/refunds"))["data"] == []
    await shop.advance_to(START_TIME + timedelta(days=365 * 2) - timedelta(hours=1))
    assert await shop.may_read(ada)
    await shop.advance_to(START_TIME + timedelta(days=365 * 2 + 1))
    assert not await shop.may_read(ada), "the subscription does not renew"
    assert len((await shop.overview(ada))["payments"]) == 2


async def test_an_inquiry_keeps_access_and_allows_a_refund(shop: Shop) -> None:
    ada = shop.person()
    payment = await subscribe(shop, ada)
    inquiry = await open_dispute(shop, payment, kind="inquiry")
    assert await access_reason(shop, ada) == (True, "paid_term")
    (shown,) = await support_list(shop, "disputes")
    assert (shown["status"], shown["refundable"]) == ("warning_needs_response", True)

    refund = await shop.request_refund(payment)
    await shop.wait_until_idle()
    await bank_action(shop, f"disputes/{inquiry}", status="warning_closed")

    assert refund.status_code == 201, refund.text
    assert await access_reason(shop, ada) == (False, "refunded")
    assert [r["amount"] for r in (await shop.stripe_get("/v1/refunds"))["data"]] == [49_00]
    assert await support_list(shop, "attention") == []


async def test_an_inquiry_suspends_access_when_it_becomes_a_chargeback(shop: Shop) -> None:
    ada = shop.person()
    inquiry = await open_dispute(shop, await subscribe(shop, ada), kind="inquiry")

    await bank_action(shop, f"disputes/{inquiry}", status="needs_response")
    suspended = await access_reason(shop, ada)
    await bank_action(shop, f"disputes/{inquiry}", status="prevented")

    assert suspended == (False, "dispute_open")
    assert await access_reason(shop, ada) == (True, "paid_term")


async def test_a_fraud_warning_causes_one_refund_and_one_cancellation(shop: Shop) -> None:
    ada = shop.person()
    await shop.stripe.put("/_sandbox/settings", json={"duplicates": 1.0})
    payment = await subscribe(shop, ada, card=WARNS)
    await shop.wait_until_idle()

    assert [r["amount"] for r in (await shop.stripe_get("/v1/refunds"))["data"]] == [49_00]
    assert (await subscription_of(shop, ada))["status"] == "canceled"
    assert not await shop.may_read(ada)
    (refund,) = (await shop.overview(ada))["refunds"]
    assert (refund["basis"], refund["status"], refund["payment"]) == ("fraud_warning", "succeeded", payment)
    assert [action for action, _, _ in await policy_entries(shop)] == [
        "refund.requested",
        "fraud_warning.acted",
        "refund.confirmed",
    ]
    again = await shop.stripe.post(f"/_sandbox/charges/{await charge_of(shop, payment)}/warn", json={})
    assert again.json()["actionable"] is False
    await shop.wait_until_idle()
    (_, nothing) = await shop.rows("SELECT acted_as FROM fraud_warnings ORDER BY created_at, acted_as NULLS LAST")
    assert nothing["acted_as"] is None
    assert await support_list(shop, "attention") == []


@pytest.fixture
async def slow_refund_shop(shop: Shop) -> Shop:
    """Provide a shop whose refunds fail after a week."""
    await shop.stripe.put("/_sandbox/settings", json={"refund_seconds": 7 * 86400})
    return shop


async def test_a_refund_that_fails_after_a_week_can_be_repeated(slow_refund_shop: Shop) -> None:
    ada = slow_refund_shop.person()
    payment = await subscribe(slow_refund_shop, ada, card=REFUND_FAILS)
    assert (await slow_refund_shop.request_refund(payment)).status_code == 201
    await slow_refund_shop.wait_until_idle()
    assert await support_list(slow_refund_shop, "attention") == []

    await slow_refund_shop.advance_to(START_TIME + timedelta(days=8))

    (item,) = await support_list(slow_refund_shop, "attention")
    assert (item["kind"], item["payment"], item["why"]) == ("refund_failed", payment, "expired_or_canceled_card")
    assert 'newsstand_attention{kind="refund_failed"} 1.0' in (await slow_refund_shop.http.get("/metrics")).text
    assert await access_reason(slow_refund_shop, ada) == (False, "refund_failed"), "as the reader is notified"
    failed = await slow_refund_shop.rows("SELECT after FROM audit_log WHERE action = 'refund.failed'")
    assert '"access": "ended"' in failed[0]["after"]
    assert (await slow_refund_shop.request_refund(payment, key="again")).status_code == 201
    await slow_refund_shop.wait_until_idle()
    assert await support_list(slow_refund_shop, "attention") == []


@pytest.fixture
def lenient_catalogue(tmp_path: Path) -> Path:
    """Return a catalogue that keeps access until a dispute is decided."""
    path = tmp_path / "catalogue.toml"
    text = CATALOGUE.read_text()
    for old, new in (('"suspend"', '"keep"'), ('g = "refund"', 'g = "keep"'), ('"ended"', '"restore"')):
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path


@pytest.fixture
async def lenient_shop(database: str, sandbox: Any, issuer: Any, lenient_catalogue: Path) -> AsyncIterator[Shop]:
    """Provide a shop with that catalogue."""
    async with open_shop(database, sandbox, issuer, catalogue=lenient_catalogue) as opened:
        await opened.stripe.put("/_sandbox/settings", json={"refund_seconds": 7 * 86400})
        yield opened


async def test_a_policy_can_keep_access_during_disputes(lenient_shop: Shop) -> None:
    shop = lenient_shop
    ada, bea, cyd = (shop.person(name) for name in ("ada", "bea", "cyd"))
    disputed = await open_dispute(shop, await subscribe(shop, ada))
    await subscribe(shop, bea, card=WARNS)
    payment = await subscribe(shop, cyd, card=REFUND_FAILS)
    assert (await shop.request_refund(payment)).status_code == 201
    await shop.wait_until_idle()
    assert await access_reason(shop, ada) == (True, "paid_term")
    assert await access_reason(shop, bea) == (True, "paid_term")
    assert await access_reason(shop, cyd) == (False, "refunded")

    await shop.advance_to(START_TIME + timedelta(days=8))
    await bank_action(shop, f"disputes/{disputed}", status="lost")

    assert await access_reason(shop, ada) == (False, "dispute_lost"), "a lost dispute does not depend on the policy"
    assert await access_reason(shop, cyd) == (True, "paid_term"), "until the end of the paid term"
    assert (await subscription_of(shop, cyd))["status"] == "canceled"
    assert [(i["kind"], i["why"]) for i in sorted(await support_list(shop, "attention"), key=lambda i: i["kind"])] == [
        ("fraud_warning", "kept"),
        ("refund_failed", "expired_or_canceled_card"),
    ]
    assert (await shop.request_refund(payment, key="again")).status_code == 201
    assert await access_reason(shop, cyd) == (False, "refunded")


async def test_a_foreign_or_odd_dispute_is_shown_to_staff(
    shop: Shop,
) -> None:
    ada = shop.person()
    payment = await subscribe(shop, ada)
    charge = await charge_of(shop, payment)
    strange = await open_dispute(shop, payment, amount=41_37, currency="eur", kind="inquiry")
    customer = await shop.stripe_post("/v1/customers", email="mug@example.com", test_clock=shop.clock)
    attached = await shop.stripe_post("/v1/payment_methods/pm_card_createDispute/attach", customer=customer["id"])
    product = await shop.stripe_post("/v1/products", name="Mugs")
    price = await shop.stripe_post(
        "/v1/prices", unit_amount="900", currency="usd", product=product["id"], **{"recurring[interval]": "month"}
    )
    await shop.stripe_post(
        "/v1/subscriptions",
        customer=customer["id"],
        default_payment_method=attached["id"],
        **{"items[0][price]": price["id"]},
    )
    await shop.wait_until_idle()

    (ours, foreign) = sorted(await support_list(shop, "disputes"), key=lambda d: d["subscriber"] is None)
    assert (ours["id"], ours["amount"], ours["concern"]) == (
        strange,
        {"amount": 41_37, "currency": "eur"},
        "other_currency",
    )
    assert (foreign["amount"]["amount"], foreign["concern"]) == (9_00, "unknown_payment")
    ignored = await shop.rows("SELECT reason FROM events WHERE type LIKE 'charge.dispute%' AND state = 'ignored'")
    assert ignored
    assert all(row["reason"] for row in ignored)
    assert await access_reason(shop, ada) == (True, "paid_term")
    assert {i["id"] for i in await support_list(shop, "attention")} == {strange, foreign["id"]}
    # A lost partial dispute counts as a full one, and staff see that it was partial.
    await bank_action(shop, f"disputes/{strange}", status="warning_closed")
    part = str((await bank_action(shop, f"charges/{charge}/dispute", amount=10_00))["id"])
    await bank_action(shop, f"disputes/{part}", status="lost")
    assert await access_reason(shop, ada) == (False, "dispute_lost")
    assert {i["id"]: i["why"] for i in await support_list(shop, "attention")}[part] == "in_part"


async def test_a_dispute_that_arrives_before_its_payment_is_applied(shop: Shop) -> None:
    ada = shop.person()
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})
    opened = await shop.open_checkout(ada)
    await shop.pay_checkout(opened.json()["url"])
    (charge,) = (await shop.stripe_get("/v1/charges"))["data"]
    await shop.stripe.post(f"/_sandbox/charges/{charge['id']}/dispute", json={})
    events = (await shop.stripe_get("/v1/events", type="charge.dispute.created"))["data"]
    await shop.stripe.post(f"/_sandbox/events/{events[0]['id']}/deliver", json={})
    await shop.wait_until_idle()

    assert await access_reason(shop, ada) == (False, "dispute_open")
    (shown,) = await support_list(shop, "disputes")
    assert (shown["payment"], shown["concern"]) == (charge["payment_intent"], None)
    assert shown["subscriber"] is not None
