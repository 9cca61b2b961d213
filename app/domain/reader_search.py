"""What staff look for in the list of readers: a search and filters."""

import contextlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.pages import BadCursor
from app.domain.subscriptions import UNPAID, SubscriptionStatus
from app.domain.text import is_storable

ENDS_SOON = timedelta(days=30)  # until the scheduled end of a subscription
# As in "Invoice #NS-0001". Words without a separator after them belong to the value.
_INVOICE = re.compile(r"^(invoice(?=[\s:#])[\s:]*)?((no\.|number)(?=[\s:#])[\s:]*)?#?\s*", re.IGNORECASE)
_ID = re.compile(r"^[a-z]{2,8}_[A-Za-z0-9_]{3,}$")  # of Newsstand or Stripe
_INVOICE_NUMBER = re.compile(r"^[A-Za-z0-9]+(-[A-Za-z0-9]+)*-[0-9]{3,}$")
SEARCHED_IDS = (
    "The IDs that can be searched are those of customers (cus_…), subscriptions (sub_…), Checkout Sessions (cs_…), invoices"
    " (in_…), payments (pi_…), refunds (re_…), credit notes (cn_…) and disputes (dp_…, du_…). A charge (ch_…) is found"
    " after a refund or a dispute of it. Otherwise, copy the payment’s ID (pi_…) from Stripe’s page."
)
SEARCHED_NUMBERS = (
    "The number of an invoice is found once the invoice is paid. Until then, search by its ID (in_…), or by the reader’s"
    " name or email address."
)
LAST_DIGITS = 4  # of a card, as on receipts
LONGEST_QUERY = 300  # characters; an email address has up to 254


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which readers are listed. Each is about the reader's current subscription; None and False: all."""

    status: str | None = None
    plan: str | None = None
    print_edition: bool | None = None
    ends_soon: bool = False  # its end is scheduled within :data:`ENDS_SOON`
    unpaid: bool = False
    disputed: bool = False  # a dispute is open
    complimentary: bool = False  # access was given for free, and lasts

    @property
    def statuses(self) -> list[str]:
        """The statuses that match, as at Stripe."""
        wanted = UNPAID if self.unpaid else frozenset(SubscriptionStatus)
        return sorted(one for one in wanted if self.status in {None, one})

    @property
    def by_subscription(self) -> bool:
        """Whether a filter by status, plan or edition is set."""
        return self.unpaid or self.status is not None or self.plan is not None or self.print_edition is not None

    @property
    def is_set(self) -> bool:
        """Whether any filter is set."""
        return self != Filters()


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a list continues: after the entry with this time and ID."""

    at: datetime
    id: str

    def __str__(self) -> str:
        """Return the cursor."""
        return f"{self.at.isoformat()}~{self.id}"

    @classmethod
    def parse(cls, cursor: str) -> "Position":
        """
        Return the position of a cursor.

        :raises BadCursor: it is not one of a list.
        """
        at, _, found = cursor.partition("~")
        with contextlib.suppress(ValueError):
            moment = datetime.fromisoformat(at)
            if moment.tzinfo is not None and found and is_storable(found):
                return cls(at=moment, id=found)
        raise BadCursor("Use the `next` value of a page of the same list")


def value_of(query: str) -> str | None:
    """Return a query that may be one complete value, such as an ID, without "#" or "Invoice"; None if it has words."""
    plain = query if "@" in query else _INVOICE.sub("", query)
    return plain if plain and " " not in plain else None


def hint_for(query: str) -> str | None:
    """Return which IDs or numbers can be searched, if a query that found nobody looks like one; else None."""
    value = value_of(query.strip()) or ""
    if _ID.fullmatch(value):
        return SEARCHED_IDS
    return SEARCHED_NUMBERS if _INVOICE_NUMBER.fullmatch(value) else None


def card_digits(terms: list[str]) -> str | None:
    """Return the last four digits of a card among the words of a search; None if there are none."""
    return next((term for term in terms if len(term) == LAST_DIGITS and term.isascii() and term.isdecimal()), None)
