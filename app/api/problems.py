"""
Refusals as they are written in answers: RFC 9457, ``application/problem+json``.

``code`` is what a program goes by; ``detail`` is for people; the error's facts are members beside them. One table gives
each code its status and title, and a test sees to it that no error of ours is missing there.
"""

import http
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, cast

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

from app.db.engine.session import is_unreachable
from app.domain.errors import DomainError
from app.observability import REFUSALS

MEDIA_TYPE = "application/problem+json"
REQUEST_ID = "X-Request-Id"
_OURS = frozenset({"type", "title", "status", "detail", "code"})  # no fact may take their place

log = structlog.get_logger()


class MalformedAddress(DomainError):
    """The path or the query holds a NUL character."""

    code = "malformed_request"


class Malformed(DomainError):
    """The body is not what this route takes."""

    code = "malformed_body"


class Invalid(DomainError):
    """A field of the request is missing, unknown or of the wrong kind."""

    code = "validation_failed"


class Problem(BaseModel):
    """RFC 9457. `code` is stable, and what a program goes by; further members are facts of the problem."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["/problems/not_found"])
    title: str
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="For people.")
    code: str
    errors: list[dict[Literal["field", "message"], str]] = Field(
        default=[],
        description="With `validation_failed`: what is wrong with which field.",
        examples=[[{"field": "body.plan", "message": "Field required"}]],
    )


@dataclass(frozen=True, slots=True)
class Kind:
    """What every problem of one code has in common."""

    status: int
    title: str
    headers: Mapping[str, str] = field(default_factory=dict)


_BEARER = {"WWW-Authenticate": "Bearer"}
_SOON = {"Retry-After": "2"}

KINDS: dict[str, Kind] = {
    # Who is calling
    "not_authenticated": Kind(401, "Nobody known is calling", _BEARER),
    "not_allowed": Kind(403, "The caller may not do this"),
    "issuer_unavailable": Kind(503, "The identity provider cannot be reached", _SOON),
    "no_signing_key": Kind(503, "There is no key to sign with just now", _SOON),
    "unknown_scope": Kind(422, "There is no such scope"),
    # What is asked for
    "not_found": Kind(404, "There is no such thing"),
    "no_subscription": Kind(404, "The reader has no subscription"),
    "gone_at_stripe": Kind(404, "Stripe has no such object any more"),
    "unknown_plan": Kind(422, "There is no such plan"),
    "unknown_feature": Kind(422, "There is no such feature"),
    "other_currency": Kind(422, "The amount is of another currency"),
    "return_url_not_allowed": Kind(422, "The address is not one that readers may be sent back to"),
    # May this reader open this?
    "not_entitled": Kind(403, "The reader may not use this feature"),
    "database_unavailable": Kind(503, "The database does not answer", _SOON),
    "comp_is_over": Kind(409, "The comp would be over before it begins"),
    "calendar_too_short": Kind(409, "The calendar does not reach so far"),
    # Buying
    "price_unavailable": Kind(409, "The price cannot be bought just now"),
    "lookup_key_taken": Kind(409, "Another product at Stripe has the price's lookup key"),
    "promotion_code_invalid": Kind(409, "The promotion code cannot be used"),
    "already_subscribed": Kind(409, "The reader has a subscription already"),
    "already_ended": Kind(409, "The subscription is over"),
    # Refunds
    "refund_refused": Kind(409, "The refund is not possible"),
    "outside_guarantee": Kind(409, "The guarantee's days are over"),
    "not_the_first_payment": Kind(409, "The guarantee covers the first payment only"),
    "guarantee_used": Kind(409, "The guarantee was used before"),
    "nothing_to_refund": Kind(409, "Nothing is left of the payment"),
    "nothing_unserved": Kind(409, "Every issue that was paid for has been served"),
    "no_calendar": Kind(409, "There is no calendar of issues yet"),
    "paid_by_credit": Kind(409, "Nothing was charged, so no money can go back"),
    "refund_too_large": Kind(409, "The refund is larger than what is left"),
    "own_request": Kind(403, "It takes a second person to decide"),
    "not_awaiting_approval": Kind(409, "The refund does not wait for a decision"),
    "credit_note_refused": Kind(409, "Stripe takes no credit note for the refund"),
    "payment_disputed": Kind(409, "The payment is disputed"),
    "refund_in_progress": Kind(409, "Another refund of the payment is on its way"),
    "quote_changed": Kind(409, "The refund is no longer worth what was quoted"),
    # Issues
    "issue_dates_wrong": Kind(422, "The issue's dates contradict each other"),
    "issue_twice": Kind(409, "There are two issues of one number"),
    "issue_out_of_order": Kind(409, "Issues come out in the order of their numbers"),
    "extension_too_large": Kind(422, "The extension is longer than a term"),
    # Requests that are repeated
    "idempotency_key_required": Kind(400, "The Idempotency-Key header is missing"),
    "idempotency_key_invalid": Kind(400, "The Idempotency-Key header is not a key"),
    "idempotency_key_reused": Kind(422, "The key was used for another request"),
    "idempotency_key_in_use": Kind(409, "The first request with the key is still running", _SOON),
    # Stripe
    "stripe_unavailable": Kind(503, "Stripe cannot be reached", _SOON),
    "not_ours": Kind(409, "The object at Stripe is none of ours"),
    "overtaken": Kind(503, "Others are changing the same thing just now", _SOON),
    "stripe_refused": Kind(409, "Stripe refuses"),
    "not_stored": Kind(503, "The event could not be stored", _SOON),
    "not_genuine": Kind(400, "The request is not Stripe's"),
    # The inbox
    "selection_changed": Kind(409, "Other events are selected than were counted"),
    "already_reconciling": Kind(409, "Another comparison with Stripe is under way"),
    "not_claimable": Kind(409, "The customer cannot be given to that reader"),
    "bad_cursor": Kind(422, "A list does not go on after that"),
    # The request itself
    "malformed_request": Kind(400, "The address holds a character that no address has"),
    "malformed_body": Kind(400, "The body is not JSON"),
    "validation_failed": Kind(422, "The request is not as described"),
    "method_not_allowed": Kind(405, "The path has no such method"),
    "body_too_large": Kind(413, "The body is too large"),
    "unexpected": Kind(500, "Something went wrong here"),
}
_CODE_OF_STATUS = {
    400: "malformed_body",
    401: "not_authenticated",
    403: "not_allowed",
    404: "not_found",
    413: "body_too_large",
}


def problem(
    code: str, detail: str, *, facts: Mapping[str, object] | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the problem document of a known code."""
    kind = KINDS[code]
    return _document(kind.status, code, kind.title, detail, facts or {}, {**kind.headers, **(headers or {})})


