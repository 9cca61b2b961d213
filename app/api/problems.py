"""
Errors as problem documents: RFC 9457, ``application/problem+json``.

``code`` is for programs and ``detail`` for people; the error's facts become further members. An error's class carries its
code, its title and its category, and the category decides the status and the headers.
"""

import http
import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, cast

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

from app.api.models import ApiModel
from app.db.engine.outages import outages
from app.db.engine.session import is_unreachable
from app.domain.callers import NotAllowed, NotAuthenticated
from app.domain.errors import (
    Conflict,
    DatabaseUnavailable,
    DomainError,
    Forbidden,
    Invalid,
    MalformedRequest,
    NotFound,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from app.domain.staff_sessions import AccessTokenTooOld, RecentSignInRequired
from app.observability import REFUSALS
from app.validation_messages import message

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 20  # invalid fields that a response names
MAX_MESSAGE = 300  # characters: a message may quote the value
REQUEST_ID = "X-Request-Id"
_OURS = frozenset({"type", "title", "status", "detail", "code"})  # no fact may take their place

log = structlog.get_logger()


STATUSES: Mapping[type[DomainError], int] = {
    MalformedRequest: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    TooLarge: 413,
    Invalid: 422,
    TooManyRequests: 429,
    Unavailable: 503,
}


class InvalidUrl(MalformedRequest):
    """The URL contains a NUL character."""

    code = "malformed_request"
    title = "Invalid character in the URL"


class MalformedBody(MalformedRequest):
    """The request body must be JSON in UTF-8."""

    code = "malformed_body"
    title = "Malformed request body"


class TooManyFields(Invalid):
    """The request body has too many fields."""

    code = "too_many_fields"
    title = "Too many fields"


class ValidationFailed(Invalid):
    """A field of the request is missing, unknown or invalid."""

    code = "validation_failed"
    title = "Validation failed"


class Problem(ApiModel):
    """A problem document (RFC 9457). `code` is stable and meant for programs; further members depend on the code."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["/problems/not_found"])
    title: str = Field(examples=["Not found"])
    status: int = Field(ge=400, le=599, examples=[404])
    detail: str = Field(description="A sentence for people.", examples=["No such refund: rfd_0c5e."])
    code: str = Field(examples=["not_found"])
    errors: list[dict[Literal["field", "message"], str]] = Field(
        default=[],
        description="With `validation_failed`: the invalid fields.",
        examples=[[]],
    )


def status_of(error: type[DomainError]) -> int:
    """Return the HTTP status of an error, which follows from its category."""
    return next(status for category, status in STATUSES.items() if issubclass(error, category))


def response(error: DomainError, *, status: int | None = None) -> Response:
    """
    Return the problem document of an error.

    :param status: a status to use instead of the category's, for callers that handle only a few.
    """
    status = status or status_of(type(error))
    headers = {"WWW-Authenticate": _challenge(error)} if isinstance(error, Unauthenticated) else {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after.total_seconds()))
    return _document(status, error.code, error.title, str(error), error.facts, headers)


def _challenge(error: Unauthenticated) -> str:
    """Return the challenge of RFC 6750, with the step-up parameters of RFC 9470, section 3."""
    match error:
        case RecentSignInRequired():
            parameters = {
                "error": "insufficient_user_authentication",
                "error_description": str(error),
                "max_age": str(error.facts.get("max_age", 0)),
            }
            if "acr_values" in error.facts:
                parameters["acr_values"] = " ".join(cast("Sequence[str]", error.facts["acr_values"]))
        case AccessTokenTooOld():
            parameters = {"error": "invalid_token", "error_description": str(error)}
        case _:
            return "Bearer"
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parameters.items())


def unexpected(error: Exception) -> Response:
    """
    Log an unexpected error, and return a problem document that reveals nothing of it.

    A lost connection to the database is not a bug: the response says to try again.
    """
    if is_unreachable(error):
        outages.failed("request", error)
        return response(DatabaseUnavailable())
    log.error("unexpected_error", error=type(error).__name__, exc_info=error)
    return _document(500, "unexpected", "Internal server error", "An unexpected error occurred. It was logged.", {}, {})


def _document(
    status: int, code: str, title: str, detail: str, facts: Mapping[str, object], headers: Mapping[str, str]
) -> Response:
    REFUSALS.labels(code).inc()
    content: dict[str, object] = {
        "type": f"/problems/{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        **{name: fact for name, fact in facts.items() if name not in _OURS},
    }
    return Response(
        json.dumps(content, default=str, ensure_ascii=True), status, headers=dict(headers), media_type=MEDIA_TYPE
    )


def install(app: FastAPI) -> None:
    """
    Return every error of ``app``, ours and the framework's, as a problem document.

    A trailing slash is an error too: no operation documents a redirect.
    """
    app.router.redirect_slashes = False
    app.add_exception_handler(DomainError, _on_domain_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_unexpected)


async def _on_domain_error(_: Request, error: Exception) -> Response:
    return response(cast("DomainError", error))


async def _on_invalid(_: Request, error: Exception) -> Response:
    found = cast("Sequence[dict[str, Any]]", cast("RequestValidationError", error).errors())
    if any(one["type"] == "json_invalid" for one in found):
        return response(MalformedBody())
    errors = [
        {
            "field": _field(one["loc"]),
            "message": message(one["type"], str(one["msg"]), one.get("ctx", {}))[:MAX_MESSAGE],
        }
        for one in found[:MAX_ERRORS]
    ]
    fields = ", ".join(dict.fromkeys(one["field"] for one in errors))
    more = f", and {len(found) - MAX_ERRORS} more" if len(found) > MAX_ERRORS else ""
    return response(ValidationFailed(f"These fields are invalid: {fields}{more}.", errors=errors))


def _field(location: Sequence[object]) -> str:
    """Return a field as ``body.plan`` or ``query.limit``. Long names are cut off, since the caller may choose them."""
    return ".".join(str(part)[:100] for part in location)


async def _on_http_error(request: Request, error: Exception) -> Response:
    raised = cast("HTTPException", error)
    match raised.status_code:
        case 400:  # the framework wraps what its reading of the body raised
            cause = raised.__cause__
            return response(cause if isinstance(cause, DomainError) else MalformedBody())
        case 401:
            return response(NotAuthenticated(str(raised.detail)))
        case 403:
            return response(NotAllowed(str(raised.detail)))
        case 404:
            return response(NotFound("No endpoint has this path."))
        case 413:
            return response(TooLarge())
    headers, detail = dict(raised.headers or {}), str(raised.detail)
    if raised.status_code == 405:
        headers = {"Allow": ", ".join(_methods_at(request, raised))}
        detail = "See the Allow header for the methods of this path."
    title = phrase(raised.status_code).capitalize()
    code = title.lower().replace(" ", "_").replace("-", "_").replace("'", "")
    return _document(raised.status_code, code, title, detail, {}, headers)


def _methods_at(request: Request, raised: HTTPException) -> list[str]:
    """Return the methods of all operations at the path. The framework names only those of the first route."""
    described, path = request.app.openapi()["paths"], request.url.path
    found = [described[path]] if path in described else [i for t, i in described.items() if _pattern(t).match(path)]
    named = (raised.headers or {}).get("Allow", "").split(", ")
    return sorted({method.upper() for item in found for method in item} or set(named))


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return compile_path(template)[0]


async def _on_unexpected(_: Request, error: Exception) -> Response:
    return unexpected(error)


def phrase(status: int) -> str:
    """Return the name of an HTTP status as in RFC 9110, which Python follows from 3.13 on."""
    return {413: "Content Too Large", 422: "Unprocessable Content"}.get(status) or http.HTTPStatus(status).phrase


def problems(*errors: type[DomainError]) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses=`` of a route that may raise these, with an example of each, for the OpenAPI document."""
    found: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        status = status_of(error)
        described = found.setdefault(
            status,
            {"description": phrase(status), "content": {MEDIA_TYPE: {"examples": {}}}},
        )
        content = described["content"][MEDIA_TYPE]
        content["schema"] = {"$ref": f"#/components/schemas/{Problem.__name__}"}
        content["examples"][error.code] = {
            "summary": error.title,
            "value": {
                "type": f"/problems/{error.code}",
                "title": error.title,
                "status": status,
                "detail": error.default_detail(),
                "code": error.code,
            },
        }
    return found
