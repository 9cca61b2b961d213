"""The checkout pages: choose an edition, go to the payment page, and the welcome page afterwards."""

from dataclasses import asdict, dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo.forms import text_field
from demo.magazine import messages
from demo.magazine.context import Context, redirect_to_sign_in, see_other
from demo.magazine.newsstand_client import Json, Problem
from demo.magazine.oidc import Reader
from demo.magazine.sessions import CONTINUED

LIVE_STATUSES = frozenset({"active", "trialing", "past_due"})
LOOKS = 5  # how often the welcome page looks by itself whether access has begun
INVALID_CODE, POSSIBLE_DUPLICATE = "promotion_code_invalid", "possible_duplicate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The reader's choices, carried in URLs so that they survive signing in and leaving the payment page."""

    print: bool
    code: str
    slug: str  # of the article that the reader came from

    @classmethod
    def of(cls, kept: Json) -> "Choice":
        """Return the choice that a session kept."""
        return cls(print=kept.get("print") is True, code=str(kept.get("code", "")), slug=str(kept.get("slug", "")))

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
        query, reader = request.query_params, self._context.reader(request)
        if reader is not None:
            continued = request.session.pop(CONTINUED, None)
            if continued is not None and query.get("continue") == "1":
                return await self._start(request, Choice.of(continued), plan=str(continued.get("plan")))
            if await self._is_subscribed(reader):
                return self._context.render(request, "subscribed.html")
        choice = Choice(print=query.get("print") == "yes", code=query.get("code", ""), slug=query.get("from", ""))
        return await self._plan_card(request, choice, left=query.get("left") == "1")

    async def subscribe(self, request: Request) -> Response:
        """Start a checkout and redirect to the payment page; the reader signs in first if necessary."""
        form = await self._context.form(request)
        choice = Choice(
            print=text_field(form, "edition") == "print",
            code=text_field(form, "code")[:100],
            slug=text_field(form, "from"),
        )
        plan, allow_duplicate = text_field(form, "plan"), text_field(form, "allow_duplicate") == "yes"
        if self._context.reader(request) is None:  # after signing in or up, the reader continues to the payment page
            request.session[CONTINUED] = {"plan": plan, **asdict(choice)}
            return redirect_to_sign_in(choice.url(**{"continue": "1"}))
        return await self._start(request, choice, plan=plan, allow_duplicate=allow_duplicate)

    async def _start(self, request: Request, choice: Choice, *, plan: str, allow_duplicate: bool = False) -> Response:
        """Start a checkout and redirect to the payment page."""
        reader = self._context.reader(request)
        assert reader is not None
        order: Json = {
            "plan": plan,
            "print_edition": choice.print,
            # Stripe replaces {CHECKOUT_SESSION_ID}.
            "success_url": self._url("/welcome?session_id={CHECKOUT_SESSION_ID}&" + urlencode({"from": choice.slug})),
            "cancel_url": self._url(choice.url(left="1")),
        }
        if choice.code:
            order["promotion_code"] = choice.code
        if allow_duplicate:
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
        looks = request.query_params.get("looks", "")
        looked = int(looks) if looks.isascii() and looks.isdecimal() and len(looks) < 3 else 0
        ended = False
        if not checkout.get("entitled"):  # for example after a refund
            subscription, _ = await self._context.newsstand.subscription(reader.token)
            ended = subscription is not None and subscription.get("status") == "canceled"
        waits = not checkout.get("entitled") and not ended and checkout.get("status") != "expired" and looked < LOOKS
        again = {"session_id": session_id, "from": request.query_params.get("from", ""), "looks": looked + 1}
        article = self._context.article(request.query_params.get("from"))
        return self._context.render(
            request, "welcome.html", checkout=checkout, article=article, ended=ended,
            again=f"/welcome?{urlencode(again)}" if waits else None,
        )  # fmt: skip

    async def _is_subscribed(self, reader: Reader) -> bool:
        """Return whether the reader has a running subscription, so that there is nothing to subscribe to."""
        subscription, _ = await self._context.newsstand.subscription(reader.token)
        notice = (subscription or {}).get("notice") or {}
        live = (subscription or {}).get("status") in LIVE_STATUSES
        return live and notice.get("action") != "subscribe"

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
