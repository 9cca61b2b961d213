"""Subscribing: the plan card, the way to the payment page, and the welcome back."""

from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo.forms import text
from demo.site.magazine import Magazine, see_other, sign_in_first
from demo.site.newsstand import Json


class Joining:
    """Pages to subscribe by."""

    def __init__(self, magazine: Magazine) -> None:
        self._magazine = magazine

    def routes(self) -> list[Route]:
        """Return the routes to subscribe by."""
        return [
            Route("/subscribe", self.offer, methods=["GET"]),
            Route("/subscribe", self.subscribe, methods=["POST"]),
            Route("/welcome", self.welcome),
        ]

    async def offer(self, request: Request) -> Response:
        """Show the plan, with the choice that was made before signing in."""
        asked = request.query_params
        return self._magazine.page(
            request, "subscribe.html",
            plan=await self._magazine.newsstand.plan(),
            article=self._magazine.article(asked.get("from")),
            print_chosen=asked.get("print") == "yes",
            code=asked.get("code", ""),
            left=asked.get("left") == "1",
        )  # fmt: skip

    async def subscribe(self, request: Request) -> Response:
        """Start a checkout and send the reader to pay; somebody unknown signs in first, and finds the form as left."""
        form = await self._magazine.form(request)
        article = self._magazine.article(text(form, "from"))
        with_print, code = text(form, "edition") == "print", text(form, "code")
        chosen = {"print": "yes" if with_print else "", "code": code, "from": article.slug if article else ""}
        back = "/subscribe?" + urlencode({name: value for name, value in chosen.items() if value})
        reader = self._magazine.reader(request)
        if reader is None:
            return sign_in_first(back)
        choice: Json = {
            "plan": text(form, "plan"),
            "print_edition": with_print,
            # The braces are the processor's: it puts the session's id there.
            "success_url": self._own("/welcome?session_id={CHECKOUT_SESSION_ID}")
            + (f"&from={quote(article.slug)}" if article else ""),
            "cancel_url": self._own(f"{back}&left=1"),
        }
        if code:
            choice["promotion_code"] = code
        started = await self._magazine.newsstand.start_checkout(reader.token, choice)
        return see_other(str(started["url"]))

    async def welcome(self, request: Request) -> Response:
        """Meet a reader who comes back from paying; the service asks the processor if no event has arrived yet."""
        reader = self._magazine.reader(request)
        if reader is None:
            return sign_in_first(f"/welcome?{request.url.query}")
        found = await self._magazine.newsstand.checkout(reader.token, request.query_params.get("session_id", ""))
        article = self._magazine.article(request.query_params.get("from"))
        return self._magazine.page(request, "welcome.html", checkout=found, article=article)

    def _own(self, path: str) -> str:
        return self._magazine.settings.url + path
