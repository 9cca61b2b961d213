"""Adding print to a reader's subscription, or dropping it: what that costs or returns, and the change, once per form."""

from typing import Any

from starlette.responses import Response

from app.console.access_control import form_route, page_route
from app.console.csrf import check_reader
from app.console.request import ConsoleRequest
from app.db.engine.session import new_id
from app.domain.addresses import PostalAddress
from app.domain.callers import Role
from app.domain.money import Money, maximum
from app.domain.print_changes import PrintChange, PrintChangeKind, PrintChangeStatus
from app.pages.address_fields import ADDRESS_FIELDS, MAX_LENGTH, countries
from app.services import addresses, idempotency, print_changes, support
from app.services.print_changes import PrintEditionRequest


async def show_form(request: ConsoleRequest) -> Response:
    """Show what the change costs or returns, or why it is not possible."""
    ctx, only = request.ctx, request.path_param("subscription")
    found = await support.subscription(ctx, only, viewer=request.viewer)
    status = await print_changes.quote(ctx, found.subscriber.sub, only=only, now=request.now)
    book = await addresses.of_reader(ctx, found.subscriber.sub, now=request.now)
    quote = status.quote
    is_addition, prints = quote.kind == PrintChangeKind.ADD, ctx.catalogue.print_rules
    return request.render(
        "print_edition.html",
        found=found,
        quote=quote,
        renews_with_print=status.renews_with_print,
        is_addition=is_addition,
        change=status.change,
        fields=ADDRESS_FIELDS if is_addition and book.permanent is None else (),
        max_length=MAX_LENGTH,
        address=book.permanent.checked.lines if book.permanent is not None else (),
        countries=countries(prints.served, ctx.localization, prints.mailed_from),
        filled=request.form or {"name": found.subscriber.name or "", "country": prints.mailed_from},
        key=(key := request.idempotency_key()),
        drop_key=f"{key[:90]}-drop",
    )


async def submit(request: ConsoleRequest) -> Response:
    """Add or drop the print edition, for the amount of the quote. A form that is sent twice counts once."""
    ctx, only = request.ctx, request.path_param("subscription")
    found = await support.subscription(ctx, only, viewer=request.viewer)
    await check_reader(request, found.subscriber.id)
    wanted = _read(request)

    async def work(change_id: str) -> tuple[int, dict[str, Any]]:
        change, _ = await print_changes.change(
            ctx,
            found.subscriber.sub,
            wanted,
            change_id=change_id,
            by=request.staff.actor,
            only=only,
            now=request.now,
        )
        return 200, {"message": _message(change)}

    answer = await idempotency.once(
        ctx,
        caller=request.staff.actor,
        route=f"POST {request.http.url.path}",
        key=idempotency.check_key(request.text("key", max_length=100)),
        body=repr(wanted).encode(),
        new_object_id=new_id("pch"),
        work=work,
    )
    return request.redirect(f"/readers/{found.subscriber.id}", flash=str(answer.body["message"]))


def _read(request: ConsoleRequest) -> PrintEditionRequest:
    """
    Return the request in the form.

    :raises InvalidForm: something is invalid.
    """
    with request.fields() as fields:
        enabled = fields.choice("enabled", {"yes": "Add print", "no": "Drop print"}) == "yes"
        currency = fields.text("currency", max_length=3)
        amount = fields.integer("amount", minimum=0, maximum=maximum(currency))
        entered = {name: fields.text(name, max_length=MAX_LENGTH) for name, _, _ in ADDRESS_FIELDS}
    entered["country"] = entered["country"].upper()
    has_address = enabled and "line1" in request.form
    return PrintEditionRequest(
        enabled=enabled,
        expected=Money(amount, currency),
        address=PostalAddress(**entered) if has_address else None,
    )


def _message(change: PrintChange) -> str:
    if change.status == PrintChangeStatus.AWAITING_PAYMENT and change.pay_url is None:
        return "The bank debit is on its way. Print is added once it is paid, which can take some days."
    if change.status == PrintChangeStatus.AWAITING_PAYMENT:
        return "The reader’s bank asks them to confirm the payment. They find the page in their account."
    if change.status == PrintChangeStatus.PROCESSING:
        return "The change is being processed, because Stripe has not responded yet."
    if change.kind == PrintChangeKind.ADD:
        starts = f" Copies start with issue {change.first_issue}." if change.first_issue is not None else ""
        return f"Print added.{starts}"
    return "Print dropped. Its unserved share is being refunded." if change.total else "Print dropped."


PRINT = "/subscriptions/{subscription}/print"
ROUTES = [
    page_route(PRINT, show_form, role=Role.SUPPORT, recent_sign_in=True),
    form_route(PRINT, submit, role=Role.SUPPORT, recent_sign_in=True, shown_by=show_form),
]
