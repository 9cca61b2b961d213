"""Money back, in three keystrokes: choose, confirm, done. What would happen is said before, and what did after."""

from datetime import timedelta

from starlette.responses import Response

from app.console.access_control import check_reader, does, shows
from app.console.labels import amount_of, money
from app.console.request import BadForm, Visit
from app.db.engine.session import new_id
from app.domain.callers import SUPERVISOR, SUPPORT
from app.domain.money import Money
from app.domain.quotes import Quote, needs_approval
from app.domain.refunds import AWAITING, GOODWILL, PROCESSING, QuoteChanged, Reason, Refund, RefundTooLarge
from app.services import approvals, idempotency, quotes, refunds, support
from app.services.refunds import RefundRequest

REASONS: dict[str, str] = {
    Reason.REQUESTED_BY_READER: "The reader asked for it",
    Reason.DISSATISFIED: "Not satisfied with the magazine",
    Reason.COPIES_MISSING: "Copies did not come",
    Reason.COPIES_DAMAGED: "Copies came damaged",
    Reason.TECHNICAL_PROBLEM: "Something of ours did not work",
    Reason.BILLED_BY_MISTAKE: "Billed by mistake",
    Reason.RENEWAL_UNWANTED: "Did not want the renewal",
    Reason.HARDSHIP: "Hardship",
    Reason.BEREAVEMENT: "Bereavement",
    Reason.OTHER: "Something else, as the note says",
}
LARGEST = 99_999_999  # Stripe's largest amount, in minor units
AT_ONCE = 50  # requests on the page of approvals


async def choose(visit: Visit) -> Response:
    """Show what each basis would pay for a payment, and why or why not."""
    payment_id = visit.path("payment")
    found = await support.payment(visit.ctx, payment_id)
    quoted = await quotes.of_payment(visit.ctx, payment_id, now=visit.now)
    return visit.page("refund_form.html", found=found, quotes=quoted, reasons=REASONS, first=_first(quoted))


async def confirm(visit: Visit) -> Response:
    """Say in words what is about to happen, once more with the amount."""
    payment_id = visit.path("payment")
    found = await support.payment(visit.ctx, payment_id)
    await check_reader(visit, found.subscriber.id)
    quoted = await quotes.of_payment(visit.ctx, payment_id, now=visit.now)
    quote = next((one for one in quoted if one.basis == visit.form.get("basis")), None)
    if quote is None:
        raise BadForm("Please choose on which basis to refund.")
    if quote.refusal is not None:
        raise quote.refusal
    reason, note = visit.why(REASONS)
    given = _goodwill(visit, quote) if quote.basis == GOODWILL else quote.money
    rules = visit.ctx.rules
    waits = needs_approval(quote.basis, given, rules.catalogue.policies, now=visit.now, zone=rules.zone)
    return visit.page(
        "refund_review.html",
        found=found,
        quote=quote,
        given=given,
        waits=waits,
        reason=reason,
        reasons=REASONS,
        note=note or "",
        key=visit.fresh_key(),
    )


async def issue(visit: Visit) -> Response:
    """Give the money back, if it is still what the agent saw. Sent twice, it is done once."""
    ctx, payment_id = visit.ctx, visit.path("payment")
    await check_reader(visit, (await support.payment(ctx, payment_id)).subscriber.id)
    reason, note = visit.why(REASONS)
    basis = visit.text("basis", most=40)
    expected = Money(visit.number("amount", least=1, most=LARGEST), visit.text("currency", most=3))
    request = RefundRequest(
        payment_id=payment_id,
        basis=visit.chosen("basis", dict.fromkeys(("guarantee", "unserved_issues", GOODWILL))),
        reason=reason,
        note=note,
        expected=expected,
        amount=expected if basis == GOODWILL else None,
    )

    async def work(refund_id: str) -> tuple[int, dict[str, str]]:
        await refunds.issue(ctx, request, refund_id=refund_id, by=visit.staff.actor, now=visit.now)
        return 201, {"id": refund_id}

    try:
        answer = await idempotency.once(
            ctx,
            caller=visit.staff.actor,
            route=f"POST {visit.request.url.path}",
            key=idempotency.check_key(visit.text("key", most=100)),
            body=repr(request).encode(),
            new_object_id=new_id("rfd"),
            work=work,
        )
    except QuoteChanged as changed:
        shown, now_worth = (money(int(str(changed.facts[name])), expected.currency) for name in ("expected", "amount"))
        say = f"Nothing was refunded: it was worth {shown} when you looked, and is worth {now_worth} now. Look again."
        return visit.go(f"/payments/{payment_id}/refund", say=say)
    except RefundTooLarge:
        say = "Nothing was refunded: less is left of the payment by now. Look again."
        return visit.go(f"/payments/{payment_id}/refund", say=say)
    return visit.go(f"/refunds/{answer.body['id']}")


