"""
The routes that are asked most, below FastAPI's machinery: plain ASGI, and one query each.

FastAPI's routing and models cost more than the rest of an answer (bench: ``check_warm_vs_fastapi``), and even Starlette's
request and response objects can be told. They are described in the OpenAPI document all the same, by :data:`PATHS`.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import HTTPConnection
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app.api import problems
from app.api.deps import container
from app.api.describing import ANY_REQUEST
from app.api.problems import Invalid, Malformed
from app.domain.callers import READ_ENTITLEMENTS, NotAllowed, NotAuthenticated
from app.domain.entitlements import Decision
from app.domain.errors import DomainError
from app.domain.events import NotGenuine, NotStored
from app.domain.plans import UnknownFeature
from app.services import entitlements, webhooks


class CheckIn(BaseModel):
    """May this reader use this feature? ``subscriber`` is the identity provider's ``sub``."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"subscriber": "user-1", "feature": "archive"}]}
    )

    subscriber: str = Field(min_length=1, max_length=255)
    feature: str = Field(min_length=1, max_length=100)


class CheckOut(BaseModel):
    """The answer, with its reason; ``until`` is when it ends, or ended."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"allowed": True, "reason": "paid_term", "until": "2027-03-01T00:00:00Z"}]}
    )

    allowed: bool
    reason: str
    until: str | None


class EventIn(BaseModel):
    """An event of Stripe's. Only its ids are used: what happened is asked of Stripe."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "id": "evt_1",
                    "object": "event",
                    "api_version": "2026-02-25.clover",
                    "created": 1772388000,
                    "livemode": False,
                    "type": "invoice.paid",
                    "data": {"object": {"id": "in_1", "object": "invoice"}},
                }
            ]
        },
    )

    id: str
    type: str


class ReceivedOut(BaseModel):
    """Stripe need not send it again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"received": True}]})

    received: Literal[True]


class Hot:
    """A route: sends the JSON that ``answer`` makes of a request, or the problem it raises."""

    def __init__(self, answer: Callable[[HTTPConnection, Receive], Awaitable[bytes]]) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            said = await self._answer(HTTPConnection(scope), receive)
        except DomainError as refusal:
            await problems.response(refusal)(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(said))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": said})


async def check(request: HTTPConnection, receive: Receive) -> bytes:
    """Answer for one reader and one feature."""
    shop = container(request)
    await shop.authenticator.server(request, READ_ENTITLEMENTS)
    sub, feature = _asked(await _body(receive))
    return _said(await entitlements.check(shop.pool, shop.rules, sub, feature, now=await shop.clock.policy()))


def _asked(body: bytes) -> tuple[str, str]:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed("the body is not JSON in UTF-8") from None
    if not isinstance(asked, dict):
        raise Invalid("the body must be an object", errors=[{"field": "body", "message": "must be an object"}])
    wrong = [
        {"field": f"body.{name}", "message": "is not a field"} for name in asked.keys() - {"subscriber", "feature"}
    ]
    for name, most in (("subscriber", 255), ("feature", 100)):
        value = asked.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= most or "\x00" in value or not _encodable(value):
            wrong.append({"field": f"body.{name}", "message": f"must be a text of 1 to {most} characters"})
    if wrong:
        raise Invalid("; ".join(f"{w['field']} {w['message']}" for w in wrong), errors=wrong)
    return asked["subscriber"], asked["feature"]


def _encodable(value: str) -> bool:
    """Tell whether PostgreSQL can hold it: JSON may bring half of a surrogate pair."""
    return value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value)


def _said(answer: Decision) -> bytes:
    until = f'"{answer.until.isoformat()[:19]}Z"' if answer.until is not None else "null"
    return f'{{"allowed":{"true" if answer.allowed else "false"},"reason":"{answer.reason}","until":{until}}}'.encode()


async def stripe_webhook(request: HTTPConnection, receive: Receive) -> bytes:
    """Take in what Stripe tells us. 200 once it is safely stored, or was already."""
    shop = container(request)
    if await webhooks.accept(
        shop.arrivals,
        await _body(receive),
        request.headers.get("stripe-signature"),
        secrets=[secret.get_secret_value() for secret in shop.settings.webhook_secrets],
        livemode=shop.settings.livemode,
        now=shop.clock.real(),
    ):
        shop.wake()
    return b'{"received":true}'


async def _body(receive: Receive) -> bytes:
    """Read the body; the middleware has seen to its length."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise Malformed("the body ended before its end")
    return body


ROUTES = [
    Route("/v1/entitlements/check", Hot(check), methods=["POST"]),
    Route("/webhooks/stripe", Hot(stripe_webhook), methods=["POST"]),
]


def _operation(
    summary: str, *, said: type[BaseModel], means: str, refusals: tuple[type[DomainError], ...], **more: Any
) -> dict[str, Any]:
    responses = {str(status): response for status, response in problems.problems(*ANY_REQUEST, *refusals).items()}
    responses["200"] = {"description": means, "content": _json(said)}
    return {"summary": summary, "responses": dict(sorted(responses.items())), **more}


def _json(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}


PATHS: dict[str, Any] = {
    "/v1/entitlements/check": {
        "post": _operation(
            "May this reader use this feature?",
            description="For servers, on every page view. A reader who never subscribed is a normal answer, and no error.",
            operationId="check_entitlement",
            tags=["entitlements"],
            security=[{"server": [READ_ENTITLEMENTS]}],
            requestBody={"required": True, "content": _json(CheckIn)},
            said=CheckOut,
            means="The answer, with its reason",
            refusals=(Malformed, Invalid, NotAuthenticated, NotAllowed, UnknownFeature),
        )
    },
    "/webhooks/stripe": {
        "post": _operation(
            "Stripe tells what happened",
            description="200 once the event is safely stored, or was already. Only what Stripe signed is taken in.",
            operationId="stripe_webhook",
            tags=["webhooks"],
            parameters=[
                {
                    "name": "Stripe-Signature",
                    "in": "header",
                    "required": True,
                    "description": "The time of the delivery, and signatures of it and the body.",
                    "schema": {"type": "string"},
                    "example": "t=1772388000,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd",
                }
            ],
            requestBody={"required": True, "content": _json(EventIn)},
            said=ReceivedOut,
            means="The event is safely stored, or was already",
            refusals=(NotGenuine, NotStored),
        )
    },
}
SCHEMAS: tuple[type[BaseModel], ...] = (CheckIn, CheckOut, EventIn, ReceivedOut, problems.Problem)
