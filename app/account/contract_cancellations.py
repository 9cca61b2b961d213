"""
Canceling a contract without a sign-in: the form, and the acknowledgment.

Section 312k of the German Civil Code (BGB) prescribes the labels of the two buttons, and that the page can be reached at any
time without a sign-in. The answer doesn't tell whether the contract is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.account import labels, templating
from app.account.access_control import MAX_FORM_FIELDS, with_retry_after
from app.account.request import Fault
from app.account.state import account_of
from app.domain.caller_limits import Limit
from app.domain.declarations import (
    LONGEST_EMAIL,
    LONGEST_LINE,
    LONGEST_REASON,
    CancellationInvalid,
    CancellationNotice,
    CancellationType,
    Language,
)
from app.domain.errors import TooManyRequests
from app.domain.text import is_storable
from app.services import cancellations

LONGEST: Mapping[str, int] = {
    "name": LONGEST_LINE,
    "email": LONGEST_EMAIL,
    "contract": LONGEST_LINE,
    "reason": LONGEST_REASON,
    "ends_on": len("2027-03-01"),
}


@dataclass(frozen=True, slots=True)
class _Refused(Exception):
    field: str
    code: str


async def show(request: Request) -> Response:
    """Show the form. Nothing is changed."""
    return _render(request, _language_of(request), {})


async def declare(request: Request) -> Response:
    """Store the cancellation, and acknowledge it."""
    async with request.form(max_files=0, max_fields=MAX_FORM_FIELDS) as fields:
        form = {name: value.strip() for name, value in fields.items() if isinstance(value, str)}
    language = Language.GERMAN if form.get("language") == Language.GERMAN else Language.ENGLISH
    texts = labels.CONTRACT_CANCELLATION[language]
    account = account_of(request)
    ctx = account.ctx
    try:
        notice = _notice(form, language)
        await ctx.caller_limits.take(Limit.CANCELLATION, request.client.host if request.client else "unknown")
        await ctx.caller_limits.take(Limit.CANCELLATION, notice.email.casefold())
        declared = await cancellations.declare(ctx, notice, now=await ctx.clock.policy())
    except _Refused as refused:
        fault = Fault(message=texts[refused.code], status=422, field=refused.field)
        return _render(request, language, form, fault)
    except CancellationInvalid as invalid:
        field = str(invalid.facts.get("field") or "")
        return _render(request, language, form, Fault(message=texts[f"fault_{field}"], status=422, field=field))
    except TooManyRequests as refusal:
        response = _render(request, language, form, Fault(message=texts["too_many"], status=429))
        return with_retry_after(response, refusal)
    return templating.render(
        request, "contract_canceled.html", texts=texts, language=language, declared=declared, status=202
    )


def _notice(form: Mapping[str, str], language: Language) -> CancellationNotice:
    for field, longest in LONGEST.items():
        if len(form.get(field, "")) > longest or not is_storable(form.get(field, "")):
            raise _Refused(field, "fault_long")
    if form.get("type") not in set(CancellationType):
        raise _Refused("type", "fault_type")
    ends_on = None
    if form.get("ends_on"):
        try:
            ends_on = date.fromisoformat(form["ends_on"])
        except ValueError:
            raise _Refused("ends_on", "fault_ends_on") from None
    return CancellationNotice(
        name=form.get("name", ""),
        email=form.get("email", ""),
        contract=form.get("contract", ""),
        extraordinary=form["type"] == CancellationType.EXTRAORDINARY,
        reason=form.get("reason") or None,
        ends_on=ends_on,
        language=language,
    )


def _language_of(request: Request) -> Language:
    """Return the language that the link or the browser asks for."""
    asked = request.query_params.get("lang") or request.headers.get("accept-language", "")
    return Language.GERMAN if asked.strip().lower().startswith("de") else Language.ENGLISH


def _render(request: Request, language: Language, form: Mapping[str, str], fault: Fault | None = None) -> Response:
    return templating.render(
        request,
        "cancel_contract.html",
        status=fault.status if fault is not None else 200,
        texts=labels.CONTRACT_CANCELLATION[language],
        language=language,
        entered=form,
        longest=LONGEST,
        fault=fault,
        plans=account_of(request).ctx.catalogue.plans.values(),
    )


ROUTES = [
    Route("/cancel-contract", show, methods=["GET"], name="show_contract_cancellation"),
    Route("/cancel-contract", declare, methods=["POST"], name="declare_contract_cancellation"),
]
