"""Addresses and names follow the identity provider, also at Stripe; and two accounts of one person are noticed."""

import time
from datetime import timedelta
from typing import Any

from tests.journeys.cancellations.test_ends import make_past_due
from tests.journeys.subscribing.test_importing import create_former_subscriber, run_import, sign_in
from tests.support.shop import START_TIME, Person, Shop


def signed_in(shop: Shop, sub: str, email: str, name: str, *, minutes: float = 0, **claims: object) -> Person:
    """Return a person whose token was issued some minutes ago."""
    issued = int(time.time() - minutes * 60)
    token = shop.issuer.token(sub, email=email, name=name, claims={"iat": issued, **claims})
    return Person(sub, email, {"Authorization": f"Bearer {token}"})


async def found_by(shop: Shop, words: str) -> list[dict[str, Any]]:
    return list((await shop.get("/v1/support/subscribers", shop.agent, q=words)).json()["data"])


async def wait_until_pushed(shop: Shop) -> None:
    await shop.wait_until("SELECT count(*) = 0 FROM contact_changes WHERE due_at IS NOT NULL")
    await shop.wait_until_idle()


async def test_a_new_address_and_name_are_followed_and_pushed_to_stripe(shop: Shop) -> None:
    ada = signed_in(shop, "ada", "ada@old.example.com", "Ada Invented", minutes=50)
    await shop.subscribe(ada)
    (customer,) = await shop.stripe_customers()
    assert (customer["email"], customer["name"]) == ("ada@old.example.com", "Ada Invented")

    moved = signed_in(shop, "ada", "ada@new.example.com", "Ada Married", minutes=5)
    assert (await shop.get("/v1/me/entitlements", moved)).status_code == 200
    await wait_until_pushed(shop)

    (customer,) = await shop.stripe_customers()
    assert (customer["email"], customer["name"]) == ("ada@new.example.com", "Ada Married")
    await shop.wait_for_names()
    for words in ("ada@old", "ada@new", "Ada Inv", "ada m", "invented", "Married"):
        (found,) = await found_by(shop, words)
        assert (found["email"], found["formerly"]) == ("ada@new.example.com", ["ada@old.example.com", "Ada Invented"])
    shown = (await shop.get(f"/v1/support/subscribers/{found['id']}", shop.agent)).json()
    assert sorted(shown["formerly"]) == ["Ada Invented", "ada@old.example.com"]
    assert shown["anomalies"] == []
    assert any("changed their email address or name" in entry["words"] for entry in shown["timeline"])
    (intent,) = await shop.rows("SELECT key, settled_at FROM intents WHERE action = 'push'")
    assert intent["settled_at"] is not None
    sent = await shop.stripe_requests("POST", f"/v1/customers/{customer['id']}")
    assert [one["idempotency_key"] for one in sent] == [intent["key"]]

    assert (await shop.get("/v1/me/entitlements", ada)).status_code == 200  # an older token, still valid
    stale = signed_in(shop, "ada", "ada@older.example.com", "Ada", minutes=20)
    assert (await shop.get("/v1/me/entitlements", stale)).status_code == 200
    await wait_until_pushed(shop)
    assert (await found_by(shop, "ada@older")) == []
    assert (await shop.stripe_customers())[0]["email"] == "ada@new.example.com"


async def test_a_change_is_pushed_after_stripe_was_away_and_the_newest_wins(shop: Shop) -> None:
    ada = signed_in(shop, "ada", "one@example.com", "Ada", minutes=50)
    await shop.subscribe(ada)
    (customer,) = await shop.stripe_customers()
    path = f"/v1/customers/{customer['id']}"
    fault = await shop.add_fault(method="POST", path=path, when="before", action="status", status=500, times=None)
    for number, name in enumerate(("two", "three")):
        changed = signed_in(shop, "ada", f"{name}@example.com", "Ada", minutes=20 - number)
        assert (await shop.get("/v1/me/entitlements", changed)).status_code == 200
    await shop.wait_until("SELECT count(*) > 0 FROM contact_changes WHERE attempts > 0")
    assert await shop.may_read(ada)

    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.execute("UPDATE contact_changes SET due_at = now() WHERE due_at IS NOT NULL")
    await wait_until_pushed(shop)

    assert (await shop.stripe_customers())[0]["email"] == "three@example.com"


