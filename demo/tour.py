"""
`python -m demo.tour`: start the whole shop, walk a reader's path through it as a browser would, and stop.

Each step says what it did and how long it took; the first that does not find what it expects ends the tour with
a non-zero status and says what came instead.
"""

import asyncio
import secrets
import sys
import time
from collections.abc import Awaitable, Callable

from demo.browser import Browser, Element, Page
from demo.identity_provider.users import DEMO_PASSWORD
from demo.stack import Ports, Stack, StackFailed, cancel_on_signals

ARTICLE = "what-the-tide-gauge-knows"
OPENING = "The hut stands at the end of the north pier"
ENDING = "Give it a minute."
OFFER = (
    "24 Issues Per Year",
    "Optional Print Edition",
    "Digital Edition Access",
    "Exclusive Subscriber Content",
    "Audio provided for all articles",
    "Unlimited access to past issues",
    "Coming Soon! Ad FREE",
    "60-Day money back guarantee!",
    "Cancel anytime",
)
CARD = {"card_number": "4242 4242 4242 4242", "card_expiry": "12 / 34", "card_cvc": "123", "card_name": "Nia Fontaine"}
ADDRESS = {
    "shipping_name": "Nia Fontaine",
    "shipping_line1": "14 Cable Street",
    "shipping_line2": "",
    "shipping_city": "Hallow Point",
    "shipping_state": "ME",
    "shipping_postal_code": "04011",
    "shipping_country": "US",
}
PATIENCE = 5.0  # seconds for what another process has to hear of


class Unexpected(Exception):
    """A step found something else than it should."""

    def __init__(self, expected: str, came: str) -> None:
        super().__init__(f"expected {expected}\n         but {came}")


def expect(found: bool, expected: str, page: Page) -> None:
    """
    Go on if a page is as it should be.

    :raises Unexpected: which shows how the page begins.
    """
    if not found:
        main = next(page.find("main"), page)
        raise Unexpected(expected, f"{page.url} answered {page.status}: {main.text[:400] or 'an empty page'}")


