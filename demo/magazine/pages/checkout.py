"""The checkout pages: choose an edition, go to the payment page, and the welcome page afterwards."""

from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo.forms import text_field
from demo.magazine import messages
from demo.magazine.context import Context, redirect_to_sign_in, see_other
from demo.magazine.newsstand_client import Json, Problem

INVALID_CODE, POSSIBLE_DUPLICATE = "promotion_code_invalid", "possible_duplicate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The reader's choices, carried in URLs so that they survive signing in and leaving the payment page."""

    print: bool
    code: str
    slug: str  # of the article that the reader came from

    def url(self, **parameters: str) -> str:
        """Return the URL of the plan card with these choices filled in."""
        query = {"print": "yes" if self.print else "", "code": self.code, "from": self.slug} | parameters
        return "/subscribe?" + urlencode({name: value for name, value in query.items() if value})


class CheckoutPages:
    """The checkout pages."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> list[Route]:
        """Return the routes of the checkout."""
        return [
            Route("/subscribe", self.plan_card, methods=["GET"]),
            Route("/subscribe", self.subscribe, methods=["POST"]),
            Route("/welcome", self.welcome),
        ]

    async def plan_card(self, request: Request) -> Response:
        """Show the plan card, with any earlier choices filled in."""
        query = request.query_params
        choice = Choice(print=query.get("print") == "yes", code=query.get("code", ""), slug=query.get("from", ""))
        return await self._plan_card(request, choice, left=query.get("left") == "1")

    async def subscribe(self, request: Request) -> Response:
        """Start a checkout and redirect to the payment page; the reader signs in first if necessary."""
        form = await self._context.form(request)
        choice = Choice(
            print=text_field(form, "edition") == "print",
            code=text_field(form, "code"),
            slug=text_field(form, "from"),
        )
        reader = self._context.reader(request)
        if reader is None:
            return redirect_to_sign_in(choice.url())
        order: Json = {
            "plan": text_field(form, "plan"),
            "print_edition": choice.print,
            # Stripe replaces {CHECKOUT_SESSION_ID}.
            "success_url": self._url("/welcome?session_id={CHECKOUT_SESSION_ID}&" + urlencode({"from": choice.slug})),
            "cancel_url": self._url(choice.url(left="1")),
        }
        if choice.code:
            order["promotion_code"] = choice.code
        if text_field(form, "allow_duplicate") == "yes":
            order["allow_duplicate"] = True
        try:
            checkout = await self._context.newsstand.start_checkout(reader.token, order)
        except Problem as problem:
            if problem.code == POSSIBLE_DUPLICATE:
                return await self._plan_card(request, choice, status=problem.status, possible_duplicate=True)
            if problem.code != INVALID_CODE:
                raise
            message = messages.promotion_code(choice.code, str(problem.facts.get("reason")))
            return await self._plan_card(request, choice, status=problem.status, problem=message)
        return see_other(str(checkout["url"]))

    async def welcome(self, request: Request) -> Response:
        """Welcome a reader who returns from the payment page."""
        reader = self._context.reader(request)
        if reader is None:
            return redirect_to_sign_in(f"/welcome?{request.url.query}")
        session_id = request.query_params.get("session_id", "")
        # The service asks Stripe for the checkout's status if it has received no event for it yet.
        checkout = await self._context.newsstand.checkout(reader.token, session_id)
        article = self._context.article(request.query_params.get("from"))
        return self._context.render(request, "welcome.html", checkout=checkout, article=article)

    async def _plan_card(
        self,
        request: Request,
        choice: Choice,
        *,
        left: bool = False,
        status: int = 200,
        problem: str = "",
        possible_duplicate: bool = False,
    ) -> Response:
        reader = self._context.reader(request)
        return self._context.render(
            request, "subscribe.html", status=status,
            plan=await self._context.newsstand.plan(reader.token if reader else None),
            article=self._context.article(choice.slug),
            print_chosen=choice.print, code=choice.code, left=left, problem=problem,
            possible_duplicate=possible_duplicate,
        )  # fmt: skip

    def _url(self, path: str) -> str:
        return self._context.settings.url + path
