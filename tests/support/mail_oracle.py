"""
An independent model of what a reader is told: it knows what the reader did and the calendar, and nothing of the service.

Yearly terms; renewals are paid. The notice of a renewal is due 30 days ahead, or at once if something happens
later.
Days are those of the publisher.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("America/Chicago")
AHEAD, MOVED = timedelta(days=30), timedelta(days=7)


def a_year_after(at: datetime) -> datetime:
    """Return the same day of the next year; of February 29, the 28th, as Stripe does."""
    try:
        return at.replace(year=at.year + 1)
    except ValueError:
        return at.replace(year=at.year + 1, day=28)


@dataclass
class ToldReader:
    """A reader, and the subjects of the mail that they are owed so far."""

    renews_at: datetime | None = None
    ends: bool = False  # at ``renews_at``, instead of renewing
    owed: list[str] = field(default_factory=list)
    told_of: list[datetime] = field(default_factory=list)  # renewals

    def subscribe(self, now: datetime) -> None:
        """Start a yearly subscription."""
        self.renews_at, self.ends, self.told_of = a_year_after(now), False, []

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
        self.owed.append("We refunded $49")

    def move(self, renews_at: datetime, now: datetime) -> None:
        """Have the renewal moved."""
        self.renews_at = renews_at
        self._tell(now)

    def live_until(self, now: datetime) -> None:
        """Live on without doing anything."""
        while self.renews_at is not None:
            self._tell(min(now, self.renews_at - timedelta(seconds=1)))
            if self.renews_at > now:
                return
            self.renews_at = None if self.ends else a_year_after(self.renews_at)

    def _tell(self, now: datetime) -> None:
        at = self.renews_at
        if at is None or self.ends or now < at - AHEAD or any(abs(told - at) < MOVED for told in self.told_of):
            return
        self.told_of.append(at)
        day = at.astimezone(ZONE)
        self.owed.append(f"Your subscription renews on {day:%B} {day.day}, {day.year}")
