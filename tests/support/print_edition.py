"""The print edition of a reader in a shop: quoted, added and dropped."""

from typing import Any

import httpx2

from tests.support.shop import Person, Shop

PATH = "/v1/me/subscription/print-edition"


async def quote(shop: Shop, by: Person) -> dict[str, Any]:
    """Return the quote."""
    answer = await shop.get(f"{PATH}/quote", by)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def put(
    shop: Shop,
    by: Person,
    *,
    enabled: bool,
    amount: int,
    key: str = "print-1",
    address: dict[str, str] | None = None,
    path: str = PATH,
) -> httpx2.Response:
    """Request a change."""
    body = {
        "enabled": enabled,
        "expected_amount": {"amount": amount, "currency": "usd"},
        **({"address": address} if address is not None else {}),
    }
    return await shop.http.put(path, headers={**by.headers, "Idempotency-Key": key}, json=body)


async def change(
    shop: Shop, by: Person, *, enabled: bool, key: str = "print-1", address: dict[str, str] | None = None
) -> dict[str, Any]:
    """Add or drop print for the quoted amount, and wait until everything has followed."""
    quoted = await quote(shop, by)
    assert quoted["allowed"], quoted
    answer = await put(shop, by, enabled=enabled, amount=quoted["amount"]["amount"], key=key, address=address)
    assert answer.status_code == 200, answer.text
    await shop.wait_until_idle()
    return dict(answer.json())


async def use_card(shop: Shop, method: str) -> None:
    """Let the reader's subscription be paid with one of Stripe's test cards from now on, such as ``pm_card_visa``."""
    (customer,) = await shop.stripe_customers()
    card = await shop.stripe_post(f"/v1/payment_methods/{method}/attach", customer=customer["id"])
    (held,) = (await shop.stripe_get("/v1/subscriptions", customer=customer["id"]))["data"]
    await shop.stripe_post(f"/v1/subscriptions/{held['id']}", default_payment_method=card["id"])
    await shop.wait_until_idle()


async def print_invoices(shop: Shop) -> list[dict[str, Any]]:
    """Return the invoices at Stripe that bill a change of the print edition."""
    listed = (await shop.stripe_get("/v1/invoices"))["data"]
    return [one for one in listed if "newsstand_print_change" in one["metadata"]]


async def items(shop: Shop) -> list[str]:
    """Return the products of the subscription's items at Stripe."""
    (held,) = (await shop.stripe_get("/v1/subscriptions", status="all", test_clock=shop.clock))["data"]
    return sorted(item["price"]["product"] for item in held["items"]["data"])


async def give_credit(shop: Shop, amount: int) -> None:
    """Give the customer credit at Stripe, in minor units."""
    (customer,) = await shop.stripe_customers()
    await shop.stripe_post(
        f"/v1/customers/{customer['id']}/balance_transactions", amount=str(-amount), currency="usd", description="Sorry"
    )
