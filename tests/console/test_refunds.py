"""Refunding a payment at the console: the amount on the page is paid, once."""

from demo.browser import Page
from tests.console.conftest import ConsoleBrowser, OpenConsole
from tests.support.lost_data import lose_readers
from tests.support.shop import Shop
from tests.support.words import words_in


async def subscribe(shop: Shop) -> str:
    """Subscribe Ada. Return her payment's ID."""
    await shop.subscribe(shop.person("ada"))
    return str((await shop.rows("SELECT id FROM payments"))[0]["id"])


async def review(console: ConsoleBrowser, payment: str, **fields: str) -> Page:
    """Fill in the refund form, and open the review page."""
    page = await console.open(f"/payments/{payment}/refund")
    return await console.submit(page, "/refund/confirm", **fields)


async def refunds_at_stripe(shop: Shop, payment: str) -> list[int]:
    found = await shop.stripe_get("/v1/refunds", payment_intent=payment)
    return [one["amount"] for one in found["data"]]


async def test_changed_amount_is_shown_again_before_it_is_refunded(shop: Shop, open_console: OpenConsole) -> None:
    payment, robin = await subscribe(shop), await open_console("agent@example.com")
    confirmation = await review(robin, payment)
    assert "Refund $49?" in confirmation.text
    await shop.stripe_post("/v1/refunds", payment_intent=payment, amount="2000")
    await shop.wait_until_idle()
    page = await robin.submit(confirmation, "/refund")
    assert "Nothing was refunded. The amount has changed from $49 to $29." in page.text
    assert f"/payments/{payment}/refund?draft=" in page.url
    assert await refunds_at_stripe(shop, payment) == [2000]
    done = await robin.submit(await review(robin, payment), "/refund")
    await shop.wait_until_idle()  # a worker may have leased the payment; if so, it finishes the refund
    assert "$29 refunded" in (await robin.browser.open(done.url)).text


async def test_two_agents_refund_a_payment_once(shop: Shop, open_console: OpenConsole) -> None:
    payment = await subscribe(shop)
    robin, sam = await open_console("agent@example.com"), await open_console("supervisor@example.com")
    first, second = await review(robin, payment), await review(sam, payment)
    assert "$49 refunded" in (await robin.submit(first, "/refund")).text
    late = await sam.submit(second, "/refund")
    assert late.status == 409
    assert "Nothing left to refund" in late.text
    assert await refunds_at_stripe(shop, payment) == [4900]


async def test_form_sent_twice_refunds_once(shop: Shop, open_console: OpenConsole) -> None:
    payment, robin = await subscribe(shop), await open_console("agent@example.com")
    confirmation = await review(robin, payment)
    first, again = await robin.submit(confirmation, "/refund"), await robin.submit(confirmation, "/refund")
    assert first.url == again.url
    assert "$49 refunded" in again.text
    assert await refunds_at_stripe(shop, payment) == [4900]


async def test_refund_is_processed_after_an_outage_of_stripe(shop: Shop, open_console: OpenConsole) -> None:
    payment, robin = await subscribe(shop), await open_console("agent@example.com")
    confirmation = await review(robin, payment)
    away = {"method": "GET", "path": "/v1/payment_intents/*", "when": "before", "action": "status", "status": 503}
    fault = await shop.add_fault(**away, times=1000)
    page = await robin.submit(confirmation, "/refund")
    assert "Processing the refund" in page.text
    assert any("refresh" in meta.attributes.get("http-equiv", "") for meta in page.find("meta"))
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.execute("UPDATE refunds SET due_at = now() WHERE due_at IS NOT NULL")
    await shop.wait_until_idle()
    assert "$49 refunded" in (await robin.browser.open(page.url)).text


