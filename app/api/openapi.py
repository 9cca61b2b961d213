"""
The parts of the OpenAPI document that all operations share, so that no route repeats or omits them.

A :class:`Described` route has a readable operation ID and documents the errors that can occur before its own code runs:
authentication and malformed requests. 405 is in none of them, since it is the answer to methods that are not
described.
"""

import re
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from app.api.deps import LIMITED, RECENT_SIGN_IN_REQUIRED
from app.api.hosts import UnknownHost
from app.api.json_body import JsonRequest
from app.api.models import ApiModel
from app.api.problems import InvalidUrl, MalformedBody, TooManyFields, ValidationFailed, problems
from app.domain.callers import IssuerUnavailable, NotAllowed, NotAuthenticated
from app.domain.errors import DomainError, NotFound, Overloaded, TooLarge, TooManyRequests
from app.domain.staff_sessions import AccessTokenTooOld, RecentSignInRequired

_FIRST_SENTENCE = re.compile(r"[.;](?=\s|$)")
REFERENCE = "#/components/schemas/{model}"
Responses = dict[int | str, dict[str, Any]]
ANY_REQUEST: tuple[type[DomainError], ...] = (InvalidUrl, UnknownHost, TooLarge, Overloaded)  # raised before routing

TAGS = {
    "plans": "The plans on offer.",
    "checkout": "Subscribing through Stripe Checkout.",
    "subscription": "The reader's own subscription, invoices and payment methods.",
    "entitlements": "What a reader may use.",
    "refunds": "Quoting, issuing and approving refunds.",
    "approvals": "Refunds, complimentary access and extensions that need a second person.",
    "queue": "The work queue: what staff have to look at, who works on it, and notes.",
    "support": "Readers, their subscriptions and complimentary access, for staff.",
    "notifications": "What readers are told by email, and emails that came back.",
    "issues": "The issue calendar, for circulation staff.",
    "reports": "The liability to readers, and the circulation of issues.",
    "webhooks": "Events from Stripe.",
    "privacy": "Personal data: who saw it, exports and erasures.",
    "operation": "Health, metrics, the inbox and the audit log, for operators.",
}

NEEDS_KEY: dict[str, Any] = {  # written by hand: FastAPI would answer a missing header with 422, not 400
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": True,
            "description": "A unique value for each request, kept for 24 hours. The same key and body repeat the response.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            "example": "b1946ac9-2492-4d23-8f25-5c6e0f7a2c1d",
        }
    ]
}
MAY_HAVE_KEY: dict[str, Any] = {"parameters": [{**NEEDS_KEY["parameters"][0], "required": False}]}


class Described(APIRoute):
    """A route with a complete description."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.operation_id = self.operation_id or self.name
        if self.summary is None:  # the first sentence; the description does not repeat it
            self.summary, rest = _FIRST_SENTENCE.split(self.description, maxsplit=1)
            self.description = rest.strip()
        self.responses = merged(problems(*ANY_REQUEST, *_refusals(self)), self.responses)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Read JSON bodies with a limited number of fields."""
        handle = super().get_route_handler()

        async def handle_limited(request: Request) -> Response:
            return await handle(JsonRequest(request.scope, request.receive))

        return handle_limited


def merged(alike: Mapping[int | str, Any], own: Mapping[int | str, Any]) -> Responses:
    """Merge responses; examples of the same status are combined, the route's own first."""
    found: Responses = {status: dict(response) for status, response in own.items()}
    for status, response in alike.items():
        if status not in found:
            found[status] = response
            continue
        for media_type, content in response["content"].items():
            mine = found[status].get("content", {}).get(media_type, {})
            examples = {**mine.get("examples", {}), **content["examples"]}
            described = {**found[status].get("content", {}), media_type: {**content, **mine, "examples": examples}}
            found[status] = {**found[status], "content": described}
    return dict(sorted(found.items(), key=lambda one: str(one[0])))


def _refusals(route: APIRoute) -> Iterator[type[DomainError]]:
    """Yield the errors that can occur before the endpoint is reached."""
    needed = list(_all(route.dependant))
    schemes = [one for one in needed if one.call is not None and hasattr(one.call, "scheme_name")]
    if schemes:
        yield NotAuthenticated
    if any(hasattr(one.call, LIMITED) for one in needed):
        yield TooManyRequests
    if any(one.own_oauth_scopes for one in needed):
        yield NotAllowed
    if any(one.call in RECENT_SIGN_IN_REQUIRED for one in needed):
        yield AccessTokenTooOld
        yield RecentSignInRequired
    if any(getattr(one.call, "scheme_name", None) == "person" for one in schemes):
        yield IssuerUnavailable
    if route.dependant.path_params:
        yield NotFound
    if route.body_field is not None:
        yield MalformedBody
        yield TooManyFields
    if route.body_field is not None or any(one.path_params or one.query_params or one.header_params for one in needed):
        yield ValidationFailed


def _all(needed: Dependant) -> Iterator[Dependant]:
    yield needed
    for one in needed.dependencies:
        yield from _all(one)


def restore_nulls(schemas: dict[str, Any]) -> None:
    """Restore the nulls in the examples of all bodies. FastAPI leaves nulls out of the whole document."""
    for model in _all_models(ApiModel):
        if model.__name__ in schemas:
            _copy_examples(model.model_json_schema(ref_template=REFERENCE), schemas[model.__name__])


def _all_models(model: type[ApiModel]) -> Iterator[type[ApiModel]]:
    for one in model.__subclasses__():
        yield one
        yield from _all_models(one)


def _copy_examples(made: Any, shown: Any) -> None:
    """Copy the examples of a schema and of its parts."""
    if isinstance(shown, dict):
        for name in shown:
            if name == "examples" and isinstance(made[name], list):
                shown[name] = made[name]
            elif name in made:
                _copy_examples(made[name], shown[name])
    elif isinstance(shown, list):
        for one, other in zip(made, shown, strict=True):
            _copy_examples(one, other)
