"""In the API, moving money and giving access needs a recent sign-in and a new access token (RFC 9470)."""

import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from app.api.deps import RECENT_SIGN_IN_REQUIRED
from app.api.openapi import _all
from app.api.routes import ROUTERS
from app.domain.callers import Reader
from app.domain.staff_sessions import AccessTokenTooOld, RecentSignIn, RecentSignInRequired
from tests.support.shop import Shop

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HALF_AN_HOUR, MINUTE = timedelta(minutes=30), timedelta(minutes=1)
MONEY = {
    "POST /v1/support/refunds",
    "POST /v1/support/refunds/{refund_id}/approve",
    "POST /v1/support/approvals/{request_id}/approve",
    "POST /v1/support/comps",
    "POST /v1/support/subscriptions/{subscription_id}/resume",
    "POST /v1/support/subscriptions/{subscription_id}/extend",
    "PUT /v1/support/subscriptions/{subscription_id}/print-edition",
    "POST /v1/support/claims",
    "POST /v1/support/back-issues",
    "GET /v1/support/subscribers/{subscriber_id}/export",
    "POST /v1/support/subscribers/{subscriber_id}/erase",
    "POST /v1/reports/liability/closings",
    "POST /v1/api-keys",
    "POST /v1/api-keys/{key_id}/rotate",
    "POST /v1/webhook-endpoints",
    "POST /v1/webhook-endpoints/{endpoint_id}/rotate",
}


def test_all_that_moves_money_or_gives_access_needs_a_recent_sign_in() -> None:
    found = {
        f"{method} {route.path}"
        for router in ROUTERS
        for route in router.routes
        for method in route.methods
        if any(one.call in RECENT_SIGN_IN_REQUIRED for one in _all(route.dependant))
    }
    assert found == MONEY


@pytest.mark.parametrize(
    ("age", "accepted"),
    [
        pytest.param(timedelta(0), True, id="just now"),
        pytest.param(HALF_AN_HOUR, True, id="half an hour ago"),
        pytest.param(HALF_AN_HOUR + MINUTE, False, id="longer ago"),
        pytest.param(None, False, id="the provider does not say"),
    ],
)
def test_age_of_a_sign_in(age: timedelta | None, *, accepted: bool) -> None:
    signed_in_at = NOW - age if age is not None else None
    assert RecentSignIn(max_age=HALF_AN_HOUR).accepts(signed_in_at, None, now=NOW) is accepted
    assert RecentSignIn(max_age=None).accepts(signed_in_at, None, now=NOW)


@pytest.mark.parametrize(("acr", "accepted"), [("strong", True), ("stronger", True), ("weak", False), (None, False)])
def test_class_of_a_sign_in(acr: str | None, *, accepted: bool) -> None:
    required = RecentSignIn(max_age=HALF_AN_HOUR, acr_values=("strong", "stronger"))
    assert required.accepts(NOW, acr, now=NOW) is accepted
    assert replace(required, max_age=None).accepts(None, acr, now=NOW) is accepted, "of any age, but of a class"


def test_token_is_checked_before_the_sign_in() -> None:
    required = RecentSignIn(max_age=HALF_AN_HOUR, acr_values=("strong",))
    with pytest.raises(AccessTokenTooOld):
        required.check_token(Reader(sub="robin", issued_at=NOW - timedelta(minutes=16)), now=NOW)
    with pytest.raises(AccessTokenTooOld):
        required.check_token(Reader(sub="robin", signed_in_at=NOW, acr="strong"), now=NOW)
    with pytest.raises(RecentSignInRequired) as refused:
        required.check_token(Reader(sub="robin", issued_at=NOW), now=NOW)
    assert refused.value.facts == {"max_age": 1800, "acr_values": ["strong"]}
    required.check_token(Reader(sub="robin", issued_at=NOW, signed_in_at=NOW, acr="strong"), now=NOW)


async def send(shop: Shop, operation: str, **claims: Any) -> httpx2.Response:
    """Send an operation with a supervisor's and administrator's token with these claims."""
    method, path = operation.split(" ")
    token = shop.issuer.token("alex", roles=["supervisor", "admin"], claims=claims)
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k-1"}
    return await shop.http.request(method, re.sub(r"\{\w+\}", "made-up", path), headers=headers, json={})


async def test_old_sign_ins_and_tokens_are_challenged(shop: Shop) -> None:
    now = int(time.time())
    for operation in sorted(MONEY):
        answer = await send(shop, operation, auth_time=now - 3600)
        assert (answer.status_code, answer.json()["code"]) == (401, "recent_sign_in_required"), operation
        assert answer.json()["max_age"] == 1800
        challenge = answer.headers["www-authenticate"]
        assert challenge.startswith('Bearer error="insufficient_user_authentication", error_description="')
        assert challenge.endswith('", max_age="1800"')

        answer = await send(shop, operation, auth_time=None)
        assert answer.json()["code"] == "recent_sign_in_required", operation

        answer = await send(shop, operation, iat=now - 16 * 60)
        assert (answer.status_code, answer.json()["code"]) == (401, "access_token_too_old"), operation
        assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token", error_description="')

        assert (await send(shop, operation)).status_code not in {401, 403}, operation


async def test_old_tokens_can_read(shop: Shop) -> None:
    answer = await send(shop, "GET /v1/support/subscribers", iat=int(time.time()) - 16 * 60, auth_time=None)
    assert answer.status_code == 200
