"""
What the OpenAPI document says of every operation alike, so that no route has to say it and none forgets.

A route that is :class:`Described` has a readable operation id, and names the refusals that come before its own code is
reached: who is calling, and whether the request is one at all. 405 is in none: it is what a path answers, for methods that
are not described.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from app.api.problems import InvalidUrl, MalformedBody, ValidationFailed, problems
from app.domain.callers import IssuerUnavailable, NotAllowed, NotAuthenticated
from app.domain.errors import DomainError, NotFound, TooLarge

_FIRST_SENTENCE = re.compile(r"[.;](?=\s|$)")
Responses = dict[int | str, dict[str, Any]]
ANY_REQUEST: tuple[type[DomainError], ...] = (InvalidUrl, TooLarge)  # refused before a route is looked for

TAGS = {
    "plans": "What can be subscribed to.",
    "checkout": "A reader begins to subscribe, and comes back.",
    "subscription": "A reader's subscription, as easily ended as begun.",
    "entitlements": "May this reader open this?",
    "refunds": "Money back, once.",
    "support": "What staff see of a reader, and do for them.",
    "issues": "The calendar, which circulation keeps.",
    "webhooks": "What Stripe tells.",
    "operation": "Whether the service is well.",
}

NEEDS_KEY: dict[str, Any] = {  # said by hand: what FastAPI finds missing would be 422, and is 400 here
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": True,
            "description": "One fresh value for each intent, kept 24 h: the same key and body replays the first answer.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            "example": "b1946ac9-2492-4d23-8f25-5c6e0f7a2c1d",
        }
    ]
}
MAY_HAVE_KEY: dict[str, Any] = {"parameters": [{**NEEDS_KEY["parameters"][0], "required": False}]}


class Described(APIRoute):
    """A route whose description is whole."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.operation_id = self.operation_id or self.name
        self.summary = self.summary or _FIRST_SENTENCE.split(self.description, maxsplit=1)[0]
        self.responses = merged(problems(*ANY_REQUEST, *_refusals(self)), self.responses)


def merged(alike: Mapping[int | str, Any], own: Mapping[int | str, Any]) -> Responses:
    """Return both, the examples of one status side by side and the own first."""
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
    """Return what may be refused before the endpoint is reached."""
    needed = list(_all(route.dependant))
    schemes = [one for one in needed if one.call is not None and hasattr(one.call, "scheme_name")]
    if schemes:
        yield NotAuthenticated
    if any(one.own_oauth_scopes for one in needed):
        yield NotAllowed
    if any(getattr(one.call, "scheme_name", None) == "person" for one in schemes):
        yield IssuerUnavailable
    if route.dependant.path_params:
        yield NotFound
    if route.body_field is not None:
        yield MalformedBody
    if route.body_field is not None or any(one.path_params or one.query_params or one.header_params for one in needed):
        yield ValidationFailed


def _all(needed: Dependant) -> Iterator[Dependant]:
    yield needed
    for one in needed.dependencies:
        yield from _all(one)