async def test_an_address_that_stripe_declines_is_shown_to_staff(shop: Shop) -> None:
    ada = signed_in(shop, "ada", "one@example.com", "Ada", minutes=50)
    await shop.subscribe(ada)
    (customer,) = await shop.stripe_customers()
    path = f"/v1/customers/{customer['id']}"
    await shop.add_fault(method="POST", path=path, when="before", action="status", status=400, times=1)
    changed = signed_in(shop, "ada", "two@example.com", "Ada", minutes=5)
    assert (await shop.get("/v1/me/entitlements", changed)).status_code == 200
    await wait_until_pushed(shop)

    (found,) = await found_by(shop, "two@example.com")
    shown = (await shop.get(f"/v1/support/subscribers/{found['id']}", shop.agent)).json()
    assert [one["code"] for one in shown["anomalies"]] == ["contact_refused"]

    again = signed_in(shop, "ada", "three@example.com", "Ada", minutes=1)
    assert (await shop.get("/v1/me/entitlements", again)).status_code == 200
    await wait_until_pushed(shop)
    shown = (await shop.get(f"/v1/support/subscribers/{found['id']}", shop.agent)).json()
    assert shown["anomalies"] == []


async def test_a_second_account_with_the_same_verified_address_is_warned(shop: Shop) -> None:
    first = sign_in(shop, "first", "ada@example.com", email_verified=True)
    second = sign_in(shop, "second", "Ada@Example.com", email_verified=True)
    unverified = sign_in(shop, "third", "ada@example.com")
    await shop.subscribe(first)

    warned = await shop.open_checkout(second)
    assert (warned.status_code, warned.json()["code"]) == (409, "possible_duplicate")
    assert "first" not in warned.text
    assert len(await shop.stripe_customers()) == 1, "no customer is created for a reader who doesn't go on"
    assert (await shop.open_checkout(unverified)).status_code == 201, "an unverified address reveals nothing"
    assert (await shop.open_checkout(first)).json()["code"] == "already_subscribed"

    await shop.subscribe(second, allow_duplicate=True)
    assert await shop.may_read(second)
    found = {one["subscriber"]: one for one in await found_by(shop, "ada@example.com")}
    assert set(found) == {"first", "second", "third"}
    shown = (await shop.get(f"/v1/support/subscribers/{found['second']['id']}", shop.agent)).json()
    assert {one["subscriber"] for one in shown["same_address"]} == {"first", "third"}
    assert any("another account with the same email address" in entry["words"] for entry in shown["timeline"])
    again = await shop.open_checkout(second, allow_duplicate=True)
    assert again.json()["code"] == "already_subscribed"


async def test_an_account_whose_access_is_over_is_no_duplicate(shop: Shop) -> None:
    lapsed = sign_in(shop, "lapsed", "ada@example.com", email_verified=True)
    other = sign_in(shop, "other", "ada@example.com", email_verified=True)
    await make_past_due(shop, lapsed)
    assert (await shop.open_checkout(other)).json()["code"] == "possible_duplicate", "the grace period lasts"
    await shop.advance_to(START_TIME.replace(year=2027) + timedelta(days=15))

    assert (await shop.open_checkout(other)).status_code == 201, "nobody would pay twice for the same time"

    await shop.subscribe(other)
    warned = await shop.open_checkout(lapsed)
    assert warned.json()["code"] == "possible_duplicate", "their own subscription no longer says why they can't"
    assert (await shop.open_checkout(lapsed, allow_duplicate=True)).status_code == 201


async def test_a_reader_with_unclaimed_imported_subscriptions_is_warned(shop: Shop) -> None:
    await shop.stripe.put("/_sandbox/settings", json={"loss": 1.0})
    for _ in range(2):  # two customers with one address: neither can be claimed
        await create_former_subscriber(shop, "dup@example.com")
    await run_import(shop)
    await shop.wait_until_idle()
    reader = sign_in(shop, "dup", "dup@example.com", email_verified=True)

    assert (await shop.open_checkout(reader)).json()["code"] == "possible_duplicate"
    assert (await shop.open_checkout(reader, allow_duplicate=True)).status_code == 201
