"""Subscribing: the plan card, the way to the payment page, and the welcome back."""

from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo.forms import text
from demo.magazine import messages
from demo.magazine.context import Magazine, see_other, sign_in_first
from demo.magazine.newsstand_client import Json, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a reader wants, kept in addresses while they sign in or pay: nothing is lost on the way."""

    print: bool
    code: str
    slug: str  # of the article they came from

    def path(self, **more: str) -> str:
        """Return the address of the offer with this choice made."""
        asked = {"print": "yes" if self.print else "", "code": self.code, "from": self.slug} | more
        return "/subscribe?" + urlencode({name: value for name, value in asked.items() if value})


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
        choice = Choice(print=asked.get("print") == "yes", code=asked.get("code", ""), slug=asked.get("from", ""))
        return await self._card(request, choice, left=asked.get("left") == "1")

    async def subscribe(self, request: Request) -> Response:
        """Start a checkout and send the reader to pay; somebody unknown signs in first, and finds the form as left."""
        form = await self._magazine.form(request)
        choice = Choice(print=text(form, "edition") == "print", code=text(form, "code"), slug=text(form, "from"))
        reader = self._magazine.reader(request)
        if reader is None:
            return sign_in_first(choice.path())
        asked: Json = {
            "plan": text(form, "plan"),
            "print_edition": choice.print,
            # The braces are the processor's: it puts the session's id there.
            "success_url": self._own("/welcome?session_id={CHECKOUT_SESSION_ID}&" + urlencode({"from": choice.slug})),
            "cancel_url": self._own(choice.path(left="1")),
        }
        if choice.code:
            asked["promotion_code"] = choice.code
        try:
            started = await self._magazine.newsstand.start_checkout(reader.token, asked)
        except Problem as problem:
            if problem.code != "promotion_code_invalid":
                raise
            return await self._card(request, choice, status=problem.status, problem=messages.refusal(problem))
        return see_other(str(started["url"]))

    async def welcome(self, request: Request) -> Response:
        """Meet a reader who comes back from paying; the service asks the processor if no event has arrived yet."""
        reader = self._magazine.reader(request)
        if reader is None:
            return sign_in_first(f"/welcome?{request.url.query}")
        found = await self._magazine.newsstand.checkout(reader.token, request.query_params.get("session_id", ""))
        article = self._magazine.article(request.query_params.get("from"))
        return self._magazine.page(request, "welcome.html", checkout=found, article=article)

    async def _card(
        self, request: Request, choice: Choice, *, left: bool = False, status: int = 200, problem: str = ""
    ) -> Response:
        return self._magazine.page(
            request, "subscribe.html", status=status,
            plan=await self._magazine.newsstand.plan(),
            article=self._magazine.article(choice.slug),
            print_chosen=choice.print, code=choice.code, left=left, problem=problem,
        )  # fmt: skip

    def _own(self, path: str) -> str:
        return self._magazine.settings.url + path
