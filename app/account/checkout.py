"""Subscribing: the plans, the way to the payment page, and the way back from it."""

from collections.abc import Sequence
from urllib.parse import urlencode

from starlette.responses import Response

from app.account.access_control import form_route, page_route
from app.account.request import AccountRequest, InvalidForm
from app.db.checkouts import COMPLETE, EXPIRED, FAILED, Choice
from app.domain.caller_limits import Limit
from app.domain.consents import LONGEST_USER_AGENT, ConsentDetails
from app.domain.plans import PRINT
from app.domain.subscriptions import NoSubscription
from app.domain.text import is_showable
from app.services import checkout, plans, subscriptions
from app.services.checkout import CheckoutRequest

LONGEST_CODE = 100  # characters
LOOKS = 5  # how often the page after the payment looks by itself whether access has begun


async def show_plans(request: AccountRequest) -> Response:
    """Show the plans on sale, with the choice of a link or of the form filled in; or that the reader has one already."""
    if request.fault is None and not await _may_subscribe(request):
        return request.redirect("/")
    offered = await plans.of_reader(request.ctx, request.sub, now=request.now)
    codes = [plan.code for plan, _ in offered]
    return request.render(
        "subscribe.html",
        offered=offered,
        chosen=request.form.get("choice") or chosen(request.query("plan"), request.query("edition"), codes),
        code=request.form.get("code") or request.query("code", max_length=LONGEST_CODE),
        left="left" in request.http.query_params,
        allow_duplicate=request.fault is not None and request.fault.code == "possible_duplicate",
        now=request.now,
    )


async def start(request: AccountRequest) -> Response:
    """Open the payment page."""
    plan, _, edition = request.text("choice", max_length=200).partition(":")
    if not plan:
        raise InvalidForm("Choose an edition.", field="choice")
    code = request.text("code", max_length=LONGEST_CODE) or None
    if code is not None:
        await request.ctx.caller_limits.take(Limit.PROMOTION_CODE, request.sub)
    back = {"plan": plan, "edition": edition, "code": code or "", "left": "1"}
    wanted = CheckoutRequest(
        choice=Choice(plan=plan, print_edition=edition == PRINT, promotion_code=code),
        success_url=request.url("/welcome?session_id={CHECKOUT_SESSION_ID}"),  # which Stripe replaces
        cancel_url=request.url(f"/subscribe?{urlencode({name: value for name, value in back.items() if value})}"),
        allow_duplicate=request.form.get("allow_duplicate") == "yes",
        own_url=request.url("/"),
        consent=_consent(request),
    )
    opened = await checkout.start(request.ctx, wanted, reader=request.session.reader, now=request.now)
    if opened.url is None:
        return request.redirect("/")
    return request.leave(opened.url)


async def welcome(request: AccountRequest) -> Response:
    """
    Welcome a reader who returns from the payment page. Stripe is asked if its event is late.

    The page looks a few times by itself whether access has begun, and then says that the payment takes longer.
    """
    session_id = request.query("session_id")
    result = await checkout.result(request.ctx, session_id, sub=request.sub, now=request.now)
    looks = request.query("looks", max_length=2)
    looked = int(looks) if looks.isascii() and looks.isdecimal() else 0
    waits = not result.entitled and result.checkout.status not in {EXPIRED, FAILED} and looked < LOOKS
    ended = result.checkout.status == COMPLETE and not result.entitled and await _has_ended(request)
    return request.render(
        "welcome.html",
        entitled=result.entitled,
        ended=ended,
        is_paid=result.checkout.status == COMPLETE,
        again=urlencode({"session_id": session_id, "looks": looked + 1}) if waits and not ended else None,
    )


def _consent(request: AccountRequest) -> ConsentDetails:
    """Return what is known of the reader's browser. What it says of itself is cut and cleaned, never refused."""
    said = "".join(one for one in request.http.headers.get("user-agent", "") if is_showable(one))
    client = request.http.client
    return ConsentDetails(ip=client.host if client is not None else None, user_agent=said[:LONGEST_USER_AGENT] or None)


async def _may_subscribe(request: AccountRequest) -> bool:
    try:
        details = await subscriptions.current(request.ctx, request.sub, now=request.now)
    except NoSubscription:
        return True
    return details.status.may_subscribe


async def _has_ended(request: AccountRequest) -> bool:
    """Return whether the subscription has ended since it was paid, for example by a refund."""
    try:
        details = await subscriptions.current(request.ctx, request.sub, now=request.now)
    except NoSubscription:
        return False
    return details.subscription.over_at is not None


def chosen(plan: str, edition: str, codes: Sequence[str]) -> str:
    """
    Return the plan and edition of a link, as the form names them.

    :param plan: empty: the first one on sale.
    :param codes: of the plans on sale, in the catalogue's order. Without any, nothing is chosen.
    """
    return f"{plan or codes[0]}:{edition or 'digital'}" if codes else ""


ROUTES = [
    page_route("/subscribe", show_plans),
    form_route("/subscribe", start, shown_by=show_plans),
    page_route("/welcome", welcome, calls_stripe=True),
]