def response(error: DomainError, *, status: int | None = None) -> Response:
    """
    Return the problem document of an error. An error that is not in the table is our mistake: 500.

    :param status: another one than the table's, where whoever asks understands few.
    """
    if error.code not in KINDS:
        log.error("problem_without_status", code=error.code)
        return problem("unexpected", "This is our mistake; it is logged.")
    kind = KINDS[error.code]
    return _document(status or kind.status, error.code, kind.title, str(error), error.facts, kind.headers)


def unexpected(error: Exception) -> Response:
    """
    Log an error that nobody foresaw, and return a problem document that tells nothing of our insides.

    Wherever it was asked, a database that is gone is nobody's mistake, and comes back.
    """
    if is_unreachable(error):
        log.warning("database_unavailable", error=type(error).__name__)
        return problem("database_unavailable", "The database does not answer. Try again.")
    log.error("unexpected_error", error=type(error).__name__, exc_info=error)
    return problem("unexpected", "This is our mistake; it is logged.")


def not_an_address() -> Response:
    """Return the problem document of a path or a query with NUL in it, which no text in the database can hold."""
    return problem("malformed_request", "The address holds a NUL character.")


def too_large() -> Response:
    """Return the problem document of a body beyond the limit."""
    return problem("body_too_large", "The body is larger than any request needs.")


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
    Have every refusal of ``app``, ours and the framework's, answered by a problem document.

    A slash too many is refused as well: sending the caller elsewhere would be an answer that no operation has.
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
        return problem("malformed_body", "The body is not JSON.")
    errors = [{"field": _field(one["loc"]), "message": str(one["msg"]).removeprefix("Value error, ")} for one in found]
    fields = ", ".join(dict.fromkeys(one["field"] for one in errors))
    return problem("validation_failed", f"These fields are not as described: {fields}.", facts={"errors": errors})


def _field(where: Sequence[object]) -> str:
    """Return a field as ``body.plan`` or ``query.limit``. Names that the caller made up are cut short."""
    return ".".join(str(part)[:100] for part in where)


async def _on_http_error(request: Request, error: Exception) -> Response:
    refusal = cast("HTTPException", error)
    if refusal.status_code == 405:
        return problem(
            "method_not_allowed", _sentence(refusal), headers={"Allow": ", ".join(_methods_at(request, refusal))}
        )
    code = _CODE_OF_STATUS.get(refusal.status_code)
    if code is not None:
        return problem(code, _sentence(refusal), headers=refusal.headers)
    title = phrase(refusal.status_code)
    code = title.lower().replace(" ", "_").replace("-", "_").replace("'", "")
    return _document(refusal.status_code, code, title, _sentence(refusal), {}, refusal.headers or {})


def _methods_at(request: Request, refusal: HTTPException) -> list[str]:
    """Return the methods of every operation at the path: the framework tells those of the first route alone."""
    described, path = request.app.openapi()["paths"], request.url.path
    found = [described[path]] if path in described else [i for t, i in described.items() if _pattern(t).match(path)]
    told = (refusal.headers or {}).get("Allow", "").split(", ")
    return sorted({method.upper() for item in found for method in item} or set(told))


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return compile_path(template)[0]


def _sentence(refusal: HTTPException) -> str:
    match refusal.status_code:
        case 404:
            return "There is nothing at this path."
        case 405:
            return "The path has no such method; see the Allow header."
        case 413:
            return "The body is larger than any request needs."
        case 400:
            return "The body cannot be read: it must be JSON in UTF-8."
        case _:
            return str(refusal.detail)


async def _on_unexpected(_: Request, error: Exception) -> Response:
    return unexpected(error)


def phrase(status: int) -> str:
    """Return the name of an HTTP status as in RFC 9110, which Python follows from 3.13 on."""
    return {413: "Content Too Large", 422: "Unprocessable Content"}.get(status) or http.HTTPStatus(status).phrase


def problems(*errors: type[DomainError]) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses=`` of a route that may raise these, with an example of each, for the OpenAPI document."""
    found: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        kind = KINDS[error.code]
        described = found.setdefault(
            kind.status,
            {"description": phrase(kind.status), "content": {MEDIA_TYPE: {"examples": {}}}},
        )
        content = described["content"][MEDIA_TYPE]
        content["schema"] = {"$ref": f"#/components/schemas/{Problem.__name__}"}
        content["examples"][error.code] = {
            "summary": kind.title,
            "value": {
                "type": f"/problems/{error.code}",
                "title": kind.title,
                "status": kind.status,
                "detail": (error.__doc__ or kind.title).strip().splitlines()[0],
                "code": error.code,
            },
        }
    return found
