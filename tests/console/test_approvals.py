"""Requests above the limit at the console: complimentary access, extensions, and amounts in other currencies."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.gateway.client import Gateway
from app.services import catalogue, catalogue_push
from tests.console.conftest import SETTINGS, ConsoleBrowser, OpenConsole
from tests.support.busy_machine import patient_browser
from tests.support.shop import START_TIME, Shop, open_shop
from tests.support.shop_template import CATALOGUE


async def reader_id(shop: Shop) -> str:
    return str((await shop.rows("SELECT id FROM subscribers"))[0]["id"])


async def test_complimentary_access_above_the_limit_is_approved_by_a_second_person(
    shop: Shop, open_console: OpenConsole
) -> None:
    robin, sam, ada = (
        await open_console("agent@example.com"),
        await open_console("supervisor@example.com"),
        shop.person(),
    )
    await shop.open_checkout(ada)  # the reader is known, but has not paid
    form = await robin.open(f"/readers/{await reader_id(shop)}/comp")
    for _ in range(2):  # a form that is sent twice requests once
        page = await robin.submit(form, "/comp", ends="day", day="2026-09-30", reason="press", note="A library.")
        assert "Complimentary access is waiting for approval" in page.text
        assert "You requested this. A second person must approve this" in page.text
    assert not await shop.may_read(ada)
    listed = await sam.open("/approvals")
    assert "214 days" in listed.text
    assert "Press or library: A library." in listed.text
    (request,) = [row["id"] for row in await shop.rows("SELECT id FROM approval_requests")]
    page = await sam.submit(await sam.open(f"/approvals/{request}"), f"/approvals/{request}/approve")
    assert "Approved. The complimentary access has started." in page.text
    assert await shop.may_read(ada)
    assert "Nothing is waiting for approval." in (await sam.open("/approvals")).text
    decided = await robin.open(f"/approvals/{request}")
    assert "Complimentary access approved" in decided.text


async def test_extension_above_the_limit_can_be_rejected(shop: Shop, open_console: OpenConsole) -> None:
    robin, sam = await open_console("agent@example.com"), await open_console("supervisor@example.com")
    await shop.subscribe(shop.person())
    held = (await shop.rows("SELECT id FROM subscriptions"))[0]["id"]
    page = await robin.submit(await robin.open(f"/subscriptions/{held}/extend"), "/extend", issues="8")
    assert "Extension by 8 issues is waiting for approval" in page.text
    listed = await sam.open("/approvals")
    assert "8 issues" in listed.text
    assert "by Robin Vance" in listed.text, "staff are shown by name"
    (request,) = [row["id"] for row in await shop.rows("SELECT id FROM approval_requests")]
    form = await sam.open(f"/approvals/{request}")
    page = await sam.submit(form, f"/approvals/{request}/reject", note="Too many.")
    assert "Request rejected. Nothing was given." in page.text
    assert "Too many." in page.text
    late = await sam.submit(form, f"/approvals/{request}/approve")
    assert (late.status, "not awaiting approval" in late.text) == (409, True)
    assert "24 of 24 issues remaining" in (await robin.open(f"/readers/{await reader_id(shop)}")).text


async def test_several_small_goodwill_refunds_are_added_up(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    await shop.subscribe(shop.person())
    payment = (await shop.rows("SELECT id FROM payments"))[0]["id"]
    for amount, waits in (("20", False), ("6", True)):
        form = await robin.open(f"/payments/{payment}/refund")
        review = await robin.submit(form, "/refund/confirm", basis="goodwill", much=amount)
        assert ("A second person must approve this." in review.text) is waits
        await robin.submit(review, "/refund")
        await shop.wait_until_idle()
    assert [row["status"] for row in await shop.rows("SELECT status FROM refunds ORDER BY amount")] == [
        "awaiting_approval",
        "succeeded",
    ]


@pytest.fixture
async def dinar_shop(database: str, sandbox: Any, issuer: Any, tmp_path: Path) -> AsyncIterator[Shop]:
    """Provide a shop with a console that sells in Kuwaiti dinars, which have thousandths."""
    text = CATALOGUE.read_text().replace("amount = 4900", "amount = 10500").replace("amount = 2400", "amount = 5000")
    file = tmp_path / "catalogue.toml"
    file.write_text(text.replace('currency = "usd"', 'currency = "kwd"').replace("usd = 2500", "kwd = 25000"))
    async with open_shop(database, sandbox, issuer, catalogue=file, **SETTINGS) as opened:
        key = opened.settings.stripe_api_key.get_secret_value()
        gateway = Gateway(url=sandbox.url, api_key=key, timeout=timedelta(seconds=30))
        async for _ in catalogue_push.push(gateway, catalogue.load(file)):
            pass
        await gateway.close()
        yield opened


async def test_amounts_in_thousandths_are_read_and_shown_rightly(dinar_shop: Shop) -> None:
    shop = dinar_shop
    await shop.subscribe(shop.person())
    payment = (await shop.rows("SELECT id FROM payments"))[0]["id"]
    async with AsyncExitStack() as stack:
        robin = ConsoleBrowser(shop, await stack.enter_async_context(patient_browser(follow=True)))
        await robin.sign_in("agent@example.com")
        assert "KWD 10.500" in (await robin.open(f"/readers/{await reader_id(shop)}")).text
        form = await robin.open(f"/payments/{payment}/refund")
        odd = await robin.submit(form, "/refund/confirm", basis="goodwill", much="1.005")
        assert (odd.status, "Enter a multiple of KWD 0.010" in odd.text) == (422, True), odd.text
        review = await robin.submit(form, "/refund/confirm", basis="goodwill", much="10")
        assert "Refund KWD 10?" in review.text
        done = await robin.submit(review, "/refund")
        await shop.wait_until_idle()
        assert "KWD 10 refunded" in (await robin.browser.open(done.url)).text
    assert [one["amount"] for one in (await shop.stripe_get("/v1/refunds", payment_intent=payment))["data"]] == [10_000]


async def test_a_refund_of_unserved_issues_respects_the_step_of_the_currency(dinar_shop: Shop) -> None:
    shop = dinar_shop
    await shop.plan_issues(48)
    await shop.subscribe(shop.person())
    payment = (await shop.rows("SELECT id FROM payments"))[0]["id"]
    await shop.advance_to(START_TIME + timedelta(days=100))

    quoted = (await shop.get(f"/v1/support/payments/{payment}/refund-quote", shop.agent)).json()["quotes"][1]
    assert (quoted["basis"], quoted["issues"]["served"] > 0, quoted["amount"]["amount"] % 10) == (
        "unserved_issues",
        True,
        0,
    )
    share = 10_500 * quoted["issues"]["unserved"] / 24
    assert share <= quoted["amount"]["amount"] < share + 10, "rounded up to 10 fils, in the reader's favor"
    body = {
        "payment": payment,
        "basis": "unserved_issues",
        "reason": "requested_by_reader",
        "expected_amount": quoted["amount"],
    }
    done = await shop.post("/v1/support/refunds", shop.agent, body, **{"Idempotency-Key": "a"})
    assert done.status_code in {201, 202}, done.text
    await shop.wait_until_idle()
    (refunded,) = (await shop.stripe_get("/v1/refunds", payment_intent=payment))["data"]
    assert refunded["amount"] == quoted["amount"]["amount"]
    assert await shop.rows("SELECT 1 FROM refunds WHERE attention IS NOT NULL") == []
