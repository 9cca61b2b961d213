"""Readers who were imported, or who subscribed before addresses were kept, get copies at the address that Stripe has."""

from datetime import UTC, datetime, timedelta

from app.domain.reconciliation import SweepKind
from tests.support.labels import HOME, freeze, labels, move, preview
from tests.support.reconciliation import reconcile
from tests.support.refunds import GUARANTEE, payment_ids, request_refund
from tests.support.shop import ADDRESS, Shop

ISSUE = 5
CLOSED = datetime(2026, 3, 10, 18, tzinfo=UTC)
AT_STRIPE = {
    "shipping[name]": "Early Bird",
    "shipping[address][line1]": "7 Ferry Lane",
    "shipping[address][city]": "Springfield",
    "shipping[address][state]": "IL",
    "shipping[address][postal_code]": "62701",
    "shipping[address][country]": "US",
}
STORED = "SELECT line1, due_at FROM postal_addresses WHERE replaced_at IS NULL"


async def create_former_subscriber(shop: Shop, name: str, **fields: str) -> str:
    """Create a customer with a print subscription, as a former system would. Return the customer."""
    fields |= {"email": f"{name}@example.com", "name": name, "metadata[newsstand_sub]": name, "test_clock": shop.clock}
    customer = await shop.stripe_post("/v1/customers", **fields)
    method = await shop.stripe_post("/v1/payment_methods/pm_card_visa/attach", customer=customer["id"])
    items = {}
    for number, component in enumerate(("digital", "print")):
        prices = await shop.stripe_get("/v1/prices", **{"lookup_keys[0]": f"newsstand_annual_{component}"})
        items[f"items[{number}][price]"] = prices["data"][0]["id"]
    await shop.stripe_post("/v1/subscriptions", customer=customer["id"], default_payment_method=method["id"], **items)
    return str(customer["id"])


async def test_imported_readers_get_copies_at_stripes_address_or_when_one_is_added_there(shop: Shop) -> None:
    await shop.plan_issues(50)
    await shop.stripe.put("/_sandbox/settings", json={"loss": 1.0})
    await create_former_subscriber(shop, "fay", **AT_STRIPE)
    later = await create_former_subscriber(shop, "gus")
    await reconcile(shop, kind=SweepKind.IMPORT)
    await shop.wait_until_idle()
    assert (await preview(shop, ISSUE))["counts"]["copies"] == 1

    await shop.stripe.put("/_sandbox/settings", json={"loss": 0.0})
    await shop.stripe_post(f"/v1/customers/{later}", **{**AT_STRIPE, "shipping[address][line1]": "8 Ferry Lane"})
    await shop.wait_until_idle()
    await shop.stripe_post(f"/v1/customers/{later}", **{**AT_STRIPE, "shipping[address][line1]": "9 Ferry Lane"})
    await shop.wait_until_idle()

    await shop.advance_to(CLOSED)
    assert (await freeze(shop, ISSUE))["counts"]["copies"] == 2
    assert [one["line1"] for one in await labels(shop, ISSUE)] == ["7 Ferry Lane", "8 Ferry Lane"]
    assert [one["due_at"] for one in await shop.rows(STORED)] == [None, None]  # Stripe has them already


async def test_a_returning_readers_address_counts_from_when_the_checkout_was_opened(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada, ben = shop.person("ada"), shop.person("ben")
    for reader in (ada, ben):
        await shop.subscribe(reader, print_edition=True)
        (payment,) = await payment_ids(shop, reader)
        assert (await request_refund(shop, payment, GUARANTEE, 73_00, key=f"refund-{reader.sub}")).status_code == 201
    await shop.wait_until_idle()
    await shop.advance_to(CLOSED - timedelta(days=3))  # before the labels of the issue close
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})
    for reader in (ada, ben):
        opened = (await shop.open_checkout(reader, print_edition=True)).json()
        await shop.pay_checkout(opened["url"], address={**ADDRESS, "shipping_line1": "9 Harbor Road"})
    await shop.advance_to(CLOSED - timedelta(days=2, hours=12))
    await move(shop, ben, {**HOME, "line1": "5 Mill Lane"})  # later than the checkout, so it stays
    await shop.advance_to(CLOSED)
    await shop.stripe.put("/_sandbox/settings", json={"deliver": True})
    await reconcile(shop)
    await shop.wait_until_idle()

    assert (await freeze(shop, ISSUE))["counts"]["copies"] == 2
    assert {one["line1"] for one in await labels(shop, ISSUE)} == {"9 Harbor Road", "5 Mill Lane"}


async def test_reconciliation_fetches_the_addresses_of_earlier_subscribers(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada, ben = shop.person("ada"), shop.person("ben")
    for reader in (ada, ben):
        await shop.subscribe(reader, print_edition=True)
    await move(shop, ben, HOME)
    subscriber = (await shop.overview(ada))["id"]
    await shop.execute(f"DELETE FROM postal_addresses WHERE subscriber_id = '{subscriber}'")
    await shop.execute(
        "UPDATE terms SET lacks_address = subscription_id IN (SELECT s.id FROM subscriptions s WHERE NOT"
        " EXISTS (SELECT FROM postal_addresses a WHERE a.subscriber_id = s.subscriber_id))"
    )

    await shop.stripe.delete("/_sandbox/requests")
    report = await reconcile(shop)
    assert len(await shop.stripe_requests("GET", "/v1/subscriptions")) == 1, "the only page was listed once"

    assert [one.words for one in report.differences if "no postal address here" in one.words]
    assert (await preview(shop, ISSUE))["counts"]["copies"] == 2
    assert (await reconcile(shop)).differences == []
    assert HOME["line1"] in {one["line1"] for one in await shop.rows(STORED)}
