"""Existing subscribers of a Stripe account are imported, and each reader gets only their own subscription."""

import asyncio
import json
from pathlib import Path

from app.domain.reconciliation import SweepKind
from app.services.reconciliation import Importing, Report
from tests.journeys.webhooks.test_inbox import newsstand
from tests.support.reconciliation import reconcile
from tests.support.shop import Person, Shop


async def create_former_subscriber(shop: Shop, email: str, **metadata: str) -> str:
    """Create a customer with a subscription, as a former system would. Return the customer."""
    fields = {f"metadata[{name}]": value for name, value in metadata.items()}
    customer = await shop.stripe_post("/v1/customers", email=email, name="Early Bird", test_clock=shop.clock, **fields)
    method = await shop.stripe_post("/v1/payment_methods/pm_card_visa/attach", customer=customer["id"])
    prices = (await shop.stripe_get("/v1/prices", **{"lookup_keys[0]": "newsstand_annual_digital"}))["data"]
    await shop.stripe_post(
        "/v1/subscriptions",
        customer=customer["id"],
        default_payment_method=method["id"],
        **{"items[0][price]": prices[0]["id"]},
    )
    return str(customer["id"])


def sign_in(shop: Shop, sub: str, email: str, **claims: object) -> Person:
    token = shop.issuer.token(sub, email=email, claims=claims)
    return Person(sub, email, {"Authorization": f"Bearer {token}"})


async def run_import(shop: Shop, **subs: str) -> Report:
    return await reconcile(
        shop, kind=SweepKind.IMPORT, importing=Importing(subs={customer: sub for sub, customer in subs.items()})
    )


async def test_subscribers_are_imported_by_file_metadata_or_verified_email(shop: Shop, tmp_path: Path) -> None:
    await shop.stripe.put("/_sandbox/settings", json={"loss": 1.0})
    by_file = await create_former_subscriber(shop, "fay@example.com")
    await create_former_subscriber(shop, "mel@example.com", newsstand_sub="mel")
    by_address = await create_former_subscriber(shop, "Vera@Example.com")
    refunded = await create_former_subscriber(shop, "rex@example.com", newsstand_sub="rex")
    (paid,) = (await shop.stripe_get("/v1/payment_intents", customer=refunded))["data"]
    await shop.stripe_post("/v1/refunds", payment_intent=paid["id"])
    file = tmp_path / "subs.csv"
    file.write_text(f"customer,sub\n{by_file},fay\n")

    preview = await reconcile(shop, kind=SweepKind.IMPORT, dry_run=True)
    assert await shop.rows("SELECT * FROM subscribers") == []
    status, output, wrong = await newsstand(shop.settings, "import", "stripe", "--json", "--subs", str(file))
    assert output, wrong
    await shop.wait_until_idle()
    again = await run_import(shop, fay=by_file)

    assert status == 0
    done = json.loads(output)["looked_at"]
    assert [counts["subscribers"] for counts in (preview.sweep.counts, done, again.sweep.counts)] == [4, 4, 0]
    fay, mel, rex = (sign_in(shop, sub, f"{sub}@example.com") for sub in ("fay", "mel", "rex"))
    assert (await shop.may_read(fay), await shop.may_read(mel)) == (True, True)
    assert (await shop.check(rex))["reason"] == "refunded"
    vera = sign_in(shop, "vera", "vera@example.com", email_verified=True)
    assert not await shop.may_read(vera)
    assert (await shop.get("/v1/me/subscription", vera)).json()["status"] == "active"
    assert await shop.may_read(vera)
    (entry,) = await shop.rows("SELECT actor, reason, before FROM audit_log WHERE action = 'subscriber.claimed'")
    assert entry["actor"].startswith("reader:rdr_")
    assert entry["reason"] == "verified_email"
    assert json.loads(entry["before"]) == {"placeholder": f"unclaimed:{by_address}"}


async def test_no_reader_gets_another_readers_subscription(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    await shop.stripe.put("/_sandbox/settings", json={"loss": 1.0})
    alone = await create_former_subscriber(shop, "una@example.com")
    twice = [await create_former_subscriber(shop, "dup@example.com") for _ in range(2)]
    lying = await create_former_subscriber(shop, "liar@example.com", newsstand_sub="ada")
    report = await run_import(shop)

    conflict, its_subscription = report.for_review
    assert conflict.object_id == lying
    assert "who has the customer" in conflict.words
    assert "which is not a known customer" in its_subscription.words
    readers = [
        sign_in(shop, "u-1", "una@example.com"),
        sign_in(shop, "u-2", "una@example.com", email_verified=False),
        sign_in(shop, "u-3", "una@example.com", email_verified="true"),
        sign_in(shop, "u-4", "una+x@example.com", email_verified=True),
        sign_in(shop, "d-1", "dup@example.com", email_verified=True),
        sign_in(shop, ada.sub, "una@example.com", email_verified=True),
    ]
    for reader in readers:
        await shop.get("/v1/me/entitlements", reader)
    unclaimed = {
        row["stripe_customer_id"]
        for row in await shop.rows("SELECT stripe_customer_id FROM subscribers WHERE sub LIKE 'unclaimed:%'")
    }
    assert unclaimed == {alone, *twice}

    claimed = await newsstand(shop.settings, "import", "claim", twice[0], "d-1")
    taken = await newsstand(shop.settings, "import", "claim", twice[0], "d-2")
    known = await newsstand(shop.settings, "import", "claim", alone, ada.sub)
    assert [status for status, _, _ in (claimed, taken, known)] == [0, 1, 1]
    assert await shop.may_read(readers[4])


async def test_two_processes_make_one_claim_for_a_reader(shop: Shop) -> None:
    await shop.stripe.put("/_sandbox/settings", json={"loss": 1.0})
    await create_former_subscriber(shop, "una@example.com")
    await run_import(shop)
    tokens = [sign_in(shop, "una", "una@example.com", email_verified=True, n=n) for n in range(8)]

    answers = await asyncio.gather(*(shop.get("/v1/me/subscription", one) for one in tokens))

    assert {answer.status_code for answer in answers} <= {200, 404}
    assert (await shop.get("/v1/me/subscription", tokens[0])).status_code == 200
    claims = await shop.rows("SELECT count(*) FROM audit_log WHERE action = 'subscriber.claimed'")
    assert claims[0]["count"] == 1
