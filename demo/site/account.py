"""The reader's account: how the subscription stands, cancel and resume."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo.site import words
from demo.site.identity import Reader
from demo.site.magazine import Magazine, see_other, sign_in_first
from demo.site.newsstand import Unreachable

LIVE = frozenset({"active", "trialing", "past_due"})
MAIN_FEATURE = "digital_edition"  # what every subscriber has


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
        ]

    async def show(self, request: Request) -> Response:
        """Say how the subscription stands."""
        reader = self._magazine.reader(request)
        if reader is None:
            return sign_in_first("/account")
        found = await self._magazine.newsstand.subscription(reader.token)
        live = found is not None and found.get("status") in LIVE
        because = None if live or found is None else await self._why_closed(reader)
        return self._magazine.page(
            request, "account.html",
            subscription=found,
            sentence=words.standing(found, self._magazine.settings.timezone, because) if found else None,
            editions=words.editions(found.get("editions")) if found else None,
            live=live,
        )  # fmt: skip

    async def cancel(self, request: Request) -> Response:
        """End the subscription with what is paid."""
        done = "Your subscription will end with the time you have paid for. Until then nothing changes."
        return await self._change(request, self._magazine.newsstand.cancel, done)

    async def resume(self, request: Request) -> Response:
        """Undo that."""
        return await self._change(request, self._magazine.newsstand.resume, "Welcome back: your subscription goes on.")

    async def _why_closed(self, reader: Reader) -> str | None:
        """Ask why the magazine is closed to a reader; an account page can do without the answer."""
        try:
            answer = await self._magazine.newsstand.may_use(reader.sub, MAIN_FEATURE)
        except Unreachable:
            return None
        return None if answer.allowed else answer.reason

    async def _change(self, request: Request, change: Callable[[str], Awaitable[None]], done: str) -> Response:
        await self._magazine.form(request)
        reader = self._magazine.reader(request)
        if reader is None:
            return sign_in_first("/account")
        await change(reader.token)
        request.session["notice"] = done
        return see_other("/account")
