"""The simulation: evening by evening, each freeze and each month is compared with the model."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

from tests.support.labels import circulation, labels, preview, try_to_freeze
from tests.support.print_year.ledger import DAY, FROM_THE_START, PaidTerm, PlannedIssue, PrintPeriod, SentLabel
from tests.support.print_year.liability import Paid, day_of, owed
from tests.support.print_year.readers import PrintReader
from tests.support.shop import START_TIME, Shop
from tests.support.simulated_year.stripe_records import (
    Json,
    confirmed,
    is_whole_period,
    list_all,
    payments_of,
    product_of,
    term_line,
)

AT_ONCE = 8
MANY = 40  # readers, for whom all invoices are listed
FIRST = 5  # the issue that closes first after the shop has opened
DOUBLE, SLIPPING = 12, 20  # the numbers of a double issue, and of one that comes out late
REPORT = "/v1/reports/liability"


@dataclass
class PrintYear:
    """A shop, its readers and its calendar."""

    shop: Shop
    rng: Random
    readers: list[PrintReader]
    calendar: list[PlannedIssue]
    activity: float  # the probability that a reader does something on an evening
    now: datetime = START_TIME
    month: date = date(2026, 3, 1)  # the first one that is not closed
    labels: int = 0
    done: Counter[str] = field(default_factory=Counter)
    books: Counter[str] = field(default_factory=Counter)  # the sums of all closed months, in minor units
    waiting: list[PrintReader] = field(default_factory=list)  # who have not subscribed yet

    async def run(self, *, cycles: int, joining: int) -> None:
        """
        Go through issues: an evening before the cut-off of each, and one between it and the mail date.

        :param joining: the evenings on which readers subscribe.
        """
        await self.shop.stripe.put("/_sandbox/settings", json={"after_retries": "past_due", "retry_days": [1]})
        self.waiting = list(self.readers)
        each = -(-len(self.readers) // joining)
        for issue in self.calendar[FIRST - 1 : FIRST - 1 + cycles]:
            if issue.number == SLIPPING - 2:
                await self._slip(self.calendar[SLIPPING - 1])
            await self._evening(
                issue.closes - timedelta(days=self.rng.randint(1, 4), hours=self.rng.randint(1, 12)), each
            )
            await self._freeze_supplements()
            await self._all_act(self.activity)
            await self._evening(
                issue.closes + timedelta(days=self.rng.randint(0, 4), hours=self.rng.randint(1, 12)), each
            )
            await self._all_act(self.activity / 2)
            await self._freeze(issue)
            await self._all_act(self.activity / 2)
        await self._check_end()

    async def _slip(self, issue: PlannedIssue) -> None:
        """Let an issue come out some days later than planned."""
        issue.mail_date += 4 * DAY
        body = {
            "title": "Late",
            "cover_date": str(issue.mail_date),
            "planned_mail_date": str(issue.mail_date),
            "label_cutoff": str(issue.cutoff),
        }
        by = dict(circulation(self.shop).headers)
        answer = await self.shop.http.put(f"/v1/issues/{issue.number}", headers=by, json=body)
        assert answer.status_code == 200, answer.text
        await self.shop.wait_until_idle()

    async def _evening(self, moment: datetime, joining: int) -> None:
        """Let time pass, read what happened at Stripe, and close the month that is over."""
        await self.shop.advance_to(moment)
        self.now = moment
        renewing = [one for one in self.readers if one.term and one.card.will_renew and one.term.ends <= self.now]
        await self._read_invoices(renewing)
        await self._check_months()
        new, self.waiting = self.waiting[:joining], self.waiting[joining:]
        if new:
            await self._at_once(one.subscribes(with_print=one.rng.random() < 0.7, now=self.now) for one in new)
            await self.shop.wait_until_idle()
            await self._learn_ids(new)
        await self._change_cards()

    async def _change_cards(self) -> None:
        """Let cards be declined a month before the renewal, and be replaced later."""
        failing = [
            one for one in self.readers
            if one.fails and one.term and one.card.will_renew and one.term.ends - 40 * DAY < self.now < one.term.ends
        ]  # fmt: skip
        for reader in failing:
            reader.fails, reader.is_declined = False, True
            reader.note("the card is declined from now on", self.now)
        await self._at_once(one.use_card("pm_card_chargeCustomerFail") for one in failing)
        paying = [
            one for one in self.readers
            if one.pays_late_on and one.pays_late_on <= day_of(self.now) and one.term and one.card.will_renew
        ]  # fmt: skip
        for reader in paying:
            reader.pays_late_on = None
        await self._at_once(one.pays_open_invoice(self.now) for one in paying)
        if failing or paying:
            await self.shop.wait_until_idle()
            await self._read_invoices(paying)

    async def _all_act(self, probability: float) -> None:
        acting = [one for one in self.readers if one.term and one.rng.random() < probability]
        if not acting:
            return
        await self._at_once(one.acts(now=self.now) for one in acting)
        await self.shop.wait_until_idle()
        await self._read_invoices([one for one in acting if one.added_print])

    async def _at_once(self, actions: Iterable[Awaitable[object]]) -> None:
        turn = asyncio.Semaphore(AT_ONCE)

        async def one(action: Awaitable[object]) -> None:
            async with turn:
                await action

        await asyncio.gather(*(one(action) for action in actions))

    async def _learn_ids(self, new: list[PrintReader]) -> None:
        rows = await self.shop.rows(
            "SELECT s.sub, s.id AS subscriber, o.id AS subscription, o.stripe_id AS stripe"
            " FROM subscriptions o JOIN subscribers s ON s.id = o.subscriber_id"
        )
        found = {row.pop("sub"): row for row in rows}
        for reader in new:
            reader.ids = found[reader.sub]
        await self._read_invoices(new)

    async def _read_invoices(self, readers: list[PrintReader]) -> None:
        """Note each invoice of readers that was paid at Stripe."""
        by_stripe_id = {one.ids["stripe"]: one for one in readers}
        for reader in readers:
            reader.added_print = False
        found: list[Json] = []
        query = {"expand[0]": "data.payments", "status": "paid"}
        if len(readers) > MANY:
            found = await list_all(self.shop, "/v1/invoices", **query)
        else:
            for reader in readers:
                found += await list_all(self.shop, "/v1/invoices", subscription=reader.ids["stripe"], **query)
        for invoice in reversed(found):
            owner = by_stripe_id.get(invoice["parent"]["subscription_details"]["subscription"])
            if owner is not None and invoice["id"] not in owner.payments:
                _note_invoice(owner, invoice)

    async def _read_refunds(self) -> None:
        """Note each refund at Stripe."""
        payments = {
            intent: reader.payments[invoice] for reader in self.readers for invoice, intent in reader.intents.items()
        }
        for paid in payments.values():
            paid.returned = []
        for refund in confirmed(await list_all(self.shop, "/v1/refunds")):
            made = day_of(datetime.fromtimestamp(refund["created"], UTC))
            is_of_print = refund["metadata"].get("newsstand_basis") == "print_dropped"
            payments[refund["payment_intent"]].returned.append((made, refund["amount"], is_of_print))

    async def _freeze(self, issue: PlannedIssue) -> None:
        """Freeze the labels of an issue, and compare the file with the model."""
        wanted = {one.name: one for one in self.readers if one.card.on_main_run(issue, self.calendar)}
        seen = await preview(self.shop, issue.number)
        counts = await self._print(issue, 0)
        known = min(self.now, issue.closes - timedelta.resolution)
        found = {label["name"]: label for label in await labels(self.shop, issue.number)}
        assert found.keys() == wanted.keys(), f"{issue}: {self._differences(wanted, found)}"
        assert seen["counts"]["copies"] == len(found)
        issue.frozen = True
        for name, reader in wanted.items():
            city = reader.card.city(known=known, day=issue.mail_date)
            assert found[name]["city"] == city, reader.story(
                f"gets issue {issue.number} in {found[name]['city']}, not {city}"
            )
            self._note_copy(reader, issue, SentLabel(city, issue.closes, issue.mail_date))
        self.labels += len(found)
        grace = sum(one.card.sent[issue.number] is None for one in wanted.values())
        assert counts["grace"] == grace
        self.done["grace copies"] += grace

    def _differences(self, wanted: Iterable[str], found: Iterable[str]) -> str:
        """Return the stories of a few readers whose copies differ."""
        missing, extra = set(wanted) - set(found), set(found) - set(wanted)
        by_name = {one.name: one for one in self.readers}
        stories = [by_name[name].story("is missing") for name in sorted(missing)[:3]]
        return "\n".join([*stories, *(by_name[name].story("is not owed it") for name in sorted(extra)[:3])])

    async def _print(self, issue: PlannedIssue, supplement: int, stories: str = "") -> dict[str, int]:
        key = f"print-{issue.number}-{supplement}"
        answer = await try_to_freeze(self.shop, issue.number, supplement=supplement > 0, key=key)
        assert answer.status_code == 201, f"{issue}, {supplement}: {answer.text}\n{stories}"
        await self.shop.wait_until_idle()
        return dict(answer.json()["counts"])

    def _note_copy(self, reader: PrintReader, issue: PlannedIssue, label: SentLabel) -> None:
        reader.card.labels[issue.number] = label
        term = reader.card.copies(self.calendar).get(issue.number)
        reader.card.sent[issue.number] = term
        if term is None:
            reader.card.grace.append(issue.number)

    async def _freeze_supplements(self) -> None:
        """Freeze a supplement of each issue for which copies are still to be sent."""
        wanted: dict[int, dict[tuple[str, str], PrintReader]] = {}
        for reader in self.readers:
            for number, kind in reader.card.on_supplements(self.calendar):
                wanted.setdefault(number, {})[reader.name, kind] = reader
        for issue in self.calendar:
            if issue.number in wanted:
                await self._freeze_supplement(issue, wanted[issue.number])

    async def _freeze_supplement(self, issue: PlannedIssue, wanted: dict[tuple[str, str], PrintReader]) -> None:
        number = 1 + len([key for key in self.done if key.startswith(f"supplement of {issue.number},")])
        self.done[f"supplement of {issue.number}, {number}"] = len(wanted)
        await self._print(
            issue, number, "\n".join(reader.story(f"is owed a {kind}") for (_, kind), reader in wanted.items())
        )
        found = {(one["name"], one["kind"]): one for one in await labels(self.shop, issue.number, supplement=number)}
        names = [name for name, _ in wanted], [name for name, _ in found]
        assert found.keys() == wanted.keys(), (
            f"supplement {number} of {issue}: {self._differences(*names)}, {wanted.keys()}"
        )
        day = max(issue.mail_date, day_of(self.now))
        for (name, kind), reader in wanted.items():
            city = reader.card.city(known=self.now, day=day)
            assert found[name, kind]["city"] == city, reader.story(f"{kind} of {issue.number} is not in {city}")
            if kind == "copy":
                self._note_copy(reader, issue, SentLabel(city, self.now, day))
            else:
                reader.card.replacements = [one for one in reader.card.replacements if one.issue != issue.number]
        self.labels += len(found)

    async def _check_months(self) -> None:
        """Compare the books of each month that is over with the model and with Stripe, and close it."""
        while (following := (self.month.replace(day=28) + 4 * DAY).replace(day=1)) <= day_of(self.now):
            await self._check_month(self.month, following - DAY)
            self.month = following

    async def _check_month(self, month: date, last: date) -> None:
        await self._read_refunds()
        clerk = self.shop.person("finance", roles=("finance",))
        answer = await self.shop.get(REPORT, clerk, month=f"{month:%Y-%m}")
        found: dict[str, Any] = next(iter(answer.json()["currencies"]), dict.fromkeys(FIGURES, 0))
        payments = [(paid, one) for one in self.readers for paid in one.payments.values()]
        wanted = sum(owed(paid, one.card, self.calendar, last) for paid, one in payments)
        sales = sum(paid.amount for paid, _ in payments if month <= day_of(paid.at) <= last)
        refunds = sum(amount for paid, _ in payments for day, amount, _ in paid.returned if month <= day <= last)
        if found["closing"] != wanted:
            await self._explain(month, last)
        assert (found["sales"], found["refunds"], found["closing"]) == (sales, refunds, wanted), f"{month}: {found}"
        identity = found["opening"] + found["sales"] - found["earned"] + found["earned_reversed"] - found["refunds"]
        assert found["closing"] == identity
        cash = await self._cash(month, last)
        assert cash == found["sales"] - found["refunds"], f"{month}: {cash} in cash, {found}"
        closed = await self.shop.post(f"{REPORT}/closings", clerk, {"month": f"{month:%Y-%m}"})
        assert closed.status_code == 201, closed.text
        self.books += Counter(months=1, cash=cash, **{name: found[name] for name in SUMMED})
        self.books["closing"] = found["closing"]

    async def _explain(self, month: date, last: date) -> None:
        """Fail with the story of the first subscription whose figures differ."""
        clerk, after = self.shop.person("finance", roles=("finance",)), ""
        rows: dict[str, int] = {}
        while True:
            page = (await self.shop.get(f"{REPORT}/subscriptions", clerk, month=f"{month:%Y-%m}", after=after)).json()
            rows |= {one["subscription"]: one["closing"] for one in page["data"]}
            after = page["next"]
            if after is None:
                break
        for reader in self.readers:
            wanted = sum(owed(paid, reader.card, self.calendar, last) for paid in reader.payments.values())
            if reader.ids and rows.get(reader.ids["subscription"], 0) != wanted:
                got = rows.get(reader.ids["subscription"], 0)
                raise AssertionError(reader.story(f"is owed {got} at {last}, not {wanted}: {reader.payments}"))

    async def _cash(self, month: date, last: date) -> int:
        """Return what came in at Stripe in a month, less what was paid back."""
        moved = [(one["created"], one["amount"]) for one in await list_all(self.shop, "/v1/charges") if one["paid"]]
        moved += [(one["created"], -one["amount"]) for one in confirmed(await list_all(self.shop, "/v1/refunds"))]
        return sum(amount for at, amount in moved if month <= day_of(datetime.fromtimestamp(at, UTC)) <= last)

    async def _check_end(self) -> None:
        """Check that nothing is left to be sent, nobody got a copy twice, and the ledgers have the model's figures."""
        await self._freeze_supplements()
        twice = await self.shop.rows(
            "SELECT subscription_id, issue_number, kind FROM labels GROUP BY 1, 2, 3, claim_id HAVING count(*) > 1"
        )
        assert twice == []
        assert (await self.shop.rows("SELECT count(*) FROM labels"))[0]["count"] == self.labels
        await self._at_once(self._check_ledger(one) for one in self.readers if one.ids)
        for reader in self.readers:
            for part in (
                "subscribes",
                "moves",
                "holds",
                "drops",
                "adds",
                "claims",
                "guarantee",
                "unserved",
                "pays the",
            ):
                self.done[part] += sum(part in line for line in reader.diary if not line.startswith(" "))
        print(self.labels, dict(self.done), dict(self.books))

    async def _check_ledger(self, reader: PrintReader) -> None:
        shown = (await self.shop.get(f"/v1/support/subscribers/{reader.ids['subscriber']}", self.shop.agent)).json()
        found = {one["invoice"]: one["ledger"] for one in shown["subscriptions"][0]["terms"]}
        for term in reader.card.terms:
            ledger, served = found[term.invoice], reader.card.served(self.calendar, self.now, term)
            assert ledger["served"] == served, reader.story(f"{ledger}, but {served} were served")
            assert ledger["adjustments"] == term.added - term.grace_charged, reader.story(str(ledger))


