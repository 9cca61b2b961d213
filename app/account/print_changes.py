"""The print edition: what a change costs or returns, and then the change, once for each time the page was shown."""

import secrets

from starlette.responses import Response

from app.account import labels
from app.account.access_control import form_route, page_route
from app.account.addresses import entered_address, explained
from app.account.request import AccountRequest
from app.db.engine.session import new_id
from app.domain.addresses import PostalAddress
from app.domain.print_changes import PrintChange, PrintChangeKind, PrintChangeStatus
from app.domain.subscriptions import NoSubscription
from app.pages.address_fields import ADDRESS_FIELDS, MAX_LENGTH, countries
from app.services import addresses, idempotency, print_changes
from app.services.print_changes import PrintEditionRequest

CHANGED = frozenset({"quote_changed", "print_payment_failed"})  # after these, a new attempt is another request


async def preview(request: AccountRequest) -> Response:
    """Show what the change costs or returns, with the form, or why it is not possible. Nothing is changed."""
    try:
        found = await print_changes.quote(request.ctx, request.sub, now=request.now)
    except NoSubscription:
        return request.redirect("/")
    book = await addresses.of_reader(request.ctx, request.sub, now=request.now)
    is_repeated = request.fault is not None and request.fault.code not in CHANGED
    key = request.form.get("key") if is_repeated else None
    quote, prints = found.quote, request.ctx.catalogue.print_rules
    return request.render(
        "print_edition.html",
        quote=quote,
        is_addition=quote.kind == PrintChangeKind.ADD,
        change=found.change,
        refusal=labels.error(quote.refusal) if quote.refusal is not None else "",
        fields=ADDRESS_FIELDS if quote.kind == PrintChangeKind.ADD and book.permanent is None else (),
        max_length=MAX_LENGTH,
        countries=countries(prints.served, request.ctx.localization, prints.mailed_from),
        entered={"name": request.session.name or "", "country": prints.mailed_from, **request.form},
        address=book.permanent.checked.lines if book.permanent is not None else (),
        renews_with_print=found.renews_with_print and not found.enabled,
        key=key or secrets.token_urlsafe(18),
        drop_key=secrets.token_urlsafe(18),
    )


async def submit(request: AccountRequest) -> Response:
    """Make the change, if the amount is still the one that the reader saw. A form that is sent twice counts once."""
    expected = request.amount(least=0)
    enabled = (
        request.choice("enabled", {"yes": "", "no": ""}, message="This form is damaged. Please try again.") == "yes"
    )
    wanted = PrintEditionRequest(enabled=enabled, expected=expected, address=_address(request) if enabled else None)
    by, ctx = f"reader:{request.sub}", request.ctx

    async def work(change_id: str) -> tuple[int, dict[str, object]]:
        change, _ = await print_changes.change(ctx, request.sub, wanted, change_id=change_id, by=by, now=request.now)
        return 200, {
            "pay_url": change.pay_url if change.is_undecided else None,
            "message": _message(change, ctx.localization.money(expected.amount, expected.currency)),
        }

    with explained():
        answer = await idempotency.once(
            ctx,
            caller=by,
            route="POST /account/print",
            key=idempotency.check_key(request.text("key", max_length=100)),
            body=repr(wanted).encode(),
            new_object_id=new_id("pch"),
            work=work,
        )
    pay_url = answer.body["pay_url"]
    return request.leave(str(pay_url)) if pay_url else request.redirect("/", flash=str(answer.body["message"]))


def _address(request: AccountRequest) -> PostalAddress | None:
    """Return the address in the form, if the page asked for one."""
    if "line1" not in request.form:
        return None
    return entered_address(request)


def _message(change: PrintChange, amount: str) -> str:
    if change.status != PrintChangeStatus.COMPLETED:
        return "We’re working on your change. You don’t need to do anything."
    if change.kind == PrintChangeKind.ADD:
        return "Print is now part of your subscription. We’ll mail you every issue from here on."
    refunded = f" Your refund of {amount} is on its way to your card." if change.total else ""
    credited = " What your credit paid for print is in your credit again." if any(change.to_balance.values()) else ""
    return f"Print is no longer part of your subscription.{refunded}{credited}"


ROUTES = [
    page_route("/print", preview, calls_stripe=True),
    form_route("/print", submit, shown_by=preview),
]
