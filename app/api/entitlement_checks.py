"""
``/v1/entitlements/check`` and ``/v1/entitlements/check-many``: may this reader use this feature?

Plain ASGI, because servers check on every page view (see :mod:`app.api.asgi`). Most checks are answered earlier, by
:mod:`app.api.fast_path`, with the same functions.
"""

import json
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import HTTPConnection
from starlette.routing import Route
from starlette.types import Receive

from app.api import json_body
from app.api.asgi import JsonEndpoint, json_content, operation, read_body
from app.api.deps import api_state
from app.api.listed_values import AccessReasonText
from app.api.models import ApiModel
from app.api.problems import MAX_ERRORS, MalformedBody, TooManyFields, ValidationFailed
from app.domain.callers import LONGEST_SUB, ApiScope, NotAllowed, NotAuthenticated
from app.domain.entitlements import Decision
from app.domain.errors import DatabaseUnavailable
from app.domain.plans import UnknownFeature
from app.domain.text import is_storable
from app.services.entitlements import CachedDecision

LONGEST_FEATURE = 100  # characters
MAX_SUBSCRIBERS = 100  # in one request
EARLIER_ERROR = "newsstand.earlier_error"  # key in the ASGI scope: an error that the fast path met


class CheckIn(ApiModel):
    """A reader and a feature."""

    model_config = ConfigDict(extra="forbid")

    subscriber: str = Field(
        min_length=1,
        max_length=LONGEST_SUB,
        description="The reader's `sub` at the identity provider.",
        examples=["user-1"],
    )
    feature: str = Field(min_length=1, max_length=LONGEST_FEATURE, examples=["archive"])


class CheckOut(ApiModel):
    """A decision, and its reason."""

    allowed: bool = Field(examples=[True])
    reason: AccessReasonText = Field(examples=["paid_term"])
    until: str | None = Field(
        description="When the access ends or ended; null if no end is known.", examples=["2027-03-01T00:00:00Z"]
    )


class CheckManyIn(ApiModel):
    """Several readers and a feature."""

    model_config = ConfigDict(extra="forbid")

    subscribers: list[str] = Field(min_length=1, max_length=MAX_SUBSCRIBERS, examples=[["user-1", "user-2"]])
    feature: str = Field(min_length=1, max_length=LONGEST_FEATURE, examples=["archive"])


class CheckedOut(CheckOut):
    """The decision about one of several readers."""

    subscriber: str = Field(examples=["user-1"])


class CheckManyOut(ApiModel):
    """The decisions about several readers, in the order of the request and without duplicates."""

    data: list[CheckedOut]


async def check(request: HTTPConnection, receive: Receive) -> bytes:
    """Check one reader and one feature."""
    api = api_state(request)
    await api.authenticator.server(request, ApiScope.READ_ENTITLEMENTS)
    body = _parse(await read_body(receive), {"subscriber", "feature"}, subscriber=LONGEST_SUB, feature=LONGEST_FEATURE)
    if EARLIER_ERROR in request.scope:
        raise request.scope[EARLIER_ERROR]
    now = await api.ctx.clock.policy()
    return body_of(await api.entitlements.check(body["subscriber"], body["feature"], now=now))


async def check_many(request: HTTPConnection, receive: Receive) -> bytes:
    """Check several readers and one feature."""
    api = api_state(request)
    await api.authenticator.server(request, ApiScope.READ_ENTITLEMENTS)
    body = _parse(await read_body(receive), {"subscribers", "feature"}, feature=LONGEST_FEATURE)
    subs: object = body.get("subscribers")
    valid = isinstance(subs, list) and 0 < len(subs) <= MAX_SUBSCRIBERS and all(fits(sub, LONGEST_SUB) for sub in subs)
    if not isinstance(subs, list) or not valid:
        message = f"must be a list of 1 to {MAX_SUBSCRIBERS} strings of 1 to {LONGEST_SUB} characters"
        raise ValidationFailed(
            f"body.subscribers {message}", errors=[{"field": "body.subscribers", "message": message}]
        )
    decisions = await api.entitlements.check_many(subs, body["feature"], now=await api.ctx.clock.policy())
    data = [{"subscriber": sub, **_as_json(decision)} for sub, decision in decisions.items()]
    return json.dumps({"data": data}).encode()


