"""Money back at the console: what was seen is what is paid, once, whoever else is at it."""

from demo.browser import Page
from tests.console.conftest import Sit, Sitter
from tests.support.shop import Shop


async def paid(shop: Shop) -> str:
    """Have Ada subscribe; return her payment."""
    await shop.subscribes(shop.person("ada"))
    return str((await shop.rows("SELECT id FROM payments"))[0]["id"])


async def asks(sitter: Sitter, payment: str, **chosen: str) -> Page:
    """Choose what to refund, and go on to the question."""
    page = await sitter.open(f"/payments/{payment}/refund")
    return await sitter.sends(page, "/refund/confirm", **chosen)


async def refunds_at_stripe(shop: Shop, payment: str) -> list[int]:
    found = await shop.at_stripe("/v1/refunds", payment_intent=payment)
    return [one["amount"] for one in found["data"]]


async def test_a_question_that_was_overtaken_by_another_refund_pays_nothing_and_shows_the_new_amount(
    shop: Shop, sit: Sit
) -> None:
    payment, robin = await paid(shop), await sit("agent@example.com")
    question = await asks(robin, payment)
    assert "Refund $49?" in question.text
    await shop.makes("/v1/refunds", payment_intent=payment, amount="2000")
    await shop.settles()
    page = await robin.sends(question, "/refund")
    assert "Nothing was refunded: it was worth $49 when you looked, and is worth $29 now" in page.text
    assert page.url.endswith(f"/payments/{payment}/refund")
    assert await refunds_at_stripe(shop, payment) == [2000]
    done = await robin.sends(await asks(robin, payment), "/refund")
    await shop.settles()  # a worker may have been at the payment just then, and goes on with it
    assert "Done: $29 given back" in (await robin.browser.open(done.url)).text


async def test_two_agents_at_one_reader_pay_once_and_the_second_is_told(shop: Shop, sit: Sit) -> None:
    payment = await paid(shop)
    robin, sam = await sit("agent@example.com"), await sit("supervisor@example.com")
    first, second = await asks(robin, payment), await asks(sam, payment)
    assert "Done: $49 given back" in (await robin.sends(first, "/refund")).text
    late = await sam.sends(second, "/refund")
    assert late.status == 409
    assert "it was given back already" in late.text
    assert await refunds_at_stripe(shop, payment) == [4900]


async def test_the_same_question_answered_twice_is_one_refund(shop: Shop, sit: Sit) -> None:
    payment, robin = await paid(shop), await sit("agent@example.com")
    question = await asks(robin, payment)
    first, again = await robin.sends(question, "/refund"), await robin.sends(question, "/refund")
    assert first.url == again.url
    assert "Done: $49 given back" in again.text
    assert await refunds_at_stripe(shop, payment) == [4900]


async def test_while_stripe_is_away_the_refund_is_on_its_way_and_then_it_is_done(shop: Shop, sit: Sit) -> None:
    payment, robin = await paid(shop), await sit("agent@example.com")
    question = await asks(robin, payment)
    away = {"method": "GET", "path": "/v1/payment_intents/*", "when": "before", "action": "status", "status": 503}
    fault = await shop.fault(**away, times=1000)
    page = await robin.sends(question, "/refund")
    assert "Stripe is being asked" in page.text
    assert any("refresh" in meta.attributes.get("http-equiv", "") for meta in page.find("meta"))
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.does("UPDATE refunds SET due_at = now() WHERE due_at IS NOT NULL")
    await shop.settles()
    assert "Done: $49 given back" in (await robin.browser.open(page.url)).text


async def test_goodwill_above_the_limit_is_decided_by_somebody_else(shop: Shop, sit: Sit) -> None:
    payment = await paid(shop)
    sam, alex = await sit("supervisor@example.com"), await sit("admin@example.com")
    question = await asks(sam, payment, basis="goodwill", much="45.50", reason="hardship", note="A hard winter.")
    assert "waits for a supervisor" in question.text
    asked = await sam.sends(question, "/refund")
    assert "You asked for it, so somebody else decides" in asked.text
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
    done = await alex.sends(await alex.open(f"/refunds/{refund}"), "/approve")
    assert "Done: $45.50 given back" in done.text
    assert await refunds_at_stripe(shop, payment) == [4550]
    assert (
        "Paid until" in (await alex.open(f"/readers/{(await shop.rows('SELECT id FROM subscribers'))[0]['id']}")).text
    )


async def test_a_rejected_refund_pays_nothing_and_says_why(shop: Shop, sit: Sit) -> None:
    payment = await paid(shop)
    robin, sam = await sit("agent@example.com"), await sit("supervisor@example.com")
    question = await asks(robin, payment, basis="goodwill", much="49", reason="other", note="Asked nicely.")
    asked = await robin.sends(question, "/refund")
    page = await sam.sends(await sam.open(f"/refunds/{asked.url.rpartition('/')[2]}"), "/reject", note="Not for that.")
    assert "Rejected: $49 are not given back" in page.text
    assert await refunds_at_stripe(shop, payment) == []


async def test_a_form_that_is_not_filled_in_does_nothing_and_says_what_is_missing(shop: Shop, sit: Sit) -> None:
    payment, robin = await paid(shop), await sit("agent@example.com")
    for chosen, said in [
        ({"basis": "made-up"}, "choose on which basis"),
        ({"reason": "made-up"}, "choose one of the list"),
        ({"reason": "other"}, "say in the note"),
        ({"note": "x" * 2001}, "too long"),
        ({"basis": "goodwill", "much": "a lot"}, "say how much"),
        ({"basis": "goodwill", "much": "49.01"}, "more than the $49"),
        ({"basis": "goodwill", "much": "0"}, "say how much"),
    ]:
        page = await asks(robin, payment, **chosen)
        assert page.status in {409, 422}
        assert said in page.text
    question = await asks(robin, payment)
    for changes in ({"amount": "-1"}, {"amount": "4901"}, {"currency": "eur"}, {"key": ""}, {"basis": "duplicate"}):
        assert (await robin.sends(question, "/refund", **changes)).status in {200, 409, 422}
    assert await refunds_at_stripe(shop, payment) == []


async def test_a_page_of_a_reader_who_was_erased_meanwhile_does_nothing_and_tells_nothing(shop: Shop, sit: Sit) -> None:
    payment, robin = await paid(shop), await sit("agent@example.com")
    question = await asks(robin, payment)
    reader = (await shop.rows("SELECT id FROM subscribers"))[0]["id"]
    for table in ("payments", "terms", "grants", "checkouts", "subscriptions", "entitlements"):
        await shop.does(f"DELETE FROM {table}")
    await shop.does("DELETE FROM subscribers")
    for page in (
        await robin.sends(question, "/refund"),
        await robin.open(f"/readers/{reader}"),
        await robin.open(f"/payments/{payment}/refund"),
    ):
        assert page.status == 404
        assert "there is no such" in page.text.lower()
        assert "ada" not in page.text.lower()
    assert await refunds_at_stripe(shop, payment) == []
