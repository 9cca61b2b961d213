"""How often one caller may do what is costly or allows guessing, in all processes together."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from app.db.caller_limits import CallerLimits
from app.db.engine.pool import open_pool
from app.domain.caller_limits import Limit
from app.domain.errors import TooManyRequests
from app.setting_types import NO_LIMIT, Rate
from tests.openapi.test_contract import SNAPSHOT
from tests.support.shop import Person, Shop, open_shop

HOUR = timedelta(hours=1)
FEW = Rate(3, HOUR)
LIMITED = {Limit.STRIPE: FEW, Limit.API_KEY: NO_LIMIT}


def assert_refused(answer: httpx2.Response, limit: Limit) -> None:
    assert (answer.status_code, answer.json()["code"], answer.json()["limit"]) == (429, "too_many_requests", limit)
    assert 60 < int(answer.headers["retry-after"]) <= 3600


async def granted(limits: CallerLimits, limit: Limit, subject: str, *, times: int) -> int:
    """Return how often a subject was allowed."""
    results = await asyncio.gather(*(limits.take(limit, subject) for _ in range(times)), return_exceptions=True)
    assert all(one is None or isinstance(one, TooManyRequests) for one in results), results
    return results.count(None)


async def test_all_processes_share_a_limit_and_each_subject_has_its_own(database: str) -> None:
    pools = [await open_pool(database, size=3, pooler=False) for _ in range(2)]
    one, other = (CallerLimits(pool, LIMITED) for pool in pools)
    try:
        counts = await asyncio.gather(*(granted(one_of, Limit.STRIPE, "ada", times=8) for one_of in (one, other)))
        assert sum(counts) == 3
        assert await granted(other, Limit.STRIPE, "ben", times=3) == 3
        assert await granted(one, Limit.API_KEY, "ada", times=50) == 50  # not limited
        rows = await pools[0].fetch("SELECT name FROM buckets WHERE name LIKE 'caller:%'")
        assert len(rows) == 2
        assert not any("ada" in row["name"] or "ben" in row["name"] for row in rows)
        await one.prune()
        assert await pools[0].fetchval("SELECT count(*) FROM buckets") == 2
        await pools[0].execute("UPDATE buckets SET at = at - interval '2 days'")
        await one.prune()
        assert await pools[0].fetchval("SELECT count(*) FROM buckets") == 0
    finally:
        for pool in pools:
            await pool.close()


async def test_a_bucket_fills_evenly_and_says_when_to_come_back(database: str) -> None:
    pool = await open_pool(database, size=2, pooler=False)
    try:
        assert await granted(CallerLimits(pool, LIMITED), Limit.STRIPE, "ada", times=5) == 3
        with pytest.raises(TooManyRequests) as refused:
            await CallerLimits(pool, LIMITED).take(Limit.STRIPE, "ada")
        assert refused.value.retry_after is not None
        assert timedelta(minutes=15) < refused.value.retry_after <= timedelta(minutes=20)
        await pool.execute("UPDATE buckets SET at = at - interval '41 minutes'")  # two thirds of the hour
        assert await granted(CallerLimits(pool, LIMITED), Limit.STRIPE, "ada", times=5) == 2
    finally:
        await pool.close()


async def test_nothing_is_limited_while_the_database_is_unreachable() -> None:
    pool = await open_pool("postgresql://nobody@127.0.0.1:1/nothing", size=1, pooler=False)
    assert await granted(CallerLimits(pool, LIMITED), Limit.STRIPE, "ada", times=5) == 5
    await pool.close()


@pytest.fixture
async def strict_shop(database: str, sandbox: Any, issuer: Any) -> AsyncIterator[Shop]:
    """Provide a service with low limits."""
    limits: dict[str, Any] = {f"limit_{limit}": FEW for limit in Limit}
    async with open_shop(database, sandbox, issuer, **limits) as shop:
        yield shop


async def requests_for_readers(shop: Shop) -> int:
    """Return how many requests the local Stripe received, without those for the time, which a worker sends, too."""
    received = (await shop.stripe.get("/_sandbox/requests")).json()["data"]
    return sum(not one["path"].startswith("/v1/test_helpers/") for one in received)


async def test_one_reader_cannot_use_up_what_others_need_of_stripe(strict_shop: Shop) -> None:
    ada, ben = strict_shop.person("ada"), strict_shop.person("ben")
    for _ in range(3):
        assert (await strict_shop.get("/v1/me/invoices", ada)).status_code in (200, 404)
    before = await requests_for_readers(strict_shop)
    for path in ("/v1/me/invoices", "/v1/checkout-sessions/cs_1", "/v1/me/refund-quote"):
        assert_refused(await strict_shop.get(path, ada), Limit.STRIPE)
    assert_refused(await strict_shop.open_checkout(ada), Limit.STRIPE)
    assert await requests_for_readers(strict_shop) == before
    assert (await strict_shop.get("/v1/me/entitlements", ada)).status_code == 200  # needs no Stripe
    assert (await strict_shop.open_checkout(ben)).status_code == 201


async def test_promotion_codes_and_searches_cannot_be_tried_without_end(
    database: str, sandbox: Any, issuer: Any
) -> None:
    async with open_shop(database, sandbox, issuer, limit_promotion_code=FEW, limit_search=FEW) as shop:
        ada = shop.person("ada")
        for number in range(3):
            tried = await shop.open_checkout(ada, promotion_code=f"GUESS{number}")
            assert tried.json()["code"] == "promotion_code_invalid"
        assert_refused(await shop.open_checkout(ada, promotion_code="GUESS4"), Limit.PROMOTION_CODE)
        assert (await shop.open_checkout(ada)).status_code == 201
        for letter in "abc":
            assert (await shop.get("/v1/support/subscribers", shop.agent, q=letter)).status_code == 200
        assert_refused(await shop.get("/v1/support/subscribers", shop.agent, q="d"), Limit.SEARCH)


async def test_wrong_api_keys_are_refused_and_known_keys_are_not(strict_shop: Shop) -> None:
    shop = strict_shop
    assert not await shop.may_read(shop.person())
    for number in range(3):
        assert (await check_with(shop, f"nsk_{number:043}")).status_code == 401
    for number in range(3, 6):
        assert_refused(await check_with(shop, f"nsk_{number:043}"), Limit.API_KEY)
    assert not await shop.may_read(shop.person())  # the site's own key, used before


async def check_with(shop: Shop, key: str) -> httpx2.Response:
    body = {"subscriber": "ada", "feature": "archive"}
    return await shop.http.post("/v1/entitlements/check", json=body, headers={"Authorization": f"Bearer {key}"})


async def test_sign_in_cannot_be_completed_without_end(database: str, sandbox: Any, issuer: Any) -> None:
    console: dict[str, Any] = {"oidc_client_id": "console", "session_key": "k" * 40}
    async with open_shop(database, sandbox, issuer, limit_sign_in=FEW, **console) as shop:
        answers = [await shop.http.get("/console/signed-in?code=guess&state=guess") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [400, 400, 400, 429]
        assert 60 < int(answers[-1].headers["retry-after"]) <= 3600


async def test_every_operation_that_calls_stripe_is_limited(shop: Shop) -> None:
    """Each operation is called once. One that reaches Stripe must document the limit."""
    document = json.loads(SNAPSHOT.read_text())
    reader, chief = shop.person("ada"), shop.person("chief", roles=("admin",))
    await shop.subscribe(reader)
    seen = await shop.overview(reader)
    known = {
        "subscriber_id": seen["id"],
        "subscription_id": seen["subscriptions"][0]["id"],
        "payment_id": seen["payments"][0]["id"],
        "session_id": "cs_unknown",
        "sub": reader.sub,
        "code": "annual",
        "number": "1",
    }
    unlimited = []
    # The reader is erased last, because a worker continues with it.
    for path, item in sorted(document["paths"].items(), key=lambda one: one[0].endswith("/erase")):
        for method, operation in item.items():
            if path.startswith("/webhooks") or "key" in str(operation.get("security")):
                continue
            by = chief if "support" in path else reader
            calls = await call_and_count(shop, method, path, operation, by, known, document)
            if calls and "429" not in operation["responses"]:
                unlimited.append((method, path, calls))
    assert unlimited == []


async def call_and_count(
    shop: Shop, method: str, path: str, operation: Any, by: Person, known: dict[str, str], document: Any
) -> list[str]:
    """Call an operation with its example, and return the calls to Stripe that it caused."""
    await shop.wait_until_idle()
    await shop.stripe.delete("/_sandbox/requests")
    address = path
    for name in operation.get("parameters", []):
        if name["in"] == "path":
            address = address.replace(f"{{{name['name']}}}", known.get(name["name"], "unknown"))
    body = None
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        body = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["examples"][0]
        body = {**body, "payment": known["payment_id"]} if "payment" in body else body
    headers = {**by.headers, "Idempotency-Key": f"{method} {path}".replace(" ", "-")}
    await shop.http.request(method, address, headers=headers, json=body)
    asked = (await shop.stripe.get("/_sandbox/requests")).json()["data"]
    return sorted({f"{one['method']} {one['path']}" for one in asked if "/test_clocks/" not in one["path"]})
