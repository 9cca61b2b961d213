"""Refunding a payment: choose a basis, review, submit. The pages say what will happen before, and the result after."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from starlette.responses import Response

from app.console.access_control import form_route, page_route
from app.console.csrf import check_reader
from app.console.form_fields import InvalidForm
from app.console.labels import reason_labels
from app.console.refused_forms import refused
from app.console.request import ConsoleRequest
from app.db.engine.session import new_id
from app.domain.callers import Role
from app.domain.money import Money, maximum
from app.domain.quotes import Quote
from app.domain.reasons import RefundReason
from app.domain.refunds import QuoteChanged, Refund, RefundBasis, RefundStatus, RefundTooLarge
from app.services import idempotency, quotes, refunds, support
from app.services.refunds import RefundRequest

REASONS = reason_labels(
    RefundReason.REQUESTED_BY_READER,
    RefundReason.DISSATISFIED,
    RefundReason.COPIES_MISSING,
    RefundReason.COPIES_DAMAGED,
    RefundReason.TECHNICAL_PROBLEM,
    RefundReason.BILLED_BY_MISTAKE,
    RefundReason.RENEWAL_UNWANTED,
    RefundReason.HARDSHIP,
    RefundReason.BEREAVEMENT,
    RefundReason.OTHER,
)
SLOW_AFTER = timedelta(minutes=2)  # a refund that takes longer than this is checked less often
STATUS_ORDER = (  # the status of several refunds is the first of these that one of them has
    RefundStatus.AWAITING_APPROVAL,
    RefundStatus.PROCESSING,
    "failed",
    "requires_action",
    "pending",
    "canceled",
    "rejected",
    "withdrawn",
    "succeeded",
)

CHOICES = (RefundBasis.GUARANTEE, RefundBasis.WITHDRAWAL, RefundBasis.UNSERVED_ISSUES, RefundBasis.GOODWILL)


async def show_form(request: ConsoleRequest) -> Response:
    """Show the form: what each basis would pay, or why it isn't available."""
    payment_id = request.path_param("payment")
    found = await support.payment(request.ctx, payment_id, viewer=request.viewer)
    offers = await quotes.of_payment(request.ctx, payment_id, now=request.now)
    allowed = [quote.basis for quote in offers if quote.allowed]
    entered = request.form.get("basis")
    chosen = entered if entered in allowed else next(iter(allowed), None)
    return request.render("refund_form.html", found=found, quotes=offers, reasons=REASONS, chosen=chosen)


async def check(request: ConsoleRequest) -> Response:
    """Check the form, and go on to the page that asks for confirmation."""
    payment_id = request.path_param("payment")
    found = await support.payment(request.ctx, payment_id, viewer=request.viewer)
    await check_reader(request, found.subscriber.id)
    await _read(request, payment_id)
    return request.continue_at(f"/payments/{payment_id}/refund/confirm")


async def review(request: ConsoleRequest) -> Response:
    """Show the amount and the consequences for confirmation."""
    payment_id = request.path_param("payment")
    form_path = f"/payments/{payment_id}/refund"
    if not request.form:
        return request.redirect(form_path)
    found = await support.payment(request.ctx, payment_id, viewer=request.viewer)
    try:
        quote, amount, reason, note = await _read(request, payment_id)
    except InvalidForm as error:  # for example, less can be refunded now
        return await show_form(refused(request, 422, error.errors))
    is_goodwill = quote.basis == RefundBasis.GOODWILL
    approval_required = is_goodwill and amount.amount > await quotes.goodwill_left(
        request.ctx, payment_id, by=request.staff.actor, now=request.now
    )
    return request.render(
        "refund_review.html",
        found=found,
        quote=quote,
        refund=amount,
        approval_required=approval_required,
        reason=reason,
        note=note or "",
        key=request.idempotency_key(),
        back=request.form_url(form_path),
    )


