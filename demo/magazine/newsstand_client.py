"""The only way from the magazine to the subscription service: its REST API over HTTP."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2

Json = dict[str, Any]

PATIENCE = httpx2.Timeout(15.0, connect=2.0)  # a checkout waits for the payment processor
HASTE = httpx2.Timeout(3.0, connect=1.0)  # nobody waits long for an article
CLICK = 15.0  # seconds that a second click waits for what comes of the first


class Problem(Exception):
    """The service said no, and why (RFC 9457)."""

    def __init__(self, *, status: int, code: str, title: str, detail: str) -> None:
        super().__init__(f"{status} {code}: {detail or title}")
        self.status, self.code, self.title, self.detail = status, code, title, detail


class Unreachable(Exception):
    """The service did not answer, or not sensibly. It says nothing about the reader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Whether a reader may use a feature, and the service's reason."""

    allowed: bool
    reason: str
    until: str | None


class Newsstand:
    """
    What the site asks of the service.

    A reader's token is passed where the reader acts; the site's own key serves one purpose, the question that is
    asked before a gated article when the reader's signed token does not answer it.
    """

    def __init__(self, http: httpx2.AsyncClient, *, url: str, api_key: str) -> None:
        self._http, self._url, self._api_key = http, url, api_key

    async def plan(self) -> Json | None:
        """Return the plan that the magazine sells."""
        plans = (await self._call("GET", "/v1/plans", timeout=HASTE)).get("data") or []
        return dict(plans[0]) if plans else None

    async def may_use(self, sub: str, feature: str) -> Answer:
        """
        Ask whether a reader may use a feature.

        :raises Unreachable: also where the service refuses the site itself, which is not the reader's fault.
        """
        question = {"subscriber": sub, "feature": feature}
        try:
            found = await self._call(
                "POST", "/v1/entitlements/check", token=self._api_key, body=question, timeout=HASTE
            )
        except Problem as problem:
            raise Unreachable(str(problem)) from problem
        return Answer(allowed=found.get("allowed") is True, reason=str(found.get("reason")), until=found.get("until"))

    async def features(self, token: str) -> frozenset[str]:
        """Return the names of all that a reader may use."""
        return frozenset((await self._call("GET", "/v1/me/entitlements", token=token, timeout=HASTE))["features"])

    async def entitlement_token(self, token: str) -> str:
        """Return a signed token of what the reader may use, which opens articles for minutes without a question."""
        return str((await self._call("POST", "/v1/me/entitlement-tokens", token=token, timeout=HASTE))["token"])

    async def start_checkout(self, token: str, choice: Json) -> Json:
        """Start a checkout; the answer holds the address of the page where the reader pays."""
        return await self._call("POST", "/v1/checkout-sessions", token=token, body=choice)

    async def checkout(self, token: str, session_id: str) -> Json:
        """Return how a checkout ended."""
        return await self._call("GET", f"/v1/checkout-sessions/{_segment(session_id)}", token=token)

    async def subscription(self, token: str) -> Json | None:
        """Return the reader's subscription, if there ever was one."""
        try:
            return await self._call("GET", "/v1/me/subscription", token=token)
        except Problem as problem:
            if problem.code == "no_subscription":
                return None
            raise

    async def cancel(self, token: str) -> None:
        """End the reader's subscription with what is paid."""
        await self._call("POST", "/v1/me/subscription/cancel", token=token, body={"when": "period_end"})

    async def resume(self, token: str) -> None:
        """Undo a scheduled end."""
        await self._call("POST", "/v1/me/subscription/resume", token=token)

    async def my_refund_quote(self, token: str) -> Json | None:
        """Return what the guarantee would pay the reader back, or why it would not; nothing without a subscription."""
        try:
            return await self._call("GET", "/v1/me/refund-quote", token=token)
        except Problem as problem:
            if problem.code == "no_subscription":
                return None
            raise

    async def my_refund(self, token: str, *, key: str, amount: Json) -> Json:
        """Give the reader their money back, if it is still this much; the same key never pays twice."""
        return await self._pays("/v1/me/refunds", token, key=key, body={"expected_amount": amount})

    async def find_readers(self, token: str, query: str) -> list[Json]:
        """Find readers by e-mail address, as staff."""
        found = await self._call("GET", f"/v1/support/subscribers?q={quote(query)}", token=token)
        return list(found.get("data") or [])

    async def reader(self, token: str, reader_id: str) -> Json:
        """Return all about one reader, as staff."""
        return await self._call("GET", f"/v1/support/subscribers/{_segment(reader_id)}", token=token)

    async def refund_quotes(self, token: str, payment: str) -> list[Json]:
        """Return what a refund of a payment would pay, on each basis, as staff."""
        found = await self._call("GET", f"/v1/support/payments/{_segment(payment)}/refund-quote", token=token)
        return list(found.get("quotes") or [])

    async def refund(self, token: str, *, key: str, body: Json) -> Json:
        """Give money back, as staff; the same key never pays twice."""
        return await self._pays("/v1/support/refunds", token, key=key, body=body)

    async def _pays(self, path: str, token: str, *, key: str, body: Json) -> Json:
        """Have money move once. A browser shows only what its second click was answered, so that waits for the first."""
        headers = {"Idempotency-Key": key}
        until = time.monotonic() + CLICK
        while True:
            try:
                return await self._call("POST", path, token=token, body=body, headers=headers)
            except Problem as problem:
                if problem.code != "idempotency_key_in_use" or time.monotonic() > until:
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
        timeout: httpx2.Timeout = PATIENCE,  # noqa: ASYNC109  # it is the client's own, per phase
    ) -> Json:
        """
        Make one request.

        :raises Problem: if the service refused it.
        :raises Unreachable: if there is no service to be understood.
        """
        sent = dict(headers or {}) | ({"Authorization": f"Bearer {token}"} if token else {})
        try:
            response = await self._http.request(method, self._url + path, json=body, headers=sent, timeout=timeout)
            found = response.json() if response.content else {}
        except (httpx2.HTTPError, json.JSONDecodeError, UnicodeError) as error:
            raise Unreachable(f"{method} {path}: {error!r}") from error
        if response.status_code >= 500 or not isinstance(found, dict):
            raise Unreachable(f"{method} {path}: {response.status_code}")
        if response.is_error:
            raise Problem(
                status=response.status_code,
                code=str(found.get("code") or ""),
                title=str(found.get("title") or "The request was refused"),
                detail=str(found.get("detail") or ""),
            )
        return found


def _segment(value: str) -> str:
    """Return a value as one segment of a path, whatever a browser sent."""
    return quote(value, safe="") or "-"
