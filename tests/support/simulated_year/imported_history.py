"""Readers who subscribed before Newsstand was introduced: their history at Stripe, and its import."""

from datetime import datetime, timedelta
from random import Random

from app.domain.reconciliation import SweepKind
from tests.support.reconciliation import reconcile
from tests.support.shop import START_TIME, Person, Shop
from tests.support.simulated_year import stripe_records
from tests.support.simulated_year.stripe_records import Json, StripeRecords, term_line

OPENING = START_TIME + timedelta(days=800)  # when Newsstand is introduced, in the readers' third year
REFUNDED, SEVERAL, DISPUTED, LOST, PLAIN = "refunded year", "two subscriptions", "open dispute", "lost dispute", "plain"
HISTORIES = (REFUNDED, SEVERAL, DISPUTED, LOST, PLAIN)


async def make_history(shop: Shop, people: list[Person], rng: Random) -> dict[str, str]:
    """
    Give each person a subscription that has run for years, and advance Stripe's clock to the introduction of Newsstand.

    :return: each person's history, by ``sub``.
    """
    await shop.stripe.put("/_sandbox/settings", json={"loss": 1.0})  # there is no service yet that gets webhooks
    first = rng.randrange(len(HISTORIES))
    histories = {person.sub: HISTORIES[(first + n) % len(HISTORIES)] for n, person in enumerate(people)}
    for person in people:
        await _subscribe(shop, person, twice=histories[person.sub] == SEVERAL)
    for days in (400, 800):
        moment = START_TIME + timedelta(days=days) - timedelta(days=rng.randint(0, 20) if days < 800 else 0)
        await _advance(shop, moment)
        books = await stripe_records.read(shop)
        for customer in books.customers:
            await _happen(shop, books, customer, histories, rng, last=days == 800)
    return histories


async def _subscribe(shop: Shop, person: Person, *, twice: bool) -> None:
    metadata = {"metadata[newsstand_sub]": person.sub}
    customer = await shop.stripe_post(
        "/v1/customers", email=person.email, name=person.sub.title(), test_clock=shop.clock, **metadata
    )
    card = await shop.stripe_post("/v1/payment_methods/pm_card_visa/attach", customer=customer["id"])
    (price,) = (await shop.stripe_get("/v1/prices", **{"lookup_keys[0]": "newsstand_annual_digital"}))["data"]
    for _ in range(2 if twice else 1):
        fields = {"default_payment_method": card["id"], "items[0][price]": price["id"]}
        await shop.stripe_post("/v1/subscriptions", customer=customer["id"], **fields)


async def _happen(
    shop: Shop, books: StripeRecords, customer: Json, histories: dict[str, str], rng: Random, *, last: bool
) -> None:
    """Let what is unusual about a history happen: to the first or second year, or just before the import."""
    what = histories[customer["metadata"]["newsstand_sub"]]
    for subscription in books.subscriptions[customer["id"]]:
        paid = [one for one in books.invoices[subscription["id"]] if one["status"] == "paid" and term_line(one)]
        intents = [one["payments"]["data"][0]["payment"]["payment_intent"] for one in paid]
        if what == REFUNDED and not last:
            await shop.stripe_post("/v1/refunds", payment_intent=rng.choice(intents))
        elif (what == LOST and not last) or (what == DISPUTED and last):
            intent = await shop.stripe_get(f"/v1/payment_intents/{intents[-1]}")
            charge = f"/_sandbox/charges/{intent['latest_charge']}/dispute"
            dispute = (await shop.stripe.post(charge, json={"reason": "product_not_received"})).json()
            if what == LOST:
                await shop.stripe.post(f"/_sandbox/disputes/{dispute['id']}", json={"status": "lost"})


async def _advance(shop: Shop, moment: datetime) -> None:
    clock = f"/v1/test_helpers/test_clocks/{shop.clock}"
    frozen = str(int(moment.timestamp()))
    assert (await shop.stripe.post(f"{clock}/advance", data={"frozen_time": frozen})).status_code == 200
    await shop.wait_for_clock()
    await shop.wait_for_deliveries()


async def import_all(shop: Shop) -> None:
    """Import the customers, and check that this ends, refunds and cancels nothing."""
    before = _what_an_import_keeps(await stripe_records.read(shop))
    await reconcile(shop, kind=SweepKind.IMPORT)
    assert _what_an_import_keeps(await stripe_records.read(shop)) == before, "an import changed something at Stripe"
    await shop.stripe.put("/_sandbox/settings", json={"loss": 0.0})


def _what_an_import_keeps(books: StripeRecords) -> object:
    return (
        {
            one["id"]: (one["status"], one["cancel_at"], one["cancel_at_period_end"], one["ended_at"])
            for one in books.every_subscription()
        },
        {one["id"]: one["status"] for one in books.every_invoice()},
        {payment: [(one["id"], one["status"]) for one in each] for payment, each in books.refunds.items()},
        {invoice: [one["id"] for one in each] for invoice, each in books.credit_notes.items()},
        {one["id"]: one["balance"] for one in books.customers},
    )