class Tour:
    """One reader's path, from the front page to the refund, and an agent's who pays it."""

    def __init__(self, magazine: str, reader: Browser, agent: Browser) -> None:
        self._magazine, self._reader, self._agent = magazine, reader, agent
        self._email = f"nia.{secrets.token_hex(3)}@example.com"
        self._page: Page
        self._refund_form: Element

    def steps(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        """Return what is done, in order, each with its sentence."""
        return [
            ("The front page shows this issue", self.front_page),
            ("An article for subscribers ends at the paywall", self.paywall),
            ("The plan card has all nine lines of the offer", self.plan_card),
            ("A new reader signs up with the issuer, and is back at the article", self.sign_up),
            ("Subscribing with print leads to the hosted payment page", self.subscribe),
            ("The card 4242 4242 4242 4242 pays, and the magazine says welcome", self.pay),
            ("The rest of the article is open", self.open_article),
            ("The account says that the subscription is active, with print", self.account),
            ("Cancelled, it ends with what is paid", self.cancel),
            ("Resumed with one click, it renews again", self.resume),
            ("A support agent signs in at the desk and finds the reader", self.find_reader),
            ("The agent refunds the payment under the guarantee", self.refund),
            ("The article is closed again, because of the refund", self.closed),
            ("The account says so", self.account_after),
            ("The subscription is over at the payment processor, too", self.ended),
            ("A second refund is refused", self.second_refund),
        ]

    async def front_page(self) -> None:
        self._page = await self._reader.open(self._magazine)
        links = [a.attributes.get("href", "") for a in self._page.find("a")]
        expect(f"/articles/{ARTICLE}" in links, f"a link to {ARTICLE}", self._page)

    async def paywall(self) -> None:
        self._page = await self._read()
        expect(OPENING in self._page.text, "the opening of the article", self._page)
        expect(ENDING not in self._page.text, "the rest to be missing", self._page)
        expect(self._wall(self._page) is not None, "a paywall", self._page)

    async def plan_card(self) -> None:
        lines = tuple(item.text for card in self._page.find(class_="offer") for item in card.find("li"))
        if lines != OFFER:
            raise Unexpected(f"the lines {' · '.join(OFFER)}", f"the card says {' · '.join(lines) or 'nothing'}")

    async def sign_up(self) -> None:
        login = await self._reader.open(f"{self._magazine}/sign-in?next=/articles/{ARTICLE}")
        sign_up = await self._reader.open(self._link(login, "/sign-up"))
        filled = {"name": "Nia Fontaine", "email": self._email, "password": "a-public-password"}
        self._page = await self._reader.submit(sign_up, sign_up.form("/sign-up"), **filled)
        expect("You are signed in as Nia Fontaine" in self._page.text, "the article, for Nia Fontaine", self._page)
        expect(self._wall(self._page) == "never_subscribed", "a paywall for who never subscribed", self._page)

    async def subscribe(self) -> None:
        self._page = await self._reader.submit(self._page, self._page.form("/subscribe"), edition="print")
        expect(not self._page.url.startswith(self._magazine), "a payment page on another site", self._page)
        expect("card_number" in self._page.form().values(), "a form for a card", self._page)

    async def pay(self) -> None:
        form = self._page.form()
        known = {"email": self._email} | ADDRESS | CARD
        missing = (ADDRESS | CARD).keys() - form.values().keys()
        expect(not missing, f"the fields {', '.join(sorted(missing))}", self._page)
        filled = {name: value for name, value in known.items() if name in form.values()}
        self._page = await self._reader.submit(self._page, form, **filled)
        expect(self._page.url.startswith(f"{self._magazine}/welcome"), "to be back at /welcome", self._page)
        expect("Welcome aboard, Nia Fontaine" in self._page.text, "a welcome", self._page)

    async def open_article(self) -> None:
        self._page = await self._reader.open(self._link(self._page, f"/articles/{ARTICLE}"))
        expect(ENDING in self._page.text, "the end of the article", self._page)
        expect(self._wall(self._page) is None, "no paywall", self._page)

    async def account(self) -> None:
        await self._account("Your subscription is active. It renews on ")
        expect("Digital and print" in self._page.text, "both editions", self._page)

    async def cancel(self) -> None:
        self._page = await self._reader.submit(self._page, self._page.form("/account/cancel"))
        await self._account("Your subscription is active, and ends on ")
        still = await self._read()
        expect(ENDING in still.text, "the article to stay open until then", still)

    async def resume(self) -> None:
        self._page = await self._reader.submit(self._page, self._page.form("/account/resume"))
        await self._account("Your subscription is active. It renews on ")

    async def find_reader(self) -> None:
        login = await self._agent.open(f"{self._magazine}/desk")
        filled = {"email": "agent@example.com", "password": DEMO_PASSWORD}
        desk = await self._agent.submit(login, login.form("/authorize"), **filled)
        found = await self._agent.submit(desk, desk.form("/desk"), q=self._email)
        self._page = await self._agent.open(self._link(found, "/desk/readers/"))
        expect(self._email in self._page.text, f"the page of {self._email}", self._page)

    async def refund(self) -> None:
        self._refund_form = self._page.form("/refund")
        self._page = await self._agent.submit(self._page, self._refund_form)
        notice = self._notice(self._page)
        expect(notice.startswith("Refund of "), "a notice of the refund", self._page)

    async def closed(self) -> None:
        async def is_closed() -> bool:
            self._page = await self._read()
            return self._wall(self._page) == "refunded" and ENDING not in self._page.text

        await self._soon(is_closed, "the paywall, for the reason `refunded`")

    async def account_after(self) -> None:
        await self._account("Your subscription was refunded")

    async def ended(self) -> None:
        desk = await self._agent.open(f"{self._magazine}/desk?q={self._email}")

        async def is_over() -> bool:
            self._page = await self._agent.open(self._link(desk, "/desk/readers/"))
            return ["canceled" in held.text for held in self._page.find(class_="held")] == [True]

        await self._soon(is_over, "one subscription, canceled")

    async def second_refund(self) -> None:
        again = await self._agent.submit(self._page, self._refund_form, key=secrets.token_urlsafe(16))
        expect(self._notice(again).startswith("Not refunded: "), "a refusal", again)
        buttons = [form for form in again.find("form") if "refund" in form.attributes.get("action", "")]
        expect(not buttons, "no button to refund it again", again)

    async def _account(self, standing: str) -> None:
        """Look at the account until it says what it should; most of it is true at once."""

        async def says_so() -> bool:
            self._page = await self._reader.open(f"{self._magazine}/account")
            return any(element.text.startswith(standing) for element in self._page.find(id="standing"))

        await self._soon(says_so, f"“{standing}…”")

    async def _soon(self, holds: Callable[[], Awaitable[bool]], expected: str) -> None:
        until = time.monotonic() + PATIENCE
        while not await holds():
            expect(time.monotonic() < until, f"{expected} within {PATIENCE:.0f} seconds", self._page)
            await asyncio.sleep(0.1)

    async def _read(self) -> Page:
        return await self._reader.open(f"{self._magazine}/articles/{ARTICLE}")

    @staticmethod
    def _wall(page: Page) -> str | None:
        """Return the reason of a page's paywall."""
        return next((wall.attributes.get("data-reason", "") for wall in page.find(class_="wall")), None)

    @staticmethod
    def _notice(page: Page) -> str:
        return next((element.text for element in page.find(class_="notice")), "")

    @staticmethod
    def _link(page: Page, start: str) -> str:
        """Return where the first link goes that begins so, as a full address."""
        for link in page.find("a"):
            href = link.attributes.get("href", "")
            if href.startswith(start):
                return page.resolve(href)
        raise Unexpected(f"a link to {start}", f"{page.url} ({page.status}) has none: {page.text[:300]}")


async def walk(stack: Stack) -> None:
    """
    Walk the path, printing each step.

    :raises Unexpected: at the first step that fails.
    """
    async with Browser() as reader, Browser() as agent:
        for number, (sentence, step) in enumerate(Tour(stack.magazine, reader, agent).steps(), 1):
            began = time.monotonic()
            try:
                await step()
            except Exception:
                print(f"{number:3} ✗ {sentence}", flush=True)
                raise
            print(f"{number:3} ✓ {sentence:<70} {time.monotonic() - began:6.2f} s", flush=True)


async def run() -> int:
    """Start, walk, stop. Returns the exit status."""
    asked = cancel_on_signals()
    began = time.monotonic()
    print("Starting everything on free ports ...", flush=True)
    stack = Stack(Ports.free())
    try:
        async with stack:
            print(f"Ready after {time.monotonic() - began:.1f} seconds.\n", flush=True)
            try:
                await walk(stack)
            except Exception:
                for name in ("service", "worker", "magazine", "local Stripe"):
                    print(f"\nThe end of the log of the {name}:\n{stack.processes.tail(name, 8)}", file=sys.stderr)
                raise
            print(f"\nAll as it should be: {time.monotonic() - began:.1f} seconds, with the start.", flush=True)
    except (Unexpected, StackFailed, LookupError) as failure:
        print(f"\nThe tour ended early: {failure}", file=sys.stderr, flush=True)
        return 1
    except asyncio.CancelledError:
        if not asked.is_set():
            raise
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(run()))
