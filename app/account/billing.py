"""Invoices and receipts, and the way to Stripe's pages: the card is changed there."""

from starlette.responses import Response

from app.account import cookies
from app.account.access_control import form_route, page_route
from app.account.request import LEAVING, LEAVING_MAX_AGE, AccountRequest
from app.account.state import account_of
from app.account.subscriptions import show, show_instead
from app.services import billing

PAGE_SIZE = 12


async def show_invoices(request: AccountRequest) -> Response:
    """List the invoices, the newest first, with links to Stripe's pages."""
    after = request.query("after", max_length=100) or None
    page = await billing.invoices_of(request.ctx, request.sub, after=after, limit=PAGE_SIZE)
    return request.render("invoices.html", invoices=page.items, next=page.next, is_first=after is None)


async def open_portal(request: AccountRequest) -> Response:
    """Open Stripe's page, where the reader changes their card."""
    url = await billing.open_portal(request.ctx, request.sub, return_url=request.url("/"), own_url=request.url("/"))
    return request.leave(url)


async def leave(request: AccountRequest) -> Response:
    """Continue to the page of another site that a form asked for. Without one, as after Back, open the first page."""
    cipher = account_of(request.http).leaving_cipher
    content = cookies.read(request.http, LEAVING, cipher, max_age=LEAVING_MAX_AGE)
    if content is None or content.get("sub") != request.sub:
        return request.redirect("/")
    response = request.render("leaving.html", url=str(content["url"]))
    cookies.delete(request.http, response, LEAVING)
    return response


ROUTES = [
    page_route("/invoices", show_invoices, calls_stripe=True),
    page_route("/card", show_instead),
    form_route("/card", open_portal, shown_by=show),
    page_route("/leaving", leave),
]