async def test_goodwill_above_the_limit_needs_a_second_person(shop: Shop, open_console: OpenConsole) -> None:
    payment = await subscribe(shop)
    sam, alex = await open_console("supervisor@example.com"), await open_console("admin@example.com")
    confirmation = await review(sam, payment, basis="goodwill", much="45.50", reason="hardship", note="A hard winter.")
    assert "A second person must approve this." in confirmation.text
    asked = await sam.submit(confirmation, "/refund")
    assert "You requested this refund. A second person must approve this." in asked.text
    refund = asked.url.rpartition("/")[2]
    own = await sam.open("/approvals")
    assert "A hard winter." in own.text
    forced = await sam.browser._client.post(
        f"{shop.url}/console/refunds/{refund}/approve",
        data={
            "form_token": own.form("/sign-out").values()["form_token"],
            "reader": (await shop.rows("SELECT id FROM subscribers"))[0]["id"],
        },
        headers={"Origin": shop.url},
    )
    assert forced.status_code == 409
    assert await refunds_at_stripe(shop, payment) == []
    done = await alex.submit(await alex.open(f"/refunds/{refund}"), "/approve")
    assert "$45.50 refunded" in done.text
    assert await refunds_at_stripe(shop, payment) == [4550]
    assert (
        "Paid until" in (await alex.open(f"/readers/{(await shop.rows('SELECT id FROM subscribers'))[0]['id']}")).text
    )


async def test_rejected_refund_is_not_paid(shop: Shop, open_console: OpenConsole) -> None:
    payment = await subscribe(shop)
    robin, sam = await open_console("agent@example.com"), await open_console("supervisor@example.com")
    confirmation = await review(robin, payment, basis="goodwill", much="49", reason="other", note="Asked nicely.")
    asked = await robin.submit(confirmation, "/refund")
    page = await sam.submit(await sam.open(f"/refunds/{asked.url.rpartition('/')[2]}"), "/reject", note="Not for that.")
    assert "Refund of $49 rejected" in page.text
    seen = await robin.open(asked.url.removeprefix(f"{shop.url}/console"))
    assert "“Not for that.”" in seen.text, "the requester sees why"
    assert await refunds_at_stripe(shop, payment) == []


async def test_incomplete_form_is_refused_with_the_field_to_correct(shop: Shop, open_console: OpenConsole) -> None:
    payment, robin = await subscribe(shop), await open_console("agent@example.com")
    for fields, message in [
        ({"basis": "made-up"}, "Choose a basis"),
        ({"reason": "made-up"}, "Choose an option from the list"),
        ({"reason": "other"}, "Explain the reason in the note"),
        ({"note": "x" * 2001}, "Use 2,000 characters or fewer"),
        ({"basis": "goodwill", "much": "a lot"}, "Enter an amount"),
        ({"basis": "goodwill", "much": "49.01"}, "Only $49 can still be refunded."),
        ({"basis": "goodwill", "much": "0"}, "Enter an amount"),
    ]:
        page = await review(robin, payment, **fields)
        assert page.status in {409, 422}
        assert message in page.text
    confirmation = await review(robin, payment)
    for changes in ({"amount": "-1"}, {"amount": "4901"}, {"currency": "eur"}, {"key": ""}, {"basis": "duplicate"}):
        assert (await robin.submit(confirmation, "/refund", **changes)).status in {200, 409, 422}
    assert await refunds_at_stripe(shop, payment) == []


async def test_refund_confirmation_of_an_erased_reader_is_not_found(shop: Shop, open_console: OpenConsole) -> None:
    payment, robin = await subscribe(shop), await open_console("agent@example.com")
    confirmation = await review(robin, payment)
    reader = (await shop.rows("SELECT id FROM subscribers"))[0]["id"]
    await lose_readers(shop)
    for page in (
        await robin.submit(confirmation, "/refund"),
        await robin.open(f"/readers/{reader}"),
        await robin.open(f"/payments/{payment}/refund"),
    ):
        assert page.status == 404
        assert page.title.startswith("Not found")
        assert words_in(page.text, "ada") == []
    assert await refunds_at_stripe(shop, payment) == []