async def _read(request: ConsoleRequest, payment_id: str) -> tuple[Quote, Money, str, str | None]:
    """
    Return the chosen quote, the amount, the reason and the note.

    :raises InvalidForm: if something is missing or invalid.
    :raises RefundRefused: if the chosen basis isn't available.
    """
    offers = await quotes.of_payment(request.ctx, payment_id, now=request.now)
    quote = next((quote for quote in offers if quote.basis == request.form.get("basis")), None)
    if quote is not None and quote.refusal is not None:
        raise quote.refusal
    with request.fields() as fields:
        amount = quote.money if quote is not None else None
        if quote is None:
            fields.refuse("basis", "Choose a basis for the refund.")
        elif quote.basis == RefundBasis.GOODWILL:
            amount = Money(fields.amount("much", quote.currency, most=quote.amount), quote.currency)
        reason, note = fields.reason_and_note(REASONS)
    if quote is None or amount is None:
        raise InvalidForm("Choose a basis for the refund.", field="basis")
    return quote, amount, reason, note


async def submit(request: ConsoleRequest) -> Response:
    """Refund a payment, if the quote is still valid. A form that is sent twice counts once."""
    ctx, payment_id = request.ctx, request.path_param("payment")
    await check_reader(request, (await support.payment(ctx, payment_id, viewer=request.viewer)).subscriber.id)
    with request.fields() as fields:
        reason, note = fields.reason_and_note(REASONS)
        basis = fields.choice("basis", dict.fromkeys(CHOICES))
        currency = fields.text("currency", max_length=3)
        minor = fields.integer("amount", minimum=1, maximum=maximum(currency))
    expected = Money(minor, currency)
    refund_request = RefundRequest(
        payment_id=payment_id,
        basis=basis,
        reason=reason,
        note=note,
        expected=expected,
        amount=expected if basis == RefundBasis.GOODWILL else None,
    )

    named = {
        "caller": request.staff.actor,
        "route": f"POST {request.http.url.path}",
        "key": idempotency.check_key(request.text("key", max_length=100)),
    }
    marked = replace(refund_request, request_hash=idempotency.request_hash(**named))

    async def work(refund_id: str) -> tuple[int, dict[str, str]]:
        await refunds.issue(ctx, marked, refund_id=refund_id, by=request.staff.actor, now=request.now)
        return 201, {"id": refund_id}

    try:
        answer = await idempotency.once(
            ctx,
            **named,
            body=repr(refund_request).encode(),
            new_object_id=new_id("rfd"),
            work=work,
        )
    except QuoteChanged as changed:
        shown, current = (
            ctx.localization.money(int(str(changed.facts[name])), expected.currency) for name in ("expected", "amount")
        )
        message = f"Nothing was refunded. The amount has changed from {shown} to {current}. Review it and try again."
        return request.continue_at(f"/payments/{payment_id}/refund", flash=message)
    except RefundTooLarge:
        message = "Nothing was refunded. The refundable amount is lower now. Review it and try again."
        return request.continue_at(f"/payments/{payment_id}/refund", flash=message)
    return request.redirect(f"/refunds/{answer.body['id']}")


async def show(request: ConsoleRequest) -> Response:
    """Show the status of a refund. The page refreshes itself while the refund is processed."""
    refund_id = request.path_param("refund")
    found = await support.refund(request.ctx, refund_id, viewer=request.viewer)
    parts = await refunds.get(request.ctx, refund_id)
    processing = [part for part in parts if part.status == RefundStatus.PROCESSING]
    return request.render(
        "refund_status.html",
        found=found,
        refund=found.refund,
        parts=parts,
        total=sum(part.amount for part in parts),
        refund_status=_overall_status(parts),
        why_rejected=await refunds.why_rejected(request.ctx, found.refund),
        processing=bool(processing),
        slow=any(request.now - part.created_at > SLOW_AFTER for part in processing),
        requested_by_me=found.refund.requested_by == request.staff.actor,
    )


def _overall_status(parts: Sequence[Refund]) -> str:
    """Return the status of a refund with several parts: the status of the part that is least complete."""
    return min((part.status for part in parts), key=STATUS_ORDER.index)


FORM, CONFIRM = "/payments/{payment}/refund", "/payments/{payment}/refund/confirm"
ROUTES = [
    page_route(FORM, show_form, role=Role.SUPPORT, recent_sign_in=True),
    form_route(CONFIRM, check, role=Role.SUPPORT, shown_by=show_form, shown_at=FORM),
    page_route(CONFIRM, review, role=Role.SUPPORT),
    form_route(FORM, submit, role=Role.SUPPORT, recent_sign_in=True, shown_by=review, shown_at=CONFIRM),
    page_route("/refunds/{refund}", show, role=Role.SUPPORT),
]