SUMMED = ("sales", "earned", "earned_reversed", "refunds")
FIGURES = ("opening", *SUMMED, "closing")


def _note_invoice(reader: PrintReader, invoice: Json) -> None:
    """Note a paid invoice: a term, or print that was added to one."""
    paid = datetime.fromtimestamp(invoice["status_transitions"]["paid_at"], UTC)
    line, printed = term_line(invoice), [one for one in invoice["lines"]["data"] if product_of(one).endswith("_print")]
    if line is not None:
        with_print = any(is_whole_period(one) for one in printed)
        term = PaidTerm(
            invoice=invoice["id"],
            starts=datetime.fromtimestamp(line["period"]["start"], UTC),
            ends=datetime.fromtimestamp(line["period"]["end"], UTC),
            paid=paid,
            with_print=with_print,
            prints=[PrintPeriod(FROM_THE_START)] if with_print else [],
        )
        late = bool(reader.card.terms) and paid > term.starts + timedelta(days=14)
        term.grace_charged = len(reader.card.grace) if late else 0
        reader.card.terms.append(term)
        reader.payments[invoice["id"]] = Paid(term, paid, invoice["amount_paid"])
    else:
        assert reader.term is not None
        since = datetime.fromtimestamp(printed[0]["period"]["start"], UTC)
        reader.term.prints.append(PrintPeriod(since))
        reader.payments[invoice["id"]] = Paid(reader.term, paid, invoice["amount_paid"], added=True, since=since)
    for payment, _ in payments_of(invoice):
        reader.intents[invoice["id"]] = payment
