"""Trial subscriptions. Only the Dashboard creates them; our checkout does not."""

from tests.support.shop import Person, Shop


async def start_trial(shop: Shop, reader: Person, *, days: int = 30) -> str:
    """Start a trial of the digital edition with a card; return the Stripe ID of the subscription."""
    await shop.open_checkout(reader)
    (customer,) = [one for one in await shop.stripe_customers() if one["email"] == reader.email]
    card = await shop.stripe_post("/v1/payment_methods/pm_card_visa/attach", customer=customer["id"])
    (price,) = [
        one["id"]
        for one in (await shop.stripe_get("/v1/prices", active="true"))["data"]
        if (one["recurring"] or {}).get("interval") == "year" and one["unit_amount"] == 49_00
    ]
    made = await shop.stripe_post(
        "/v1/subscriptions",
        customer=customer["id"],
        default_payment_method=card["id"],
        trial_period_days=str(days),
        **{"items[0][price]": price},
    )
    await shop.wait_until_idle()
    return str(made["id"])
