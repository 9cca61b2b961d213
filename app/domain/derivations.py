"""
What is derived from a subscription: its grants, and what its terms store.

Apart from the subscription, it depends on the issue calendar and on what was offered: an :class:`Edition` of both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from app.domain.copies import OwedCopies, copies_of
from app.domain.entitlements import Grant
from app.domain.grants import grants_of
from app.domain.holds import last_day_of
from app.domain.issues import Calendar, schedule_terms
from app.domain.notification_policies import NotificationPolicy, RecordedPolicies
from app.domain.offers import Offer, OfferHistory
from app.domain.rules import Rules
from app.domain.subscriptions import Subscription, Term


@dataclass(frozen=True, slots=True)
class Edition:
    """The calendar and the history of offers, as they were published together."""

    token: str | None  # of the edition; None: nothing was published yet
    calendar: Calendar
    offers: OfferHistory
    policies: tuple[RecordedPolicies, ...] = ()  # the history of those for notifications

    def notification_policies(self, rules: Rules) -> Sequence[NotificationPolicy]:
        """Return the policies for notifications: those that were published last, else those of this process."""
        return self.policies[-1].policies if self.policies else rules.notifications


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """What follows from a subscription, its terms and an edition."""

    terms: list[Term]  # with their offers
    grants: list[Grant]
    last_issues: Mapping[str, int | None]  # of each term, by invoice; see ``terms.last_issue``
    copies: Mapping[str, OwedCopies]  # of each term, by invoice


def derive(subscription: Subscription, terms: Sequence[Term], edition: Edition, rules: Rules) -> Derived:
    """Derive the grants of a subscription, and the offer and the last issue of each of its terms."""
    offered = [replace(term, offer=offer_of_term(term, edition.offers)) for term in terms]
    runs = schedule_terms(subscription, offered, edition.calendar, rules.catalogue, grace=rules.access.grace_period)
    ends = {run.term.invoice_id: run.editions_until() for run in runs}
    trial_ends = subscription.trial_end
    return Derived(
        terms=offered,
        grants=grants_of(
            subscription,
            offered,
            rules.catalogue,
            rules.access,
            editions_until={invoice_id: at for invoice_id, at in ends.items() if at is not None},
            pauses=digital_pauses(terms, edition.calendar),
            trial_offer=edition.offers.kept(subscription.plan, paid_at=subscription.created_at, ends_at=trial_ends)
            if trial_ends is not None
            else None,
        ),
        last_issues={run.term.invoice_id: run.stored_last_issue() for run in runs},
        copies=copies_of(runs),
    )


def digital_pauses(terms: Sequence[Term], calendar: Calendar) -> list[tuple[datetime, datetime]]:
    """Return when the digital access of terms with print pauses, because copies are on hold."""
    holds = {hold for term in terms for hold in term.holds if not hold.keeps_digital}
    ends = {hold: last_day_of(hold, calendar.issues) for hold in holds}
    found = [(calendar.begins(one.starts_on), calendar.ends(last)) for one, last in ends.items() if last is not None]
    return sorted(pause for pause in found if pause[0] < pause[1])


def offer_of_term(term: Term, history: OfferHistory) -> Offer | None:
    """Return the best of what a term was promised before and what was offered since it was paid for."""
    paid_at = min(term.paid_at or term.starts_at, term.starts_at)
    kept = history.kept(term.plan, paid_at=paid_at, ends_at=term.ends_at)
    before = term.offer if term.offer is not None and term.offer.plan == term.plan else None
    return before.joined(kept) if before is not None and kept is not None else before or kept
