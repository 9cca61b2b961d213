"""
An independent model of what a reader is told: it knows what the reader did and the calendar, and nothing of the service.

Yearly terms. The notice of a renewal is due 30 days ahead, that of the end of a promotion 7 days, and that of a card that
expires before the renewal 30 days before it does; or at once if something happens later. Days are those of the publisher.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("America/Chicago")
AHEAD, PROMOTION_AHEAD, MOVED = timedelta(days=30), timedelta(days=7), timedelta(days=7)
A_SECOND = timedelta(seconds=1)


def a_year_after(at: datetime) -> datetime:
    """Return the same day of the next year; of February 29, the 28th, as Stripe does."""
    try:
        return at.replace(year=at.year + 1)
    except ValueError:
        return at.replace(year=at.year + 1, day=28)


def expired_at(year: int, month: int) -> datetime:
    """Return the first moment at which a card that is valid through a month has expired."""
    return datetime(year + month // 12, month % 12 + 1, 1, tzinfo=ZONE)


@dataclass
class ToldReader:
    """A reader, and the subjects of the mail that they are owed so far."""

    renews_at: datetime | None = None
    ends: bool = False  # at ``renews_at``, instead of renewing
    expired_at: datetime | None = None  # the card
    is_promotion: bool = False  # the running term
    will_fail: bool = False  # the next renewal
    is_unpaid: bool = False  # the renewal has failed
    owed: list[str] = field(default_factory=list)
    told_of: list[tuple[str, datetime]] = field(default_factory=list)  # what was told ahead of what

    def subscribe(self, now: datetime, *, expires: datetime | None, is_promotion: bool) -> None:
        """Start a yearly subscription."""
        self.renews_at, self.ends, self.told_of = a_year_after(now), False, []
        self.expired_at, self.is_promotion, self.will_fail = expires, is_promotion, False
        self._tell(now)

    def cancel(self) -> None:
        """Cancel at the end of the term."""
        self.ends = True
        self.owed.append("Your subscription is canceled")

    def resume(self, now: datetime) -> None:
        """Undo the cancellation."""
        self.ends = False
        self._tell(now)

    def refund(self) -> None:
        """Get the money back, which ends the subscription."""
        self.renews_at = None
        self.owed.append(f"We refunded {'$24.50' if self.is_promotion else '$49'}")

    def move(self, renews_at: datetime, now: datetime) -> None:
        """Have the renewal moved."""
        self.renews_at = renews_at
        self._tell(now)

    def use_bad_card(self) -> None:
        """Pay with a card that will be declined."""
        self.will_fail, self.expired_at = True, None

    def pay(self) -> None:
        """Pay the renewal that has failed, with a new card."""
        self.is_unpaid = False

    def live_until(self, now: datetime) -> None:
        """Live on without doing anything."""
        while self.renews_at is not None:
            self._tell(min(now, self.renews_at - A_SECOND))
            if self.renews_at > now:
                return
            if not self.ends and self.will_fail:
                self.owed.append("We couldn’t charge your card")
                self.will_fail, self.is_unpaid = False, True
            self.renews_at = None if self.ends else a_year_after(self.renews_at)
            self.is_promotion = False

    def due(self) -> list[datetime]:
        """Return when something is due, if nothing happens."""
        if self.renews_at is None:
            return []
        found = [self.renews_at - AHEAD, self.renews_at - PROMOTION_AHEAD]
        return [*found, self.expired_at - AHEAD] if self.expired_at is not None else found

    def _tell(self, now: datetime) -> None:
        at = self.renews_at
        if at is None or self.ends or self.is_unpaid:
            return
        day = at.astimezone(ZONE)
        self._tell_ahead(f"Your subscription renews on {day:%B} {day.day}, {day.year}", at, AHEAD, now)
        if self.is_promotion:
            self._tell_ahead(
                f"Your introductory price ends on {day:%B} {day.day}, {day.year}", at, PROMOTION_AHEAD, now
            )
        if self.expired_at is not None and now < self.expired_at <= at:
            self._tell_ahead("Your card expires before your subscription renews", self.expired_at, AHEAD, now)

    def _tell_ahead(self, subject: str, at: datetime, ahead: timedelta, now: datetime) -> None:
        kind = subject.partition(" on ")[0]
        if now < at - ahead or any(name == kind and abs(told - at) < MOVED for name, told in self.told_of):
            return
        self.told_of.append((kind, at))
        self.owed.append(subject)
