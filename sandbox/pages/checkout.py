"""The hosted checkout: pay, authenticate, and the page of a closed session."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from sandbox.billing import test_cards
from sandbox.errors import StripeError
from sandbox.json_types import JsonObject
from sandbox.pages import formatting
from sandbox.pages.checkout_form import Form, payment_method, read
from sandbox.resources import checkout_payment
from sandbox.resources.checkout_payment import Payer
from sandbox.runtime import Runtime
from sandbox.store.accounts import Account

_HERE = Path(__file__).parent
_TEMPLATES = Environment(loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined)
_TEMPLATES.filters["country"] = formatting.country
_TEMPLATES.filters["method_name"] = formatting.payment_method_name
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


async def show(request: Request) -> Response:
    """Show the page of an open session."""
    found = _find(request)
    if found is None:
        return _not_found()
    account, session = found
    closed = _closed_page(session, paid_status=200)
    return closed or _checkout_page(account, session, Form(), status=200)


async def pay(request: Request) -> Response:
    """Pay, ask for authentication, or show the form with its errors."""
    found = _find(request)
    if found is None:
        return _not_found()
    account, session = found
    # Read the form before looking at the session, so only the first of two clicks finds it open.
    fields = await request.form()
    closed = _closed_page(session, paid_status=409)
    if closed:
        return closed
    form = read(account, session, {name: value for name, value in fields.items() if isinstance(value, str)})
    if form.errors or form.payer is None:
        return _checkout_page(account, session, form, status=422 if form.errors else 200)
    if checkout_payment.needs_authentication(account, session, form.payer):
        session["_pending"] = form.payer
        return RedirectResponse(f"/c/pay/{session['id']}/authenticate", 303, _HEADERS)
    return _finish(request, account, session, form.payer, form)


async def show_authentication(request: Request) -> Response:
    """Show the page that stands for the bank's 3-D Secure."""
    found = _find(request)
    if found is None:
        return _not_found()
    account, session = found
    closed = _closed_page(session, paid_status=200)
    if closed:
        return closed
    if "_pending" not in session:
        return RedirectResponse(f"/c/pay/{session['id']}", 303, _HEADERS)
    payer: Payer = session["_pending"]
    return _page(
        "authenticate.html",
        200,
        amount=formatting.summary(account, session, payer.promotion_code, payer.optional).total,
    )


async def authenticate(request: Request) -> Response:
    """Apply the result of 3-D Secure. Pay if it is `complete`."""
    found = _find(request)
    if found is None:
        return _not_found()
    account, session = found
    result = (await request.form()).get("result")
    closed = _closed_page(session, paid_status=409)
    if closed:
        return closed
    payer: Payer | None = session.pop("_pending", None)
    if payer is None:
        return RedirectResponse(f"/c/pay/{session['id']}", 303, _HEADERS)
    form = Form(values={"email": payer.email, "card_name": payer.name or ""}, optional=payer.optional)
    if payer.shipping:
        form.values |= {"shipping_name": payer.shipping["name"]}
        form.values |= {f"shipping_{line}": text or "" for line, text in payer.shipping["address"].items()}
    if result != "complete":
        form.errors["card_number"] = test_cards.NOT_AUTHENTICATED[2]
        return _checkout_page(account, session, form, status=402)
    payer.authenticated = True
    return _finish(request, account, session, payer, form)


async def style(request: Request) -> Response:
    """Return the style sheet of all pages."""
    return Response(
        (_HERE / "static" / "style.css").read_bytes(), media_type="text/css", headers={"Cache-Control": "max-age=60"}
    )


def _finish(request: Request, account: Account, session: JsonObject, payer: Payer, form: Form) -> Response:
    declined = checkout_payment.decline_message(account, session, payer)
    if declined is not None:
        form.errors["card_number"] = declined
        return _checkout_page(account, session, form, status=402)
    runtime: Runtime = request.app.state.runtime
    try:
        checkout_payment.complete(account, session, payer)
    except StripeError as error:
        form.errors["promotion_code" if payer.promotion_code else "card_number"] = error.message
        return _checkout_page(account, session, form, status=402)
    finally:
        runtime.publish_events(account, method="POST", path="/c/pay")
    return RedirectResponse(formatting.return_url(session), 303, _HEADERS)


def _find(request: Request) -> tuple[Account, JsonObject] | None:
    """Return the session in the path and its account. The session's ID is secret, so it needs no key."""
    runtime: Runtime = request.app.state.runtime
    for account in list(runtime.accounts.by_key.values()):
        session = account.find("checkout.session", request.path_params["session"])
        if session is not None:
            runtime.run_due_jobs(account)
            return account, session
    return None


def _closed_page(session: JsonObject, *, paid_status: int) -> Response | None:
    if session["status"] == "expired":
        return _page(
            "message.html",
            410,
            title="This checkout has expired",
            text="You have not been charged. Go back to start again.",
            link=session["cancel_url"],
            label="Go back",
        )
    if session["status"] == "complete":
        return _page(
            "message.html",
            paid_status,
            title="You’ve already paid",
            text="Your order is complete. You won’t be charged again.",
            link=formatting.return_url(session),
            label="Continue",
        )
    return None


def _not_found() -> Response:
    return _page(
        "message.html",
        404,
        title="Checkout not found",
        text="Check the link. Sessions are lost when the sandbox restarts.",
        link=None,
        label=None,
    )


def _checkout_page(account: Account, session: JsonObject, form: Form, *, status: int) -> Response:
    return _page(
        "checkout.html",
        status,
        session=session,
        form=form,
        payment_method=payment_method(session, form),
        summary=formatting.summary(account, session, form.promotion_code, form.optional),
        optional_items=formatting.optional_items(account, session),
        known_email=formatting.known_email(account, session),
        countries=(session["shipping_address_collection"] or {}).get("allowed_countries", []),
    )


def _page(template: str, status: int, **values: object) -> Response:
    return HTMLResponse(_TEMPLATES.get_template(template).render(values), status, _HEADERS)


routes = [
    Route("/c/style.css", style),
    Route("/c/pay/{session}", show, methods=["GET"]),
    Route("/c/pay/{session}", pay, methods=["POST"]),
    Route("/c/pay/{session}/authenticate", show_authentication, methods=["GET"]),
    Route("/c/pay/{session}/authenticate", authenticate, methods=["POST"]),
]
