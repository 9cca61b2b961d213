"""
The routes that are asked most, below FastAPI's machinery: plain ASGI, and one query each.

FastAPI's routing and models cost more than the rest of an answer (bench: ``check_warm_vs_fastapi``), and even Starlette's
request and response objects can be told. They are described in the OpenAPI document all the same, by :data:`PATHS`.
Whether a reader may open something is asked in :mod:`app.api.entitlement_checks`.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import HTTPConnection
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app.api import problems
from app.api.deps import api_state
from app.api.models import ApiModel
from app.api.openapi import ANY_REQUEST
from app.api.problems import MalformedBody
from app.domain.errors import DomainError
from app.domain.events import EventNotStored, InvalidEvent
from app.services import webhooks


class EventIn(ApiModel):
    """An event of Stripe's. Only its ids are used: what happened is asked of Stripe."""

    model_config = ConfigDict(extra="allow")

    id: str = Field(examples=["evt_1"])
    type: str = Field(examples=["invoice.paid"])


class ReceivedOut(ApiModel):
    """Stripe need not send it again."""

    received: Literal[True] = Field(examples=[True])


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


async def stripe_webhook(request: HTTPConnection, receive: Receive) -> bytes:
    """Take in what Stripe tells us. 200 once it is safely stored, or was already."""
    ctx = api_state(request).ctx
    signature = request.headers.get("stripe-signature")
    if await webhooks.accept(ctx, await whole(receive), signature, now=ctx.clock.real()):
        ctx.wake_workers()
    return b'{"received":true}'


async def whole(receive: Receive) -> bytes:
    """Read the body; the middleware has seen to its length."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise MalformedBody("the body ended before its end")
    return body


ROUTES = [
    Route("/webhooks/stripe", Hot(stripe_webhook), methods=["POST"]),
]


def operation(
    summary: str, *, said: type[BaseModel] | None, means: str, refusals: tuple[type[DomainError], ...], **more: Any
) -> dict[str, Any]:
    """Return the description of an operation, in the words that FastAPI would find by itself."""
    responses = {str(status): response for status, response in problems.problems(*ANY_REQUEST, *refusals).items()}
    if said is not None:
        responses["200"] = {"description": means, "content": in_json(said)}
    return {"summary": summary, "responses": dict(sorted(responses.items())), **more}


def in_json(model: type[BaseModel]) -> dict[str, Any]:
    """Return the description of a JSON body."""
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}


PATHS: dict[str, Any] = {
    "/webhooks/stripe": {
        "post": operation(
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
            requestBody={"required": True, "content": in_json(EventIn)},
            said=ReceivedOut,
            means="The event is safely stored, or was already",
            refusals=(InvalidEvent, EventNotStored),
        )
    },
}
SCHEMAS: tuple[type[BaseModel], ...] = (EventIn, ReceivedOut, problems.Problem)
