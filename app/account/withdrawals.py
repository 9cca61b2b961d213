"""Withdrawing from the contract, in two steps as the law asks for; and the acknowledgments that a reader keeps."""

import secrets
from typing import Any

from starlette.responses import PlainTextResponse, Response

from app.account import withdrawal_labels
from app.account.access_control import form_route, page_route
from app.account.request import AccountRequest
from app.aggregates.declarations import writing
from app.db.engine.session import new_id
from app.domain.declarations import Language
from app.domain.subscriptions import NoSubscription
from app.services import declarations, idempotency, refunds

CHANGED = "quote_changed"


async def preview(request: AccountRequest) -> Response:
    """Show what withdrawing would do, with the button that confirms it, or why it is not possible. Nothing is changed."""
    try:
        found = await refunds.preview_withdrawal(request.ctx, request.sub, now=request.now)
    except NoSubscription:
        return request.redirect("/")
    # A form that is shown again keeps its key, so that trying it again can't withdraw twice.
    key = request.form.get("key") if request.fault is not None and request.fault.code != CHANGED else None
    offer = found.offer
    plan = request.ctx.catalogue.plans.get(found.subscription.plan)
    language = await language_of(request)
    return request.render(
        "withdraw.html",
        **_written(request, language),
        offer=offer,
        subscription=found.subscription,
        plan=plan,
        until=offer.right.until if offer.right is not None else None,
        refusal=withdrawal_labels.refusal(offer.refusal, language) if offer.refusal is not None else "",
        recommended=found.recommended,
        key=key or secrets.token_urlsafe(18),
    )


async def confirm(request: AccountRequest) -> Response:
    """Withdraw, if the amount is still the one that the reader saw. A form that is sent twice counts once."""
    expected = request.amount(least=0)
    named = {
        "caller": f"reader:{request.sub}",
        "route": "POST /account/withdraw",
        "key": idempotency.check_key(request.text("key", max_length=100)),
    }

    async def work(declaration_id: str) -> tuple[int, dict[str, object]]:
        done = await refunds.withdraw(
            request.ctx,
            request.sub,
            declaration_id=declaration_id,
            expected=expected,
            request_hash=idempotency.request_hash(**named),
            now=request.now,
        )
        return 201, {"id": done.declaration.id}

    answer = await idempotency.once(
        request.ctx,
        **named,
        body=f"{expected.amount} {expected.currency}".encode(),
        new_object_id=new_id("dcl"),
        work=work,
    )
    return request.redirect(f"/declarations/{answer.body['id']}")


async def show(request: AccountRequest) -> Response:
    """Show a declaration of the reader with its acknowledgment, to print or to save."""
    declared = await declarations.of_reader_by_id(request.ctx, request.sub, _id_of(request))
    return request.render("declaration.html", declared=declared, **_written(request, await language_of(request)))


async def save(request: AccountRequest) -> Response:
    """Return an acknowledgment as a text file."""
    declared = await declarations.of_reader_by_id(request.ctx, request.sub, _id_of(request))
    headers = {"Content-Disposition": f'attachment; filename="{declared.id}.txt"'}
    return PlainTextResponse(declared.acknowledgment + "\n", headers=headers)


async def language_of(request: AccountRequest) -> Language:
    """Return the language of the reader: of their token, else of the browser, as far as we write in it."""
    known = await declarations.language_of_reader(request.ctx, request.sub)
    asked = request.http.headers.get("accept-language", "").strip().lower()
    return known or (Language.GERMAN if asked.startswith("de") else Language.ENGLISH)


def _written(request: AccountRequest, language: Language) -> dict[str, Any]:
    localization = writing(request.ctx.localization, language)
    return {"texts": withdrawal_labels.TEXTS[language], "language": language, "localization": localization}


def _id_of(request: AccountRequest) -> str:
    return str(request.http.path_params["declaration"])


ROUTES = [
    page_route("/withdraw", preview, calls_stripe=True),
    form_route("/withdraw", confirm, shown_by=preview),
    page_route("/declarations/{declaration}", show),
    page_route("/declarations/{declaration}/text", save),
]
