"""The readers of the simulated year of print: what they and the desk do, noted on the model's card if it was accepted."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from random import Random

import httpx2

from tests.support.labels import HOME
from tests.support.print_edition import PATH
from tests.support.print_year.ledger import (
    DAY,
    Away,
    Card,
    PaidTerm,
    Place,
    PlannedIssue,
    Replacement,
)
from tests.support.print_year.liability import Paid, day_of
from tests.support.shop import ADDRESS, Person, Shop

CITIES = {
    "Portland": ("ME", "04101"),
    "Duluth": ("MN", "55801"),
    "Springfield": ("IL", "62701"),
    "Boise": ("ID", "83702"),
}
Action = Callable[[], Awaitable[None]]


@dataclass
class PrintReader:
    """One reader with at most one subscription."""

    shop: Shop
    sub: str
    rng: Random
    calendar: Sequence[PlannedIssue]
    fails: bool  # whether the card is declined at the renewal
    pays_late_on: date | None  # when the card is replaced then
    card: Card = field(default_factory=Card)
    payments: dict[str, Paid] = field(default_factory=dict)  # by invoice
    intents: dict[str, str] = field(default_factory=dict)  # the payment intent of each invoice
    ids: dict[str, str] = field(default_factory=dict)  # subscriber, subscription, stripe
    is_declined: bool = False  # whether the card is
    added_print: bool = False  # since its invoices were read
    print_after: PaidTerm | None = None  # it was added when no copy of this term could be bought anymore
    diary: list[str] = field(default_factory=list)
    _clicks: int = 0

    @property
    def person(self) -> Person:
        """The reader, with an access token that is not too old."""
        return self.shop.person(self.sub)

    @property
    def name(self) -> str:
        """The name on the labels."""
        return self.sub.replace("-", " ").title()

    @property
    def term(self) -> PaidTerm | None:
        """The newest term."""
        return self.card.terms[-1] if self.card.terms else None

    async def subscribes(self, *, with_print: bool, now: datetime) -> None:
        """Subscribe at the hosted checkout page."""
        opened = await self.shop.open_checkout(self.person, print_edition=with_print)
        assert opened.status_code == 201, opened.text
        address = {**ADDRESS, "shipping_name": self.name} if with_print else None
        paid = await self.shop.pay_checkout(opened.json()["url"], address=address, email=self.person.email)
        assert paid.status_code == 303, paid.text
        self.note(f"subscribes, print: {with_print}", now)
        if with_print:
            self.card.places.append(Place("Springfield", now))

    def note(self, what: str, now: datetime) -> None:
        """Write something into the diary."""
        self.diary.append(f"{now:%Y-%m-%d %H:%M} {what}")

    async def acts(self, *, now: datetime) -> None:
        """Do one thing at random, if anything is possible."""
        choices = self._choices(now)
        if choices:
            weights = [weight for weight, _, _ in choices]
            ((_, what, action),) = self.rng.choices(choices, weights)
            self.note(what, now)
            await action()

    def _choices(self, now: datetime) -> list[tuple[float, str, Action]]:
        term, today = self.term, day_of(now)
        if term is None or term.ended is not None or not term.starts <= now < term.ends - DAY:
            return []
        is_printed = any(period.until is None for period in term.prints)
        choices: list[tuple[float, str, Action]] = [
            (1, "cancels at the end", lambda: self._cancels("period_end")),
            (0.4, "cancels now", lambda: self._cancels("now", now)),
            (1, "goodwill", lambda: self._is_refunded(term, "goodwill", now)),
        ]
        if now < term.starts + 55 * DAY and len(self.card.terms) == 1:
            choices.append((3, "guarantee", lambda: self._uses_guarantee(now)))
        else:
            choices.append((0.5, "unserved issues", lambda: self._is_refunded(term, "unserved_issues", now)))
        if self.card.left(term, self.calendar, now) > 2:
            choices.append((1, "gets an issue more", lambda: self._is_extended(term, now)))
        if is_printed:
            choices += [
                (3, "moves", lambda: self._moves(now)),
                (2, "has another address for a while", lambda: self._is_away(now)),
                (4, "holds copies", lambda: self._holds(today)),
                (3, "drops print", lambda: self._drops(term, now)),
            ]
            mailed = [one for one in self.calendar if one.mail_date <= today and one.frozen]
            if mailed:
                choices.append((4, "claims a copy", lambda: self._claims(mailed[-1], now)))
        elif term is not self.print_after:
            choices.append((3, "adds print", lambda: self._adds(term, now)))
        running = [one for one in self.card.holds if one.lifted is None and (one.until is None or one.until > today)]
        if running:
            choices.append((4, "lifts the hold", lambda: self._lifts(running[-1], today)))
        return choices

    async def _send(self, method: str, path: str, body: object = None, *, by: Person | None = None) -> httpx2.Response:
        self._clicks += 1
        headers = {**(by or self.person).headers, "Idempotency-Key": f"{self.sub}-{self._clicks}"}
        answer = await self.shop.http.request(method, path, headers=headers, json=body)
        assert answer.status_code < 500, (path, answer.text)
        self.diary.append(f"  {answer.status_code} {answer.text[:200]}")
        return answer

    async def _cancels(self, when: str, now: datetime | None = None) -> None:
        answer = await self._send("POST", "/v1/me/subscription/cancel", {"when": when})
        assert answer.status_code == 200, self.story()
        self.card.will_renew = False
        if now is not None:
            self._ends(now)

    def _ends(self, now: datetime, *, refunded: bool = False) -> None:
        """
        Note an immediate end: nothing is owed anymore, not even what holds moved beyond an earlier term.

        Only the payment of the newest term was refunded.
        """
        assert self.term is not None
        self.term.refunded, self.card.will_renew = refunded, False
        for term in self.card.terms:
            term.ended = term.ended or now

    async def _uses_guarantee(self, now: datetime) -> None:
        quote = (await self.shop.get("/v1/me/refund-quote", self.person)).json()
        answer = await self._send("POST", "/v1/me/refunds", {"expected_amount": quote["amount"]})
        if quote["allowed"]:
            assert answer.status_code in {201, 202}, self.story()
            self._ends(now, refunded=True)

    async def _is_refunded(self, term: PaidTerm, basis: str, now: datetime) -> None:
        intent = self.intents[term.invoice]
        found = (await self.shop.get(f"/v1/support/payments/{intent}/refund-quote", self.shop.agent)).json()["quotes"]
        quote = next(one for one in found if one["basis"] == basis)
        if not quote["allowed"]:
            return
        amount = {"amount": 1_50, "currency": "usd"} if basis == "goodwill" else quote["amount"]
        body = {"payment": intent, "basis": basis, "reason": "copies_missing", "expected_amount": amount}
        more = {"amount": amount} if basis == "goodwill" else {}
        answer = await self._send("POST", "/v1/support/refunds", {**body, **more}, by=self.shop.agent)
        assert answer.status_code in {201, 202, 409}, self.story()
        if basis != "goodwill" and answer.status_code != 409:
            self._ends(now, refunded=True)

    async def _is_extended(self, term: PaidTerm, now: datetime) -> None:
        path = f"/v1/support/subscriptions/{self.ids['subscription']}/extend"
        answer = await self._send("POST", path, {"issues": 1, "reason": "copies_missing"}, by=self.shop.agent)
        assert answer.status_code in {201, 202}, self.story()
        if answer.status_code == 201:
            term.extensions.append((now, 1))

    async def _moves(self, now: datetime) -> None:
        city = self.rng.choice(sorted(CITIES))
        answer = await self._send("PUT", "/v1/me/address", self._address(city))
        assert answer.status_code == 200, self.story()
        self.card.places.append(Place(city, now))

    async def _is_away(self, now: datetime) -> None:
        city, since = self.rng.choice(sorted(CITIES)), day_of(now) + self.rng.randint(1, 20) * DAY
        until = since + self.rng.randint(3, 40) * DAY
        body = {**self._address(city), "from": str(since), "until": str(until)}
        answer = await self._send("PUT", "/v1/me/address", body)
        if answer.status_code == 200:
            self.card.places.append(Place(city, now, since, until))

    def _address(self, city: str) -> dict[str, str]:
        region, code = CITIES[city]
        return {**HOME, "name": self.name, "city": city, "region": region, "postal_code": code}

    async def _holds(self, today: date) -> None:
        since, issues, until = today + self.rng.randint(0, 10) * DAY, None, None
        if self.rng.random() < 0.5:
            issues = self.rng.randint(1, 3)
        else:
            until = since + self.rng.randint(1, 50) * DAY
        body = {"from": str(since), "issues": issues} if issues else {"from": str(since), "until": str(until)}
        answer = await self._send("POST", "/v1/me/holds", body)
        if answer.status_code == 201:
            self.card.holds.append(Away(answer.json()["id"], since, until, issues))

    async def _lifts(self, hold: Away, today: date) -> None:
        answer = await self._send("DELETE", f"/v1/me/holds/{hold.id}")
        if answer.status_code == 200:
            hold.lifted = max(today, hold.since)

    async def _claims(self, issue: PlannedIssue, now: datetime) -> None:
        resolution = self.rng.choice(["resend", "extend"])
        body = {"issue": issue.number, "reason": "not_received", "resolution": resolution}
        answer = await self._send("POST", "/v1/me/claims", body)
        if issue.number not in self.card.sent or issue.number in self.card.claimed:
            assert answer.status_code == 409, self.story()
            return
        is_refused = (resolution == "extend" and self.card.sent[issue.number] is None) or self.card.moved_late(issue)
        if is_refused:
            assert answer.json()["code"] in {"nothing_to_extend", "copy_sent_elsewhere"}, self.story()
            return
        assert answer.status_code in {201, 202}, self.story()
        self.card.claimed.add(issue.number)
        term = self.term
        assert term is not None
        if answer.status_code == 201 and resolution == "extend":
            term.extensions.append((now, issue.counts))
        elif answer.status_code == 201:
            self.card.replacements.append(Replacement(issue.number, self.card.sent[issue.number] or term))

    async def _drops(self, term: PaidTerm, now: datetime) -> None:
        answer = await self._change_print(enabled=False)
        if answer is not None:
            next(one for one in term.prints if one.until is None).until = now

    async def _adds(self, term: PaidTerm, now: datetime) -> None:
        answer = await self._change_print(enabled=True)
        if answer is not None:
            self.added_print = True
            self.print_after = term if answer.json()["issues"] == 0 else None
            self.card.places.append(Place("Springfield", now))

    async def _change_print(self, *, enabled: bool) -> httpx2.Response | None:
        quote = (await self.shop.get(f"{PATH}/quote", self.person)).json()
        if not quote["allowed"]:
            self.diary.append(f"  {quote}")
            return None
        body = {"enabled": enabled, "expected_amount": quote["amount"]}
        if enabled:
            body["address"] = self._address("Springfield")
        answer = await self._send("PUT", PATH, body)
        if enabled and self.is_declined and quote["amount"]["amount"]:
            assert answer.json()["code"] == "print_payment_failed", self.story()
            return None
        assert answer.status_code in {200, 202}, self.story()  # a worker may complete it
        return answer

    async def use_card(self, method: str) -> str:
        """Pay with another card from now on. Return its ID."""
        held = await self.shop.stripe_get(f"/v1/subscriptions/{self.ids['stripe']}")
        card = await self.shop.stripe_post(f"/v1/payment_methods/{method}/attach", customer=held["customer"])
        await self.shop.stripe_post(f"/v1/subscriptions/{self.ids['stripe']}", default_payment_method=card["id"])
        return str(card["id"])

    async def pays_open_invoice(self, now: datetime) -> None:
        """Replace the card, and pay the renewal that is open, if there is one."""
        self.fails = self.is_declined = False
        path = "/v1/invoices"
        card = await self.use_card("pm_card_visa")
        for invoice in (await self.shop.stripe_get(path, subscription=self.ids["stripe"], status="open"))["data"]:
            self.note("pays the renewal", now)
            await self.shop.stripe_post(f"{path}/{invoice['id']}/pay", payment_method=card)

    def story(self, what: str = "") -> str:
        """Return everything that happened to the reader."""
        return "\n".join([f"{self.sub} {what}", *self.diary, *map(str, self.card.terms), *map(str, self.card.holds)])
