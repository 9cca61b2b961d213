"""The reader's account: how the subscription stands, cancel and resume, and the money back under the guarantee."""

import secrets
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo.forms import money, text
from demo.magazine import messages
from demo.magazine.context import Magazine, see_other, sign_in_first
from demo.magazine.newsstand_client import Problem

LIVE = frozenset({"active", "trialing", "past_due"})


class Account:
    """Pages about the reader's own subscription."""

    def __init__(self, magazine: Magazine) -> None:
        self._magazine = magazine

    def routes(self) -> list[Route]:
        """Return the routes of the account."""
        return [
            Route("/account", self.show),
            Route("/account/cancel", self.cancel, methods=["POST"]),
            Route("/account/resume", self.resume, methods=["POST"]),
            Route("/account/refund", self.offer_refund, methods=["GET"]),
            Route("/account/refund", self.refund, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """Say how the subscription stands."""
        reader = self._magazine.reader(request)
        if reader is None:
            return sign_in_first("/account")
        found = await self._magazine.newsstand.subscription(reader.token)
        live = found is not None and found.get("status") in LIVE
        return self._magazine.page(
            request, "account.html",
            subscription=found,
            sentence=messages.standing(found, self._magazine.settings.timezone) if found else None,
            editions=messages.editions(found.get("editions")) if found else None,
            live=live,
        )  # fmt: skip

    async def cancel(self, request: Request) -> Response:
        """End the subscription with what is paid."""
        done = "Your subscription will end with the time you have paid for. Until then nothing changes."
        return await self._change(request, self._magazine.newsstand.cancel, done)

    async def resume(self, request: Request) -> Response:
        """Undo that."""
        return await self._change(request, self._magazine.newsstand.resume, "Welcome back: your subscription goes on.")

    async def offer_refund(self, request: Request) -> Response:
        """Say what the guarantee pays back and what else happens, before anything does."""
        reader = self._magazine.reader(request)
        if reader is None:
            return sign_in_first("/account/refund")
        quote = await self._magazine.newsstand.my_refund_quote(reader.token)
        if quote is None:
            return see_other("/account")
        return self._magazine.page(
            request, "refund.html",
            quote=quote, refused=messages.sentence(str(quote.get("detail") or "the guarantee does not hold any more")),
            # One key for each showing of the page: a double click repeats it, and is paid once.
            key=secrets.token_urlsafe(16),
        )  # fmt: skip

    async def refund(self, request: Request) -> Response:
        """Give the money back, if it is still what the reader was shown."""
        form = await self._magazine.form(request)
        reader = self._magazine.reader(request)
        if reader is None:
            return sign_in_first("/account/refund")
        seen = money(form)
        try:
            paid = await self._magazine.newsstand.my_refund(reader.token, key=text(form, "key"), amount=seen)
        except Problem as problem:
            if problem.status == 401:
                raise
            request.session["notice"] = messages.refusal(problem)
        else:
            request.session["notice"] = messages.refund(paid)
        return see_other("/account")

    async def _change(self, request: Request, change: Callable[[str], Awaitable[None]], done: str) -> Response:
        await self._magazine.form(request)
        reader = self._magazine.reader(request)
        if reader is None:
            return sign_in_first("/account")
        await change(reader.token)
        request.session["notice"] = done
        return see_other("/account")
