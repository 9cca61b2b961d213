"""Network faults: lost, repeated and late webhooks, errors before and after their effect, and lost responses."""

from random import Random

from tests.support.shop import Shop

# Without the test clock's paths: the service would use a wrong time, which is no network fault.
PATHS = [
    "/v1/subscriptions*",
    "/v1/invoices*",
    "/v1/refunds*",
    "/v1/credit_notes*",
    "/v1/payment_intents*",
    "/v1/disputes*",
    "/v1/checkout/*",
    "/v1/customers*",
]
FAULTS: list[tuple[dict[str, object], str]] = [
    ({"action": "drop"}, "before"),
    ({"action": "drop"}, "after"),
    ({"action": "status", "status": 500}, "before"),
    ({"action": "status", "status": 500}, "after"),
    ({"action": "status", "status": 429}, "before"),
]
NO_FAULTS = {"loss": 0.0, "duplicates": 0.0, "order": "made", "delay_seconds": 0.0, "deliver": True}


async def start_faults(shop: Shop, rng: Random) -> bool:
    """Start random faults for a day. Return whether webhooks may be lost for good."""
    if rng.random() < 0.2:
        return False  # a day without faults
    loss = rng.choice([0.0, 0.0, 0.0, 0.3])
    settings = {
        "loss": loss,
        "duplicates": rng.choice([0.0, 0.3, 1.0]),
        "order": rng.choice(["made", "any"]),
        "seed": rng.getrandbits(30),
    }
    await shop.stripe.put("/_sandbox/settings", json=settings)
    for _ in range(rng.choice([0, 1, 2, 3])):
        action, when = rng.choice(FAULTS)
        method, path = rng.choice(["*", "POST", "DELETE", "GET"]), rng.choice(PATHS)
        await shop.add_fault(method=method, path=path, when=when, times=rng.randint(1, 4), **action)
    return loss > 0


async def stop_faults(shop: Shop) -> None:
    """Stop all faults."""
    await shop.stripe.delete("/_sandbox/faults")
    await shop.stripe.put("/_sandbox/settings", json=NO_FAULTS)
