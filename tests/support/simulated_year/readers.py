"""Simulated readers: the random daily actions of readers, their banks and the publisher's staff."""

import asyncio
from dataclasses import dataclass, field
from functools import partial
from random import Random

import httpx2

from tests.support.second_checkouts import open_second_checkout
from tests.support.shop import ADDRESS, VISA, Person, Shop
from tests.support.simulated_year import kinds
from tests.support.simulated_year.kinds import Act, Choice
from tests.support.simulated_year.stripe_records import Json, StripeRecords, payments_of, term_line

DAY = 86400
IN_TROUBLE = {"past_due", "unpaid", "paused"}
HELD = {"active", "trialing", *IN_TROUBLE}
TRIES = 12
ORDINARY = 0.25


@dataclass
class SimulatedReader:
    """One reader, whose actions depend on Stripe's records of the evening before and on random numbers."""

    shop: Shop
    person: Person
    rng: Random
    kind: str = kinds.CARD
    print_price: str = ""  # of print, at Stripe
    eagerness: float = 0.15  # the probability of an action on a day
    diary: list[str] = field(default_factory=list)
    outlived: set[str] = field(default_factory=set)  # subscriptions whose paid terms run on; see `expected_access`
    may_end: set[str] = field(default_factory=set)  # subscriptions that something done to them may end
    canceled: dict[str, int] = field(default_factory=dict)  # since when a subscription is canceled, by ID
    moved: bool = False  # whether the reader acted today
    _canceled_at: int | None = None  # when the reader asked for a cancellation today
    _clicks: int = 0
    _held: set[str] = field(default_factory=set)  # the subscriptions that had not ended this morning

    async def act_for_a_day(self, books: StripeRecords, customer: str | None, *, now: int) -> None:
        """Run at most one random action."""
        self.moved = False
        held = [s for s in books.subscriptions.get(customer or "", []) if s["status"] in HELD]
        self._held = {s["id"] for s in held}
        late = kinds.late_debits(self, books, customer or "")
        if late and self.rng.random() < 0.5:
            await self._run("the bank decides about a debit after the end", self.rng.choice(late))
        elif not held:
            if self.rng.random() < (0.5 if customer is None else self.eagerness / 2):
                await self._run("subscribes", self.subscribe)
        elif self.rng.random() < self._eagerness_today(books, held):
            name, act = self._choose(books, held[-1], now=now)
            await self._run(name, act)

    def _eagerness_today(self, books: StripeRecords, held: list[Json]) -> float:
        """Return the probability of an action. Readers are notified of what is open, and most react."""
        unpaid = any(i["status"] == "open" for s in held for i in books.invoices.get(s["id"], []))
        in_trouble = unpaid or any(s["status"] in IN_TROUBLE for s in held)
        return max(self.eagerness, 0.4) if in_trouble else self.eagerness

    async def _run(self, name: str, act: Act) -> None:
        self.moved = True
        self.diary.append(name)
        try:
            await act()
        except (TimeoutError, httpx2.TransportError) as failure:
            self.diary.append(f"  {type(failure).__name__}")

    def _choose(self, books: StripeRecords, held: Json, *, now: int) -> tuple[str, Act]:
        stripe_id, path = held["id"], f"/v1/subscriptions/{held['id']}"
        invoices = books.invoices.get(stripe_id, [])
        terms = [i for i in invoices if i["status"] == "paid" and term_line(i) is not None]
        paid = [(p, amount) for i in terms for p, amount in payments_of(i) if p.startswith("pi_")]
        scheduled = held["cancel_at"] or held["cancel_at_period_end"]
        open_disputes = [
            d
            for intent, _ in paid
            for d in books.disputes.get(intent, [])
            if "response" in d["status"] or "review" in d["status"]
        ]
        if open_disputes and self.rng.random() < 0.8:
            return self._bank_decides(open_disputes[0], stripe_id)
        period_end = max(item["current_period_end"] for item in held["items"]["data"])
        choices: list[Choice] = [
            (6, "cancels at the end of the term", lambda: self._cancels("period_end", now=now)),
            (2, "cancels now", lambda: self._cancels("now", now=now)),
            (3, "portal: ends with the period", lambda: self.in_dashboard(path, cancel_at=str(period_end))),
            (3, "dashboard: ends with the period", lambda: self.in_dashboard(path, cancel_at_period_end="true")),
            (1, "dashboard: ends now", lambda: self.in_dashboard(path, method="DELETE", ends=stripe_id)),
            (6, "the card is declined from now on", lambda: self.pays_by(held, "pm_card_chargeCustomerFail")),
        ]
        if held["pause_collection"] is None:
            rest = {"pause_collection[behavior]": self.rng.choice(["void", "keep_as_draft", "mark_uncollectible"])}
            choices += [(3, "pauses", lambda: self.in_dashboard(path, **rest))]
        else:
            choices += [(15, "resumes from the pause", lambda: self.in_dashboard(path, pause_collection=""))]
        if scheduled:
            choices += [(20, "resumes", self._resumes)]
        if held["status"] in IN_TROUBLE:
            choices += self._when_in_trouble(held, invoices, now=now)
        if paid:
            choices += self._with_payment(self.rng.choice(paid)[0], held, newest=paid[-1][0])
            if self.kind not in kinds.RETURNED_OTHERWISE:
                choices += self._refunds_in_dashboard(*self.rng.choice(paid), held, newest=paid[-1][0])
        own = kinds.choices(self, books, held)
        if own:  # most of what happens to a reader of a kind is what is special about it
            choices = [(weight * ORDINARY, name, act) for weight, name, act in choices] + own
        weights = [weight for weight, _, _ in choices]
        _, name, act = self.rng.choices(choices, weights)[0]
        return name, act

    def _when_in_trouble(self, held: Json, invoices: list[Json], *, now: int) -> list[Choice]:
        unpaid = next((i["id"] for i in reversed(invoices) if i["status"] in {"draft", "open"}), None)
        return [
            (60, "replaces the card", lambda: self.pays_by(held, "pm_card_visa", pay=unpaid)),
            (20, "cancels what is not paid", lambda: self._cancels("period_end", now=now)),
            (20, "subscribes again", lambda: self.subscribe()),
        ]

    def _refunds_in_dashboard(self, intent: str, amount: int, held: Json, *, newest: str) -> list[Choice]:
        """Return refunds by staff who don't see what Newsstand counts. One of an older term ends nothing else."""
        part = str(self.rng.randint(1, max(1, amount - 1)))
        ends = held["id"] if intent == newest else None
        refund = partial(self.in_dashboard, "/v1/refunds", ends=ends, payment_intent=intent)
        return [(2, "dashboard: full refund", refund), (2, "dashboard: partial refund", partial(refund, amount=part))]

    def _with_payment(self, intent: str, held: Json, *, newest: str) -> list[Choice]:
        stripe_id = held["id"]
        ends = stripe_id if intent == newest else None
        return [
            (6, "requests a refund", lambda: self.requests_refund(stripe_id)),
            (4, "an agent refunds", lambda: self._agent_refunds(intent, ends=ends)),
            (4, "disputes the payment", lambda: self._bank(intent, "dispute", reason="product_not_received")),
            (2, "opens an inquiry", lambda: self._bank(intent, "dispute", kind="inquiry")),
            (1, "the bank sends a fraud warning", lambda: self._warned(intent, stripe_id)),
            (2, "pays in a second tab", lambda: self._second_tab(held)),
        ]

    async def _cancels(self, when: str, *, now: int) -> None:
        self.may_end |= self._held
        self._canceled_at = now
        answer = await self.click("/v1/me/subscription/cancel", {"when": when})
        assert answer.status_code != 409, f"{self.person.sub} can't cancel: {answer.text}"

    async def note_cancellations(self) -> None:
        """Find out what became of today's cancellation. If Stripe was unavailable, it may have taken effect later."""
        if self._canceled_at is None:
            return
        for one in (await self.shop.overview(self.person))["subscriptions"]:
            if one["ended_by"] == "not_renewed":
                self.outlived.add(one["stripe_id"])
            if one["ended_by"] in {"not_renewed", "cancel_now"} or one["cancel_at"] is not None:
                self.canceled.setdefault(one["stripe_id"], self._canceled_at)
        self._canceled_at = None

    async def _resumes(self) -> None:
        answer = await self.click("/v1/me/subscription/resume")
        if answer.status_code in {200, 503}:
            self.canceled.clear()

    async def subscribe(self) -> None:
        """Subscribe through a checkout. A subscription whose access has ended is ended first."""
        print_edition = self.rng.random() < 0.4
        for _ in range(TRIES):
            opened = await self.shop.open_checkout(self.person, print_edition=print_edition)
            if opened.status_code != 503:
                break
        if opened.status_code != 409:
            self.may_end |= self._held
        if opened.status_code != 201 or self.rng.random() < 0.1:
            self.diary.append(f"  leaves the page ({opened.status_code})")
            return
        card = "4000002760003184" if self.rng.random() < 0.03 else VISA
        form = kinds.checkout_form(self)
        address = ADDRESS if print_edition else None
        paid = await self.shop.pay_checkout(opened.json()["url"], card=card, address=address, **form)
        self.diary.append(f"  {'print' if print_edition else 'digital'}, pays: {paid.status_code}")
        if self.rng.random() < 0.8:
            await self.shop.get(f"/v1/checkout-sessions/{opened.json()['id']}", self.person)

    async def _second_tab(self, held: Json) -> None:
        """Pay a checkout that is open in another tab."""
        self.may_end |= self._held
        session = await open_second_checkout(self.shop, held["customer"], held["items"]["data"][0]["price"]["id"])
        if session is not None:
            await self.shop.pay_checkout(session["url"])

    async def click(self, path: str, body: object = None, **headers: str) -> httpx2.Response:
        """Send a request as the reader, and repeat it while the service is busy."""
        for _ in range(TRIES):
            answer = await self.shop.post(path, self.person, body, **headers)
            assert answer.status_code < 500 or answer.status_code == 503, (path, answer.text)
            if answer.status_code != 503 and "in_use" not in answer.text and "in_progress" not in answer.text:
                break
            await asyncio.sleep(0.05)
        self.diary.append(f"  {answer.status_code} {answer.json().get('code', '') if answer.content else ''}")
        return answer

    async def requests_refund(self, stripe_id: str) -> None:
        """Request the refund that the guarantee quote promises."""
        quote = await self.shop.get("/v1/me/refund-quote", self.person)
        if quote.status_code == 200:
            self._clicks += 1
            self.may_end.add(stripe_id)
            key = {"Idempotency-Key": f"{self.person.sub}-{self._clicks}"}
            await self.click("/v1/me/refunds", {"expected_amount": quote.json()["amount"]}, **key)

    async def _agent_refunds(self, intent: str, *, ends: str | None) -> None:
        answer = await self.shop.get(f"/v1/support/payments/{intent}/refund-quote", self.shop.agent)
        if answer.status_code != 200:
            self.diary.append(f"  {answer.status_code}")
            return
        allowed = [quote for quote in answer.json()["quotes"] if quote["allowed"]]
        if not allowed:
            self.diary.append("  no basis allowed")
            return
        quote = self.rng.choice(allowed)
        self._clicks += 1
        if ends is not None and quote["basis"] != "goodwill":
            self.may_end.add(ends)
        wanted = {
            "payment": intent,
            "basis": quote["basis"],
            "reason": "requested_by_reader",
            "expected_amount": quote["amount"],
        }
        if quote["basis"] == "goodwill":
            wanted["amount"] = {**quote["amount"], "amount": self.rng.randint(1, min(quote["amount"]["amount"], 500))}
            wanted["expected_amount"] = wanted["amount"]
        headers = {**self.shop.agent.headers, "Idempotency-Key": f"{self.person.sub}-{self._clicks}"}
        for _ in range(TRIES):
            done = await self.shop.http.post("/v1/support/refunds", headers=headers, json=wanted)
            assert done.status_code < 500 or done.status_code == 503, done.text
            if done.status_code != 503 and "in_use" not in done.text:
                break
            await asyncio.sleep(0.05)
        self.diary.append(f"  {quote['basis']}: {done.status_code} {done.json().get('code', '')}")

    def _bank_decides(self, dispute: Json, stripe_id: str) -> tuple[str, Act]:
        inquiry = dispute["status"].startswith("warning")
        verdict = self.rng.choice(["warning_closed", "needs_response"] if inquiry else ["won", "lost"])

        async def decide() -> None:
            if verdict == "lost":
                self.ended_by_bank(stripe_id)
            await self.shop.ask_bank(f"disputes/{dispute['id']}", status=verdict)

        return f"the bank says {verdict}", decide

    async def _warned(self, intent: str, stripe_id: str) -> None:
        warned = await self._bank(intent, "warn")
        if warned.get("actionable"):
            self.ended_by_bank(stripe_id)

    def ended_by_bank(self, stripe_id: str) -> None:
        """Note that a bank took one payment back, which ends its subscription and leaves other payments' terms alone."""
        self.outlived.add(stripe_id)
        self.may_end.add(stripe_id)

    async def _bank(self, intent: str, what: str, **wanted: str) -> Json:
        for _ in range(TRIES):
            found = await self.shop.stripe.get(f"/v1/payment_intents/{intent}")
            if found.status_code == 200:
                break
        done = await self.shop.ask_bank(f"charges/{found.json()['latest_charge']}/{what}", **wanted)
        return dict(done.json())

    async def pays_by(self, held: Json, method: str, *, pay: str | None = None) -> None:
        """Change the payment method of a subscription, and pay an invoice with it."""
        attached = await self.shop.stripe.post(
            f"/v1/payment_methods/{method}/attach", data={"customer": held["customer"]}
        )
        if attached.status_code == 200:
            card = {"default_payment_method": attached.json()["id"]}
            await self.in_dashboard(f"/v1/subscriptions/{held['id']}", **card)
            if pay is not None:
                await self.in_dashboard(f"/v1/invoices/{pay}/pay", payment_method=attached.json()["id"])

    async def in_dashboard(
        self, path: str, *, method: str = "POST", ends: str | None = None, **fields: str
    ) -> Json | None:
        """
        Send a request as Stripe's own pages would. It may fail; Stripe's records show the result.

        :param ends: the subscription that it may end.
        :return: Stripe's response, or None if it is an error.
        """
        if ends is not None:
            self.may_end.add(ends)
        answer = await self.shop.stripe.request(method, path, data=fields or None)
        self.diary.append(f"  {answer.status_code}")
        return dict(answer.json()) if answer.status_code == 200 else None
