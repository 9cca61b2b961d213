"""``/webhooks/stripe``: receive Stripe's events. Plain ASGI (see :mod:`app.api.asgi`)."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import HTTPConnection
from starlette.routing import Route
from starlette.types import Receive

from app.api import problems
from app.api.asgi import JsonEndpoint, json_content, operation, read_body
from app.api.deps import api_state
from app.api.models import ApiModel
from app.domain.events import EventNotStored, InvalidEvent
from app.services import webhooks


class EventIn(ApiModel):
    """A Stripe event. Only its IDs are used; the current state is fetched from Stripe."""

    model_config = ConfigDict(extra="allow")

    id: str = Field(examples=["evt_1"])
    type: str = Field(examples=["invoice.paid"])


class ReceivedOut(ApiModel):
    """The event is stored, so Stripe does not send it again."""

    received: Literal[True] = Field(examples=[True])


async def stripe_webhook(request: HTTPConnection, receive: Receive) -> bytes:
    """Store an event. The response is sent once the event is on disk."""
    ctx = api_state(request).ctx
    signature = request.headers.get("stripe-signature")
    if await webhooks.accept(ctx, await read_body(receive), signature, now=ctx.clock.real()):
        ctx.wake_workers()
    return b'{"received":true}'


ROUTES = [Route("/webhooks/stripe", JsonEndpoint(stripe_webhook), methods=["POST"])]
PATHS: dict[str, Any] = {
    "/webhooks/stripe": {
        "post": operation(
            "Receive a Stripe event",
            description="Returns 200 once the event is stored. The signature must be valid.",
            operationId="stripe_webhook",
            tags=["webhooks"],
            parameters=[
                {
                    "name": "Stripe-Signature",
                    "in": "header",
                    "required": True,
                    "description": "The time of the delivery, and signatures of the time and the body.",
                    "schema": {"type": "string"},
                    "example": "t=1772388000,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd",
                }
            ],
            requestBody={"required": True, "content": json_content(EventIn)},
            response=ReceivedOut,
            response_description="The event is stored, now or by an earlier delivery",
            errors=(InvalidEvent, EventNotStored),
        )
    },
}
SCHEMAS: tuple[type[BaseModel], ...] = (EventIn, ReceivedOut, problems.Problem)
