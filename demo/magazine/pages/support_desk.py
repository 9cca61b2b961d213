"""
The support desk: a support agent finds a reader and refunds a payment under the guarantee.

It is a small example of the support API, called with the agent's own access token. The service decides who may do
what, how much a refund is, and whether it may be paid.
"""

import secrets
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo.forms import money_field, text_field
from demo.magazine import messages
from demo.magazine.context import Context, redirect_to_sign_in, see_other
from demo.magazine.formatting import money
from demo.magazine.newsstand_client import Json, Problem
from demo.magazine.oidc import Reader

BASIS = "guarantee"
SIGN_IN_AGAIN = {"recent_sign_in_required", "access_token_too_old"}  # the service's codes: money needs a recent sign-in

STAFF_ONLY = "This page is for support staff."


class SupportDeskPages:
    """The pages for support agents."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> list[Route]:
        """Return the routes of the support desk."""
        return [
            Route("/desk", self.search),
            Route("/desk/readers/{reader}", self.show),
            Route("/desk/readers/{reader}/refund", self.refund, methods=["POST"]),
        ]

    async def search(self, request: Request) -> Response:
        """Find readers by email address."""
        agent = self._context.reader(request)
        if agent is None:
            return redirect_to_sign_in("/desk")
        self._require_agent(agent)
        query = request.query_params.get("q", "").strip()
        found = await self._context.newsstand.find_readers(agent.token, query) if query else None
        return self._context.render(request, "support_search.html", query=query, found=found)

    async def show(self, request: Request) -> Response:
        """Show a reader's subscriptions, and each payment with its refund under the guarantee."""
        agent = self._context.reader(request)
        if agent is None:
            return redirect_to_sign_in(request.url.path)
        self._require_agent(agent)
        person = await self._context.newsstand.reader(agent.token, request.path_params["reader"])
        payments = [
            {"payment": payment, "quote": await self._quote(agent, str(payment.get("id")))}
            for payment in person.get("payments") or []
        ]
        return self._context.render(
            request, "support_reader.html",
            person=person, payments=payments,
            # One idempotency key for each time the page is shown, so that a double click pays once.
            key=secrets.token_urlsafe(16),
        )  # fmt: skip

    async def refund(self, request: Request) -> Response:
        """Refund a payment, if the quote that the agent saw is still valid."""
        form = await self._context.form(request)
        reader_id = request.path_params["reader"]
        page = f"/desk/readers/{quote(reader_id, safe='')}"
        agent = self._context.reader(request)
        if agent is None:
            return redirect_to_sign_in(page)
        self._require_agent(agent)
        expected = money_field(form)
        body: Json = {
            "payment": text_field(form, "payment"), "basis": BASIS, "reason": "requested_by_reader", "note": None,
            "expected_amount": expected,
        }  # fmt: skip
        try:
            refund = await self._context.newsstand.refund(agent.token, key=text_field(form, "key"), body=body)
        except Problem as problem:
            if problem.code in SIGN_IN_AGAIN:
                return redirect_to_sign_in(page, again=True)
            request.session["notice"] = f"Not refunded: {messages.error(problem)}"
        else:
            status = str(refund.get("status", "processing")).replace("_", " ")
            request.session["notice"] = f"Refund of {money(refund.get('amount') or expected)}: {status}."
        return see_other(page)

    async def _quote(self, agent: Reader, payment: str) -> Json | None:
        quotes = await self._context.newsstand.refund_quotes(agent.token, payment)
        return next((found for found in quotes if found.get("basis") == BASIS), None)

    @staticmethod
    def _require_agent(reader: Reader) -> None:
        """Show readers one clear error page. The service checks permissions on every call."""
        if not reader.is_support_agent:
            raise HTTPException(403, STAFF_ONLY)
