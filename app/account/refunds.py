"""Money back under the guarantee: what it pays and does, and then the refund, once for each time the page was shown."""

import secrets
from collections.abc import Sequence
from dataclasses import replace

from starlette.responses import Response

from app.account import labels
from app.account.access_control import form_route, page_route
from app.account.request import AccountRequest
from app.db.engine.session import new_id
from app.domain.refunds import Refund, RefundStatus
from app.domain.subscriptions import NoSubscription
from app.services import idempotency, quotes, refunds

FAILED = frozenset({RefundStatus.FAILED, RefundStatus.CANCELED})


async def preview(request: AccountRequest) -> Response:
    """Show the refund and its effects, with the form, or why there is none. Nothing is changed."""
    try:
        _, quote = await quotes.guarantee_of(request.ctx, request.sub, now=request.now)
    except NoSubscription:
        return request.redirect("/")
    # A form that is shown again keeps its key, so that trying it again can't refund twice.
    key = request.form.get("key") if request.fault is not None and request.fault.code != "quote_changed" else None
    return request.render(
        "refund.html",
        quote=quote,
        refusal=labels.error(quote.refusal) if quote.refusal is not None else "",
        key=key or secrets.token_urlsafe(18),
    )


async def submit(request: AccountRequest) -> Response:
    """Refund the term, if the amount is still the one that the reader saw. A form that is sent twice counts once."""
    expected = request.amount()
    named = {
        "caller": f"reader:{request.sub}",
        "route": "POST /account/refund",
        "key": idempotency.check_key(request.text("key", max_length=100)),
    }
    ctx, now = request.ctx, request.now

    async def work(refund_id: str) -> tuple[int, dict[str, object]]:
        wanted = await refunds.guarantee_request(ctx, request.sub, expected=expected, now=now)
        marked = replace(wanted, request_hash=idempotency.request_hash(**named))
        parts = await refunds.issue(ctx, marked, refund_id=refund_id, by=named["caller"], now=now)
        return 201, {"status": _overall(parts), "amount": sum(one.amount for one in parts)}

    answer = await idempotency.once(
        ctx,
        **named,
        body=f"{expected.amount} {expected.currency}".encode(),
        new_object_id=new_id("rfd"),
        work=work,
    )
    amount = ctx.localization.money(int(str(answer.body["amount"])), expected.currency)
    return request.redirect("/", flash=_message(str(answer.body["status"]), amount))


def _overall(parts: Sequence[Refund]) -> str:
    statuses = {one.status for one in parts}
    if statuses & FAILED:
        return str(RefundStatus.FAILED)
    return str(RefundStatus.SUCCEEDED) if statuses == {RefundStatus.SUCCEEDED} else str(RefundStatus.PROCESSING)


def _message(status: str, amount: str) -> str:
    if status == RefundStatus.FAILED:
        return f"We couldn’t refund {amount} to your card. Please ask us for help."
    if status == RefundStatus.SUCCEEDED:
        return f"We’ve refunded {amount} to your card. It takes 5 to 10 days to appear on your statement."
    return f"Your refund of {amount} is on its way to your card. You don’t need to do anything."


ROUTES = [
    page_route("/refund", preview),
    form_route("/refund", submit, shown_by=preview),
]