async def show(visit: Visit) -> Response:
    """Show what became of a refund; while it is on its way the page looks again by itself."""
    found = await support.refund(visit.ctx, visit.path("refund"))
    act = await approvals.shown(visit.ctx, visit.path("refund"))
    return visit.page(
        "refund_status.html",
        found=found,
        refund=found.refund,
        act=act,
        total=sum(one.amount for one in act),
        stands=_overall(act),
        on_its_way=any(one.status == PROCESSING for one in act),
        long_on_its_way=any(
            one.status == PROCESSING and visit.now - one.created_at > timedelta(minutes=2) for one in act
        ),
        mine=found.refund.requested_by == visit.staff.actor,
        reasons=REASONS,
        key=visit.fresh_key(),
    )


async def waiting(visit: Visit) -> Response:
    """Show the refunds that wait for a second person, and those that a person has to look at."""
    ctx = visit.ctx
    asked = await approvals.listed(ctx, status=AWAITING, attention=False, after=None, limit=AT_ONCE)
    stuck = await approvals.listed(ctx, status=None, attention=True, after=None, limit=AT_ONCE)
    names = await support.names(ctx, [one.subscriber_id for one in (*asked.found, *stuck.found)])
    return visit.page("approvals.html", asked=asked, stuck=stuck, names=names, reasons=REASONS)


async def approve(visit: Visit) -> Response:
    """Let a refund be paid that somebody else asked for."""
    ctx, refund_id = visit.ctx, visit.path("refund")
    await check_reader(visit, (await support.refund(ctx, refund_id)).subscriber.id)
    try:
        taken = await approvals.approve(ctx, refund_id, by=visit.staff.actor, now=visit.now)
    except QuoteChanged:
        return visit.go(f"/refunds/{refund_id}", say="Not approved: less is left of the payment by now. Reject it.")
    await refunds.pay(ctx, taken, now=visit.now)
    return visit.go(f"/refunds/{refund_id}")


async def reject(visit: Visit) -> Response:
    """Refuse a refund that somebody else asked for."""
    ctx, refund_id, note = visit.ctx, visit.path("refund"), visit.text("note") or None
    await check_reader(visit, (await support.refund(ctx, refund_id)).subscriber.id)
    await approvals.reject(ctx, refund_id, by=visit.staff.actor, note=note, now=visit.now)
    return visit.go(f"/refunds/{refund_id}", say="Rejected. Nothing is paid.")


def _goodwill(visit: Visit, quote: Quote) -> Money:
    """
    Return the amount that was written down.

    :raises BadForm: it is none.
    :raises RefundTooLarge: it is more than is left.
    """
    amount = amount_of(visit.text("much", most=20), quote.currency)
    if amount is None or not 0 < amount <= LARGEST:
        raise BadForm("Please say how much, such as 10 or 10.50.")
    if amount > quote.amount:
        raise RefundTooLarge(
            f"{money(amount, quote.currency)} is more than the {money(quote.amount, quote.currency)} that are left",
            asked=amount,
            left=quote.amount,
        )
    return Money(amount, quote.currency)


def _first(quoted: list[Quote]) -> str | None:
    """Return the basis that is offered first: the first that holds."""
    return next((quote.basis for quote in quoted if quote.allowed), None)


def _overall(act: list[Refund]) -> str:
    """Return how an act of several refunds stands: by the one that is furthest from its end."""
    order = (
        AWAITING,
        PROCESSING,
        "failed",
        "requires_action",
        "pending",
        "canceled",
        "rejected",
        "withdrawn",
        "succeeded",
    )
    return min((one.status for one in act), key=order.index)


ROUTES = [
    shows("/payments/{payment}/refund", choose, role=SUPPORT),
    does("/payments/{payment}/refund/confirm", confirm, role=SUPPORT),
    does("/payments/{payment}/refund", issue, role=SUPPORT),
    shows("/refunds/{refund}", show, role=SUPPORT),
    shows("/approvals", waiting, role=SUPERVISOR),
    does("/refunds/{refund}/approve", approve, role=SUPERVISOR),
    does("/refunds/{refund}/reject", reject, role=SUPERVISOR),
]
