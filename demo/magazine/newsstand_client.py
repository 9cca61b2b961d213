"""The client for Newsstand's REST API, the magazine's only connection to the subscription service."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2

Json = dict[str, Any]

TIMEOUT = httpx2.Timeout(15.0, connect=2.0)  # starting a checkout includes a call to the payment processor
ARTICLE_TIMEOUT = httpx2.Timeout(3.0, connect=1.0)  # for calls that delay the front page or an article
DOUBLE_CLICK_WAIT = 15.0  # seconds that a second click waits for the result of the first


class Problem(Exception):
    """The service rejected the request (RFC 9457)."""

    def __init__(self, *, status: int, code: str, title: str, detail: str, facts: Json | None = None) -> None:
        super().__init__(f"{status} {code}: {detail or title}")
        self.status, self.code, self.title, self.detail = status, code, title, detail
        self.facts = facts or {}  # the whole problem document


class Unreachable(Exception):
    """The service did not respond, or returned a server error. This says nothing about the reader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Whether a reader may use a feature, and the service's reason code."""

    allowed: bool
    reason: str
    until: str | None


class NewsstandClient:
    """
    A client for the REST API.

    Calls on behalf of a reader use the reader's access token. The site's own API key is used only to check a reader's
    access to an article when the reader's entitlement token doesn't grant it.
    """

    def __init__(self, http: httpx2.AsyncClient, *, url: str, api_key: str) -> None:
        self._http, self._url, self._api_key = http, url, api_key

    async def plan(self, token: str | None = None) -> Json | None:
        """Return the plan on sale. With a reader's token, it leaves out what does not apply to them."""
        path = "/v1/me/plans" if token else "/v1/plans"
        plans = (await self._call("GET", path, token=token, timeout=ARTICLE_TIMEOUT)).get("data") or []
        return dict(plans[0]) if plans else None

    async def check_access(self, sub: str, feature: str) -> Access:
        """
        Return whether a reader may use a feature.

        :raises Unreachable: also if the service rejects the site's API key, which is not the reader's fault.
        """
        body = {"subscriber": sub, "feature": feature}
        try:
            found = await self._call(
                "POST", "/v1/entitlements/check", token=self._api_key, body=body, timeout=ARTICLE_TIMEOUT
            )
        except Problem as problem:
            raise Unreachable(str(problem)) from problem
        return Access(allowed=found.get("allowed") is True, reason=str(found.get("reason")), until=found.get("until"))

    async def features(self, token: str) -> frozenset[str]:
        """Return the features that the reader may use."""
        entitlements = await self._call("GET", "/v1/me/entitlements", token=token, timeout=ARTICLE_TIMEOUT)
        return frozenset(entitlements["features"])

    async def entitlement_token(self, token: str) -> str:
        """Return a signed token with the reader's features. It opens articles for minutes without further calls."""
        made = await self._call("POST", "/v1/me/entitlement-tokens", token=token, timeout=ARTICLE_TIMEOUT)
        return str(made["token"])

    async def start_checkout(self, token: str, choice: Json) -> Json:
        """Start a checkout and return it, with the URL of the payment page."""
        return await self._call("POST", "/v1/checkout-sessions", token=token, body=choice)

    async def checkout(self, token: str, session_id: str) -> Json:
        """Return the status of a checkout."""
        return await self._call("GET", f"/v1/checkout-sessions/{_path_segment(session_id)}", token=token)

    async def subscription(self, token: str) -> tuple[Json | None, Json | None]:
        """Return the reader's subscription, or None if they never had one, and their access from other sources."""
        try:
            found = await self._call("GET", "/v1/me/subscription", token=token)
        except Problem as problem:
            if problem.code == "no_subscription":
                return None, problem.facts.get("other_access")
            raise
        return found, found.get("other_access")

    async def cancel_preview(self, token: str) -> Json:
        """Return what each way to cancel would do."""
        return await self._call("GET", "/v1/me/subscription/cancel-preview", token=token)

    async def cancel(self, token: str) -> None:
        """Cancel the reader's subscription at the end of the paid period."""
        await self._call("POST", "/v1/me/subscription/cancel", token=token, body={"when": "period_end"})

    async def resume(self, token: str) -> None:
        """Resume a subscription that is set to end."""
        await self._call("POST", "/v1/me/subscription/resume", token=token)

    async def guarantee_quote(self, token: str) -> Json | None:
        """Return the reader's refund under the guarantee, or why there is none; None without a subscription."""
        try:
            return await self._call("GET", "/v1/me/refund-quote", token=token)
        except Problem as problem:
            if problem.code == "no_subscription":
                return None
            raise

    async def request_own_refund(self, token: str, *, key: str, amount: Json) -> Json:
        """Refund the reader, if the amount is still the same. Repeating the idempotency key never pays twice."""
        return await self._refund("/v1/me/refunds", token, key=key, body={"expected_amount": amount})

    async def find_readers(self, token: str, query: str) -> list[Json]:
        """Return the readers whose email address starts with the query. For staff."""
        found = await self._call("GET", f"/v1/support/subscribers?q={quote(query)}", token=token)
        return list(found.get("data") or [])

    async def reader(self, token: str, reader_id: str) -> Json:
        """Return a reader with subscriptions, payments and refunds. For staff."""
        return await self._call("GET", f"/v1/support/subscribers/{_path_segment(reader_id)}", token=token)

    async def refund_quotes(self, token: str, payment: str) -> list[Json]:
        """Return a payment's refund quotes, one for each basis. For staff."""
        found = await self._call("GET", f"/v1/support/payments/{_path_segment(payment)}/refund-quote", token=token)
        return list(found.get("quotes") or [])

    async def refund(self, token: str, *, key: str, body: Json) -> Json:
        """Refund a payment. For staff. Repeating the idempotency key never pays twice."""
        return await self._refund("/v1/support/refunds", token, key=key, body=body)

    async def _refund(self, path: str, token: str, *, key: str, body: Json) -> Json:
        """Request a refund. After a double click, the browser shows the second response, so wait for the first."""
        headers = {"Idempotency-Key": key}
        deadline = time.monotonic() + DOUBLE_CLICK_WAIT
        while True:
            try:
                return await self._call("POST", path, token=token, body=body, headers=headers)
            except Problem as problem:
                if problem.code != "idempotency_key_in_use" or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.25)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        body: Json | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: httpx2.Timeout = TIMEOUT,  # noqa: ASYNC109  # httpx's own time-out, for each phase
    ) -> Json:
        """
        Make one request.

        :raises Problem: if the service rejects it.
        :raises Unreachable: if the service fails or doesn't respond.
        """
        all_headers = dict(headers or {}) | ({"Authorization": f"Bearer {token}"} if token else {})
        try:
            response = await self._http.request(
                method, self._url + path, json=body, headers=all_headers, timeout=timeout
            )
            found = response.json() if response.content else {}
        except (httpx2.HTTPError, json.JSONDecodeError, UnicodeError) as error:
            raise Unreachable(f"{method} {path}: {error!r}") from error
        if response.status_code >= 500 or not isinstance(found, dict):
            raise Unreachable(f"{method} {path}: {response.status_code}")
        if response.is_error:
            raise Problem(
                status=response.status_code,
                code=str(found.get("code") or ""),
                title=str(found.get("title") or "Request rejected"),
                detail=str(found.get("detail") or ""),
                facts=found,
            )
        return found


def _path_segment(value: str) -> str:
    """Return a value quoted as one segment of a path."""
    return quote(value, safe="") or "-"
