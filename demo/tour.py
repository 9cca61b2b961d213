"""
`python -m demo.tour`: start the whole demo, walk through a reader's journey as a browser would, and stop.

Each step prints what it verified and how long it took. The first step that fails ends the tour with a non-zero status
and a message that says what was expected and what was found.
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
UPDATE_TIMEOUT = 30.0  # seconds until a change reaches the other processes


class StepFailed(Exception):
    """A step did not find what it expected."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}\n  found {found}")


def expect(condition: bool, expected: str, page: Page) -> None:
    """
    Check a condition about a page.

    :raises StepFailed: with the beginning of the page.
    """
    if not condition:
        main = next(page.find("main"), page)
        raise StepFailed(expected, f"{page.url} ({page.status}): {main.text[:400] or 'an empty page'}")


class Tour:
    """A reader's journey from the front page to a refund, and the support agent who issues it."""

    def __init__(self, magazine: str, reader: Browser, agent: Browser) -> None:
        self._magazine, self._reader, self._agent = magazine, reader, agent
        self._email = f"nia.{secrets.token_hex(3)}@example.com"
        self._page: Page
        self._refund_form: Element

    def steps(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        """Return the steps in order, each with its description."""
        return [
            ("The front page shows the current issue", self.front_page),
            ("An article for subscribers ends at the paywall", self.paywall),
            ("The plan card shows all nine lines of the offer", self.plan_card),
            ("A new reader signs up and returns to the article", self.sign_up),
            ("Subscribing with print opens the hosted payment page", self.subscribe),
            ("Paying with the card 4242 4242 4242 4242 leads to the welcome page", self.pay),
            ("The rest of the article is open", self.open_article),
            ("The account shows an active subscription with print", self.account),
            ("After canceling, access continues until the end of the term", self.cancel),
            ("After resuming with one click, the subscription renews again", self.resume),
            ("A support agent signs in and finds the reader", self.find_reader),
            ("The agent refunds the payment under the guarantee", self.refund),
            ("The article is closed because of the refund", self.closed),
            ("The account shows the refund", self.account_after_refund),
            ("The subscription is canceled at Stripe", self.canceled_at_stripe),
            ("A second refund is rejected", self.second_refund),
        ]

    async def front_page(self) -> None:
        self._page = await self._reader.open(self._magazine)
        links = [a.attributes.get("href", "") for a in self._page.find("a")]
        expect(f"/articles/{ARTICLE}" in links, f"a link to {ARTICLE}", self._page)

    async def paywall(self) -> None:
        self._page = await self._open_article()
        expect(OPENING in self._page.text, "the opening of the article", self._page)
        expect(ENDING not in self._page.text, "the rest of the article to be missing", self._page)
        expect(self._paywall_reason(self._page) is not None, "a paywall", self._page)

    async def plan_card(self) -> None:
        lines = tuple(item.text for card in self._page.find(class_="offer") for item in card.find("li"))
        if lines != OFFER:
            raise StepFailed(f"the lines {' · '.join(OFFER)}", f"{' · '.join(lines) or 'no lines'}")

    async def sign_up(self) -> None:
        sign_in = await self._reader.open(f"{self._magazine}/sign-in?next=/articles/{ARTICLE}")
        sign_up = await self._reader.open(self._link(sign_in, "/sign-up"))
        fields = {"name": "Nia Fontaine", "email": self._email, "password": "a-public-password"}
        self._page = await self._reader.submit(sign_up, sign_up.form("/sign-up"), **fields)
        expect(
            "You’re signed in as Nia Fontaine" in self._page.text, "the article, signed in as Nia Fontaine", self._page
        )
        expect(
            self._paywall_reason(self._page) == "never_subscribed", "the paywall reason `never_subscribed`", self._page
        )

    async def subscribe(self) -> None:
        self._page = await self._reader.submit(self._page, self._page.form("/subscribe"), edition="print")
        expect(not self._page.url.startswith(self._magazine), "the payment page on another site", self._page)
        expect("card_number" in self._page.form().values(), "a card form", self._page)

    async def pay(self) -> None:
        form = self._page.form()
        values = {"email": self._email} | ADDRESS | CARD
        missing = (ADDRESS | CARD).keys() - form.values().keys()
        expect(not missing, f"the fields {', '.join(sorted(missing))}", self._page)
        fields = {name: value for name, value in values.items() if name in form.values()}
        self._page = await self._reader.submit(self._page, form, **fields)
        expect(self._page.url.startswith(f"{self._magazine}/welcome"), "to return to /welcome", self._page)
        expect("Welcome aboard, Nia Fontaine" in self._page.text, "a welcome message", self._page)

    async def open_article(self) -> None:
        self._page = await self._reader.open(self._link(self._page, f"/articles/{ARTICLE}"))
        expect(ENDING in self._page.text, "the end of the article", self._page)
        expect(self._paywall_reason(self._page) is None, "no paywall", self._page)

    async def account(self) -> None:
        await self._account("Your subscription is active. It renews on ")
        expect("Digital and print" in self._page.text, "both editions", self._page)

    async def cancel(self) -> None:
        self._page = await self._reader.submit(self._page, self._page.form("/account/cancel"))
        await self._account("Canceled. You have access until ")
        article = await self._open_article()
        expect(ENDING in article.text, "the article to stay open until then", article)

    async def resume(self) -> None:
        self._page = await self._reader.submit(self._page, self._page.form("/account/resume"))
        await self._account("Your subscription is active. It renews on ")

    async def find_reader(self) -> None:
        sign_in = await self._agent.open(f"{self._magazine}/desk")
        fields = {"email": "agent@example.com", "password": DEMO_PASSWORD}
        desk = await self._agent.submit(sign_in, sign_in.form("/authorize"), **fields)
        found = await self._agent.submit(desk, desk.form("/desk"), q=self._email)
        self._page = await self._agent.open(self._link(found, "/desk/readers/"))
        expect(self._email in self._page.text, f"the page of {self._email}", self._page)

    async def refund(self) -> None:
        self._refund_form = self._page.form("/refund")
        self._page = await self._agent.submit(self._page, self._refund_form)
        notice = self._notice(self._page)
        expect(notice.startswith("Refund of "), "a message about the refund", self._page)

    async def closed(self) -> None:
        async def is_closed() -> bool:
            self._page = await self._open_article()
            return self._paywall_reason(self._page) == "refunded" and ENDING not in self._page.text

        await self._soon(is_closed, "the paywall reason `refunded`")

    async def account_after_refund(self) -> None:
        await self._account("Your subscription was refunded")

    async def canceled_at_stripe(self) -> None:
        desk = await self._agent.open(f"{self._magazine}/desk?q={self._email}")

        async def is_canceled() -> bool:
            self._page = await self._agent.open(self._link(desk, "/desk/readers/"))
            return ["canceled" in shown.text for shown in self._page.find(class_="subscription")] == [True]

        await self._soon(is_canceled, "one canceled subscription")

    async def second_refund(self) -> None:
        again = await self._agent.submit(self._page, self._refund_form, key=secrets.token_urlsafe(16))
        expect(self._notice(again).startswith("Not refunded: "), "an error message", again)
        buttons = [form for form in again.find("form") if "refund" in form.attributes.get("action", "")]
        expect(not buttons, "no button for another refund", again)

    async def _account(self, status: str) -> None:
        """Open the account until it shows the status, which starts with the given text."""

        async def is_shown() -> bool:
            self._page = await self._reader.open(f"{self._magazine}/account")
            return any(element.text.startswith(status) for element in self._page.find(id="status"))

        await self._soon(is_shown, f"“{status}…”")

    async def _soon(self, condition: Callable[[], Awaitable[bool]], expected: str) -> None:
        """Wait until a condition is true, or until the time-out."""
        deadline = time.monotonic() + UPDATE_TIMEOUT
        while not await condition():
            expect(time.monotonic() < deadline, f"{expected} within {UPDATE_TIMEOUT:.0f} seconds", self._page)
            await asyncio.sleep(0.1)

    async def _open_article(self) -> Page:
        return await self._reader.open(f"{self._magazine}/articles/{ARTICLE}")

    @staticmethod
    def _paywall_reason(page: Page) -> str | None:
        """Return the reason shown at the paywall, or None without one."""
        return next((found.attributes.get("data-reason", "") for found in page.find(class_="paywall")), None)

    @staticmethod
    def _notice(page: Page) -> str:
        return next((element.text for element in page.find(class_="notice")), "")

    @staticmethod
    def _link(page: Page, start: str) -> str:
        """Return the absolute URL of the first link whose href starts with the given text."""
        for link in page.find("a"):
            href = link.attributes.get("href", "")
            if href.startswith(start):
                return page.resolve(href)
        raise StepFailed(f"a link to {start}", f"{page.url} ({page.status}): {page.text[:300]}")


async def walk(stack: Stack) -> None:
    """
    Run all steps and print each one.

    :raises StepFailed: if a step fails.
    """
    async with Browser() as reader, Browser() as agent:
        for number, (description, step) in enumerate(Tour(stack.magazine, reader, agent).steps(), 1):
            started_at = time.monotonic()
            try:
                await step()
            except Exception:
                print(f"{number:3} ✗ {description}", flush=True)
                raise
            print(f"{number:3} ✓ {description:<70} {time.monotonic() - started_at:6.2f} s", flush=True)


async def run() -> int:
    """Start the demo, run the tour and stop. Return the exit status."""
    stop_requested = cancel_on_signals()
    started_at = time.monotonic()
    print("Starting the demo on free ports ...", flush=True)
    stack = Stack(Ports.free())
    try:
        async with stack:
            print(f"Ready after {time.monotonic() - started_at:.1f} seconds.\n", flush=True)
            try:
                await walk(stack)
            except Exception:
                for name in ("service", "worker", "magazine", "local Stripe"):
                    print(f"\nLast lines of the log of the {name}:\n{stack.processes.tail(name, 8)}", file=sys.stderr)
                raise
            print(f"\nAll steps passed after {time.monotonic() - started_at:.1f} seconds.", flush=True)
    except (StepFailed, StackFailed, LookupError) as failure:
        print(f"\nThe tour failed: {failure}", file=sys.stderr, flush=True)
        return 1
    except asyncio.CancelledError:
        if not stop_requested.is_set():
            raise
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(run()))
