"""Simulated readers: the random daily actions of readers, their banks and the publisher's staff."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

import httpx2

from tests.support.shop import ADDRESS, VISA, Person, Shop
from tests.support.simulated_year.stripe_records import Json, StripeRecords

DAY = 86400
LIVE = {"active", "trialing", "past_due"}
TRIES = 12
Act = Callable[[], Awaitable[object]]


@dataclass
class SimulatedReader:
    """One reader, whose actions depend on Stripe's records of the evening before and on random numbers."""

    shop: Shop
    person: Person
    rng: Random
    eagerness: float = 0.15  # the probability of an action on a day
    diary: list[str] = field(default_factory=list)
    ended_by_bank: set[str] = field(default_factory=set)  # subscriptions that a lost dispute or a fraud warning ended
    moved: bool = False  # whether the reader acted today
    _clicks: int = 0

    async def act_for_a_day(self, books: StripeRecords, customer: str | None, *, now: int) -> None:
        """Run at most one random action."""
        self.moved = False
        held = [s for s in books.subscriptions.get(customer or "", []) if s["status"] in LIVE]
        if not held:
            if self.rng.random() < (0.5 if customer is None else self.eagerness / 2):
                await self._run("subscribes", self._subscribe)
            return
        in_trouble = any(s["status"] == "past_due" for s in held)  # readers are notified, and most react
        if self.rng.random() < (max(self.eagerness, 0.4) if in_trouble else self.eagerness):
            name, act = self._choose(books, held[-1], now=now)
            await self._run(name, act)

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
        paid = [
            (p["payment"]["payment_intent"], p["amount_paid"])
            for i in invoices
            for p in i["payments"]["data"]
            if p["status"] == "paid" and p["payment"].get("payment_intent")
        ]
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
        choices: list[tuple[float, str, Act]] = [
            (
                6,
                "cancels at the end of the term",
                lambda: self._click("/v1/me/subscription/cancel", {"when": "period_end"}),
            ),
            (2, "cancels now", lambda: self._click("/v1/me/subscription/cancel", {"when": "now"})),
            (3, "portal: ends with the period", lambda: self._in_dashboard(path, cancel_at=str(period_end))),
            (3, "dashboard: ends with the period", lambda: self._in_dashboard(path, cancel_at_period_end="true")),
            (1, "dashboard: ends now", lambda: self._in_dashboard(path, method="DELETE")),
            (6, "the card is declined from now on", lambda: self._card(held, "pm_card_chargeCustomerFail")),
        ]
        if held["pause_collection"] is None:
            rest = {"pause_collection[behavior]": self.rng.choice(["void", "keep_as_draft", "mark_uncollectible"])}
            choices += [(3, "pauses", lambda: self._in_dashboard(path, **rest))]
        else:
            choices += [(15, "resumes from the pause", lambda: self._in_dashboard(path, pause_collection=""))]
        if scheduled:
            choices += [(20, "resumes", lambda: self._click("/v1/me/subscription/resume"))]
        if held["status"] == "past_due":
            choices += [(60, "replaces the card", lambda: self._card(held, "pm_card_visa", pay=invoices[-1]["id"]))]
        if paid:
            intent, amount = self.rng.choice(paid)
            part = self.rng.randint(1, max(1, amount - 1))
            choices += [
                (6, "requests a refund", self._refunds),
                (4, "an agent refunds", lambda: self._agent_refunds(intent)),
                (2, "dashboard: full refund", lambda: self._in_dashboard("/v1/refunds", payment_intent=intent)),
                (
                    2,
                    "dashboard: partial refund",
                    lambda: self._in_dashboard("/v1/refunds", payment_intent=intent, amount=str(part)),
                ),
                (4, "disputes the payment", lambda: self._bank(intent, "dispute", reason="product_not_received")),
                (2, "opens an inquiry", lambda: self._bank(intent, "dispute", kind="inquiry")),
                (1, "the bank sends a fraud warning", lambda: self._warned(intent, stripe_id)),
                (2, "pays in a second tab", lambda: self._second_tab(held)),
            ]
        weights = [weight for weight, _, _ in choices]
        _, name, act = self.rng.choices(choices, weights)[0]
        return name, act

    async def _subscribe(self) -> None:
        print_edition = self.rng.random() < 0.4
        for _ in range(TRIES):
            opened = await self.shop.open_checkout(self.person, print_edition=print_edition)
            if opened.status_code != 503:
                break
        if opened.status_code != 201 or self.rng.random() < 0.1:
            self.diary.append(f"  leaves the page ({opened.status_code})")
            return
        card = "4000002760003184" if self.rng.random() < 0.03 else VISA
        paid = await self.shop.pay_checkout(opened.json()["url"], card=card, address=ADDRESS if print_edition else None)
        self.diary.append(f"  {'print' if print_edition else 'digital'}, pays: {paid.status_code}")
        if self.rng.random() < 0.8:
            await self.shop.get(f"/v1/checkout-sessions/{opened.json()['id']}", self.person)

    async def _second_tab(self, held: Json) -> None:
        """Pay a checkout that is open in another tab."""
        wanted = {
            "mode": "subscription",
            "customer": held["customer"],
            "success_url": "http://127.0.0.1:8080/welcome",
            "line_items[0][price]": held["items"]["data"][0]["price"]["id"],
            "line_items[0][quantity]": "1",
        }
        session = await self.shop.stripe.post("/v1/checkout/sessions", data=wanted)
        if session.status_code == 200:
            await self.shop.pay_checkout(session.json()["url"])

    async def _click(self, path: str, body: object = None, **headers: str) -> None:
        """Send a request as the reader, and repeat it while the service is busy."""
        for _ in range(TRIES):
            answer = await self.shop.post(path, self.person, body, **headers)
            assert answer.status_code < 500 or answer.status_code == 503, (path, answer.text)
            if answer.status_code != 503 and "in_use" not in answer.text and "in_progress" not in answer.text:
                break
            await asyncio.sleep(0.05)
        self.diary.append(f"  {answer.status_code} {answer.json().get('code', '') if answer.content else ''}")

    async def _refunds(self) -> None:
        quote = await self.shop.get("/v1/me/refund-quote", self.person)
        if quote.status_code == 200:
            self._clicks += 1
            key = {"Idempotency-Key": f"{self.person.sub}-{self._clicks}"}
            await self._click("/v1/me/refunds", {"expected_amount": quote.json()["amount"]}, **key)

    async def _agent_refunds(self, intent: str) -> None:
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
                self.ended_by_bank.add(stripe_id)
            await self.shop.stripe.post(f"/_sandbox/disputes/{dispute['id']}", json={"status": verdict})

        return f"the bank says {verdict}", decide

    async def _warned(self, intent: str, stripe_id: str) -> None:
        warned = await self._bank(intent, "warn")
        if warned.get("actionable"):
            self.ended_by_bank.add(stripe_id)

    async def _bank(self, intent: str, what: str, **wanted: str) -> Json:
        for _ in range(TRIES):
            found = await self.shop.stripe.get(f"/v1/payment_intents/{intent}")
            if found.status_code == 200:
                break
        done = await self.shop.stripe.post(f"/_sandbox/charges/{found.json()['latest_charge']}/{what}", json=wanted)
        return dict(done.json())

    async def _card(self, held: Json, method: str, *, pay: str | None = None) -> None:
        attached = await self.shop.stripe.post(
            f"/v1/payment_methods/{method}/attach", data={"customer": held["customer"]}
        )
        if attached.status_code == 200:
            card = {"default_payment_method": attached.json()["id"]}
            await self._in_dashboard(f"/v1/subscriptions/{held['id']}", **card)
            if pay is not None:
                await self._in_dashboard(f"/v1/invoices/{pay}/pay", payment_method=attached.json()["id"])

    async def _in_dashboard(self, path: str, *, method: str = "POST", **fields: str) -> None:
        """Send a request as Stripe's own pages would. It may fail; Stripe's records show the result."""
        answer = await self.shop.stripe.request(method, path, data=fields or None)
        self.diary.append(f"  {answer.status_code}")
