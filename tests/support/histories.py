"""Histories of subscriptions, told in any order, twice, late or never; and what our books must say at their end."""

import asyncio
import json
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stripe import WebhookSignature

from tests.support.shop import Shop

AT_ONCE = 8
Event = Mapping[str, Any]


async def told_so_far(shop: Shop) -> list[Event]:
    """Return every event that Stripe made, the newest last."""
    found: list[Event] = []
    page: dict[str, Any] = {"has_more": True}
    while page["has_more"]:
        after = {"starting_after": str(found[-1]["id"])} if found else {}
        page = await shop.at_stripe("/v1/events", limit="100", **after)
        found += page["data"]
    return found[::-1]


def whose(event: Event) -> str | None:
    """Return the subscription that an event is about, as far as the event itself says."""
    thing = event["data"]["object"]
    if thing["object"] == "subscription":
        return str(thing["id"])
    if thing["object"] == "invoice" and thing["parent"]:
        return str(thing["parent"]["subscription_details"]["subscription"])
    return None


async def tell(shop: Shop, event: Event) -> None:
    """Deliver an event, signed as Stripe signs it."""
    body = json.dumps(event)
    secret = shop.settings.webhook_secrets[0].get_secret_value()
    signature = WebhookSignature.generate_signature_header(body, secret, int(time.time()))
    answer = await shop.http.post(
        "/webhooks/stripe",
        content=body.encode(),
        headers={"Stripe-Signature": signature, "Content-Type": "application/json"},
    )
    assert answer.status_code == 200, answer.text


async def lives_on(shop: Shop, stripe_id: str, chance: random.Random) -> None:
    """Have something happen to a subscription, as the publisher would do it in the Dashboard."""
    path = f"/v1/subscriptions/{stripe_id}"
    if (await shop.at_stripe(path))["status"] == "canceled":
        return
    match chance.choice(("ends", "goes on", "paused", "resumed", "noted", "part back", "all back", "deleted")):
        case "ends":
            await shop.makes(path, cancel_at_period_end="true")
        case "goes on":
            await shop.makes(path, cancel_at_period_end="false")
        case "paused":
            await shop.makes(path, **{"pause_collection[behavior]": "void"})
        case "resumed":
            await shop.makes(path, pause_collection="")
        case "noted":
            await shop.makes(path, **{"metadata[note]": str(chance.random())})
        case "deleted":
            await shop.stripe.delete(path)
        case part:
            await _gives_back(shop, stripe_id, whole=part == "all back")


async def _gives_back(shop: Shop, stripe_id: str, *, whole: bool) -> None:
    for payment, amount in (await payments_at_stripe(shop, stripe_id)).items():
        given = await refunds_at_stripe(shop, payment)
        left = amount - sum(given.values())
        if left > 1_00:
            await shop.makes("/v1/refunds", payment_intent=payment, amount=str(left if whole else 1_00))


async def payments_at_stripe(shop: Shop, stripe_id: str) -> dict[str, int]:
    """Return what was paid for a subscription, by payment."""
    invoices = await shop.at_stripe("/v1/invoices", subscription=stripe_id, **{"expand[0]": "data.payments"})
    return {
        str(payment["payment"]["payment_intent"]): int(payment["amount_paid"])
        for invoice in invoices["data"]
        for payment in invoice["payments"]["data"]
        if payment["status"] == "paid"
    }


async def refunds_at_stripe(shop: Shop, payment: str) -> dict[str, int]:
    """Return what went back of a payment, by refund."""
    listed = (await shop.at_stripe("/v1/refunds", payment_intent=payment, limit="100"))["data"]
    return {str(r["id"]): int(r["amount"]) for r in listed if r["status"] not in {"failed", "canceled"}}


async def agrees(shop: Shop, stripe_id: str) -> list[str]:
    """Return, in words, where our books say something else than Stripe's do; nothing: they agree."""
    seen = await shop.at_stripe(f"/v1/subscriptions/{stripe_id}")
    found = await shop.rows(
        """SELECT s.*, b.sub, (SELECT count(*) FROM terms t WHERE t.subscription_id = s.id) AS terms
           FROM subscriptions s JOIN subscribers b ON b.id = s.subscriber_id WHERE s.stripe_id = $1""",
        stripe_id,
    )
    if not found:
        return [f"{stripe_id}: not here"]
    (held,) = found
    paid, wrong = await payments_at_stripe(shop, stripe_id), []
    given = {payment: await refunds_at_stripe(shop, payment) for payment in paid}
    ours = await shop.rows("SELECT id, amount FROM payments WHERE subscription_id = $1", held["id"])
    returned = await shop.rows(
        """SELECT r.stripe_refund_id, r.amount, (SELECT count(*) FROM audit_log a
               WHERE a.object_id = r.id AND a.action = 'refund.confirmed') AS told
           FROM refunds r JOIN payments p ON p.id = r.payment_id WHERE p.subscription_id = $1""",
        held["id"],
    )
    whole = any(sum(given[payment].values()) >= amount for payment, amount in paid.items())
    ends = seen["cancel_at_period_end"] or seen["cancel_at"] is not None
    for what, is_so, should in (
        ("status", held["status"], seen["status"]),
        ("is to end", held["cancel_at"] is not None, ends and seen["ended_at"] is None),
        ("payments", {p["id"]: p["amount"] for p in ours}, paid),
        ("refunds", sorted((r["stripe_refund_id"], r["amount"]) for r in returned), _sorted(given)),
        ("each refund followed once", {r["told"] for r in returned} <= {1}, True),
        ("terms", held["terms"], len(paid)),
        ("may read", await _may_read(shop, held["sub"]), seen["status"] != "canceled" and not whole),
    ):
        if is_so != should:
            wrong.append(f"{stripe_id}: {what}: {is_so} here, {should} by Stripe's books")
    return wrong


def _sorted(given: Mapping[str, Mapping[str, int]]) -> list[tuple[str, int]]:
    return sorted(pair for refunds in given.values() for pair in refunds.items())


async def _may_read(shop: Shop, sub: str) -> bool:
    answer = await shop.http.post(
        "/v1/entitlements/check",
        headers={"Authorization": f"Bearer {shop.server_key}"},
        json={"subscriber": sub, "feature": "archive"},
    )
    return bool(answer.json()["allowed"])


async def disagreements(shop: Shop, stripe_ids: Iterable[str]) -> list[str]:
    """Return all of :func:`agrees`."""
    return [words for group in _groups(list(stripe_ids)) for one in await _each(shop, group) for words in one]


async def _each(shop: Shop, group: Sequence[str]) -> list[list[str]]:
    return list(await asyncio.gather(*(agrees(shop, stripe_id) for stripe_id in group)))


def _groups(ids: list[str]) -> list[list[str]]:
    return [ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE)]