def _parse(body: bytes, names: set[str], **max_lengths: int) -> dict[str, Any]:
    """
    Return the object in a request body.

    :param max_lengths: by the name of a string field, its greatest length.
    :raises MalformedBody: if it is not JSON.
    :raises TooManyFields: if it has more than 100.
    :raises ValidationFailed: if a field is unknown, missing or invalid.
    """
    try:
        found = json_body.parse(body)
    except (ValueError, RecursionError):
        raise MalformedBody("The request body is not JSON in UTF-8") from None
    if not isinstance(found, dict):
        raise ValidationFailed("The body must be an object", errors=[{"field": "body", "message": "must be an object"}])
    unknown = [name for name in found if name not in names]
    errors = [{"field": f"body.{name[:100]}", "message": "is not a known field"} for name in unknown[:MAX_ERRORS]]
    errors += [
        {"field": f"body.{name}", "message": f"must be a string of 1 to {longest} characters"}
        for name, longest in max_lengths.items()
        if not fits(found.get(name), longest)
    ]
    if errors:
        raise ValidationFailed("; ".join(f"{one['field']} {one['message']}" for one in errors), errors=errors)
    return found


def fits(value: object, longest: int) -> bool:
    """Return whether a value is a string that can be stored, of 1 to ``longest`` characters."""
    return isinstance(value, str) and 0 < len(value) <= longest and is_storable(value)


def body_of(decision: CachedDecision) -> bytes:
    """Return the JSON of a decision. It is rendered once and kept with the cached decision."""
    if decision.body is None:
        decision.body = json.dumps(_as_json(decision.decision), separators=(",", ":")).encode()
    return decision.body


def _as_json(decision: Decision) -> dict[str, object]:
    return {"allowed": decision.allowed, "reason": decision.reason, "until": format_time(decision.until)}


def format_time(at: datetime | None) -> str | None:
    """Return a time in UTC in ISO 8601."""
    return f"{at.isoformat()[:19]}Z" if at is not None else None


ROUTES = [
    Route("/v1/entitlements/check", JsonEndpoint(check), methods=["POST"]),
    Route("/v1/entitlements/check-many", JsonEndpoint(check_many), methods=["POST"]),
]


def _operation(
    summary: str, operation_id: str, request: type[BaseModel], response: type[BaseModel], description: str
) -> dict[str, Any]:
    return operation(
        summary,
        description=f"{description} A reader without a subscription is denied, which is not an error.",
        operationId=operation_id,
        tags=["entitlements"],
        security=[{"server": [ApiScope.READ_ENTITLEMENTS]}],
        requestBody={"required": True, "content": json_content(request)},
        response=response,
        response_description="The decision" if request is CheckIn else "The decisions",
        errors=(
            MalformedBody,
            TooManyFields,
            ValidationFailed,
            NotAuthenticated,
            NotAllowed,
            UnknownFeature,
            DatabaseUnavailable,
        ),
    )


PATHS: dict[str, Any] = {
    "/v1/entitlements/check": {
        "post": _operation(
            "Check an entitlement",
            "check_entitlement",
            CheckIn,
            CheckOut,
            "Returns whether a reader may use a feature. Servers call it on every page view.",
        )
    },
    "/v1/entitlements/check-many": {
        "post": _operation(
            "Check an entitlement for several readers",
            "check_entitlements",
            CheckManyIn,
            CheckManyOut,
            "Returns which of these readers may use a feature.",
        )
    },
}
SCHEMAS: tuple[type[BaseModel], ...] = (CheckIn, CheckOut, CheckManyIn, CheckedOut, CheckManyOut)
