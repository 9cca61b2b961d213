"""
The desk: a support agent finds a reader and gives money back under the guarantee.

It is the API's support surface in three small pages, with the agent's own token: who may do what, what a refund
would pay and whether it may be paid at all is the service's to decide.
"""

import secrets
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo.forms import money, text
from demo.magazine import messages
from demo.magazine.context import Magazine, see_other, sign_in_first
from demo.magazine.newsstand_client import Json, Problem
from demo.magazine.oidc import Reader

BASIS = "guarantee"


class Desk:
    """Pages for support agents."""

    def __init__(self, magazine: Magazine) -> None:
        self._magazine = magazine

    def routes(self) -> list[Route]:
        """Return the routes of the desk."""
        return [
            Route("/desk", self.find),
            Route("/desk/readers/{reader}", self.show),
            Route("/desk/readers/{reader}/refund", self.refund, methods=["POST"]),
        ]

    async def find(self, request: Request) -> Response:
        """Find readers by their e-mail address."""
        agent = self._magazine.reader(request)
        if agent is None:
            return sign_in_first("/desk")
        self._admit(agent)
        query = request.query_params.get("q", "").strip()
        found = await self._magazine.newsstand.find_readers(agent.token, query) if query else None
        return self._magazine.page(request, "support_search.html", query=query, found=found)

    async def show(self, request: Request) -> Response:
        """Show a reader's subscriptions and payments, each with what the guarantee would pay back."""
        agent = self._magazine.reader(request)
        if agent is None:
            return sign_in_first(request.url.path)
        self._admit(agent)
        person = await self._magazine.newsstand.reader(agent.token, request.path_params["reader"])
        payments = [
            {"payment": payment, "quote": await self._quote(agent, str(payment.get("id")))}
            for payment in person.get("payments") or []
        ]
        return self._magazine.page(
            request, "support_reader.html",
            person=person, payments=payments,
            # One key for each showing of the page: a double click repeats it, and is paid once.
            key=secrets.token_urlsafe(16),
        )  # fmt: skip

    async def refund(self, request: Request) -> Response:
        """Give a payment back, if the quote that the agent saw still holds."""
        form = await self._magazine.form(request)
        reader_id = request.path_params["reader"]
        page = f"/desk/readers/{quote(reader_id, safe='')}"
        agent = self._magazine.reader(request)
        if agent is None:
            return sign_in_first(page)
        self._admit(agent)
        seen = money(form)
        asked: Json = {
            "payment": text(form, "payment"), "basis": BASIS, "reason": "requested_by_reader", "note": None,
            "expected_amount": seen,
        }  # fmt: skip
        try:
            refund = await self._magazine.newsstand.refund(agent.token, key=text(form, "key"), body=asked)
        except Problem as problem:
            request.session["notice"] = f"Not refunded: {messages.refusal(problem)}"
        else:
            status = str(refund.get("status", "processing")).replace("_", " ")
            request.session["notice"] = f"Refund of {messages.money(refund.get('amount') or seen)}: {status}."
        return see_other(page)

    async def _quote(self, agent: Reader, payment: str) -> Json | None:
        quotes = await self._magazine.newsstand.refund_quotes(agent.token, payment)
        return next((found for found in quotes if found.get("basis") == BASIS), None)

    @staticmethod
    def _admit(agent: Reader) -> None:
        """Spare readers a page of refusals; the service checks every call anyway."""
        if not agent.is_agent:
            raise HTTPException(403, "This page is for the magazine's support staff.")
