"""A reader's own billing: the preview of a cancellation, Stripe's portal, and invoices."""

from datetime import timedelta

from tests.support.shop import START_TIME, Shop

BACK = {"return_url": "http://127.0.0.1:8080/account"}


async def test_the_preview_of_a_cancellation_matches_its_effect(shop: Shop) -> None:
    ada, bob = shop.person(), shop.person("bob")
    assert (await shop.get("/v1/me/subscription/cancel-preview", bob)).json()["code"] == "no_subscription"
    await shop.subscribe(ada)

    seen = (await shop.get("/v1/me/subscription/cancel-preview", ada)).json()

    assert (seen["period_end"]["ends_at"], seen["period_end"]["access_until"]) == ("2027-03-01T18:00:00Z",) * 2
    assert seen["now"]["ends_at"] == "2026-03-01T18:00:00Z"
    assert (seen["refund"]["eligible"], seen["refund"]["amount"]) == (
        True,
        {"amount": 49_00, "currency": "usd", "formatted": "$49"},
    )
    assert await shop.rows("SELECT FROM audit_log") == [], "the preview changes nothing"
    await shop.advance_to(START_TIME + timedelta(days=90))
    assert (await shop.get("/v1/me/subscription/cancel-preview", ada)).json()["refund"]["reason"] == "outside_guarantee"
    ended = (await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})).json()
    assert ended["ends_at"] == seen["period_end"]["ends_at"]
    await shop.post("/v1/me/subscription/cancel", ada, {"when": "now"})
    again = await shop.get("/v1/me/subscription/cancel-preview", ada)
    assert (again.status_code, again.json()["code"]) == (409, "already_ended")


async def test_a_portal_session_belongs_to_the_reader_and_returns_to_the_site(shop: Shop) -> None:
    ada, bob, path = shop.person(), shop.person("bob"), "/v1/me/billing-portal-sessions"
    await shop.subscribe(ada)
    customer = (await shop.overview(ada))["stripe_customer"]

    first, second = [await shop.post(path, ada, BACK) for _ in range(2)]

    assert (first.status_code, second.status_code) == (201, 201), first.text
    assert first.json()["url"] != second.json()["url"], "each request creates a new link"
    assert len(await shop.stripe_requests("POST", "/v1/billing_portal/sessions")) == 2
    asked = await shop.rows("SELECT DISTINCT parameters->>'customer' AS customer FROM intents WHERE action = 'portal'")
    assert [row["customer"] for row in asked] == [customer]
    for wrong in ("https://evil.example/", "http://127.0.0.1:9/", "javascript:alert(1)"):
        refused = await shop.post(path, ada, {"return_url": wrong})
        assert (refused.status_code, refused.json()["code"]) == (422, "return_url_not_allowed")
    assert (await shop.post(path, ada, {**BACK, "customer": "cus_1"})).status_code == 422
    assert (await shop.post(path, bob, BACK)).json()["code"] == "no_subscription"
    assert (await shop.http.post(path, json=BACK)).status_code == 401
    await shop.stripe.delete(f"/v1/customers/{customer}")
    gone = await shop.post(path, ada, BACK)
    assert (gone.status_code, gone.json()["code"]) == (404, "no_subscription")
    await shop.wait_until_idle()
    assert (await shop.overview(ada))["stripe_customer"] is None, "the invoice was fetched"


async def test_a_reader_sees_only_their_own_invoices_and_receipts(shop: Shop) -> None:
    ada, bob, cyd = shop.person(), shop.person("bob"), shop.person("cyd")
    await shop.subscribe(ada)
    await shop.subscribe(bob)
    await shop.advance_to(START_TIME.replace(year=2027) + timedelta(hours=2))

    page = (await shop.get("/v1/me/invoices", ada, limit="1")).json()
    rest = (await shop.get("/v1/me/invoices", ada, limit="1", after=page["next"])).json()

    (newest,), (first,) = page["data"], rest["data"]
    assert rest["next"] is None
    assert newest["created_at"] > first["created_at"]
    assert {one["status"] for one in (newest, first)} == {"paid"}
    assert all(one["paid"] == {"amount": 49_00, "currency": "usd", "formatted": "$49"} for one in (newest, first))
    assert all(
        one[link].startswith("http") for one in (newest, first) for link in ("hosted_invoice_url", "receipt_url")
    )
    theirs = {one["id"] for one in (await shop.get("/v1/me/invoices", bob)).json()["data"]}
    assert len(theirs) == 2
    assert theirs.isdisjoint({newest["id"], first["id"]})
    assert (await shop.get("/v1/me/invoices", cyd)).json() == {"data": [], "next": None}
    assert (await shop.get("/v1/me/invoices", ada, limit="0")).status_code == 422
    assert (await shop.http.get("/v1/me/invoices")).status_code == 401
