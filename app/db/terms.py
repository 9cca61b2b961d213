"""Terms: how their rows are read, and what is stored of what was derived from them."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from sqlalchemy import BigInteger, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT, TIMESTAMP

from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session
from app.db.models import Hold as HoldRow
from app.db.models import IssueAdjustment as Adjusted
from app.db.models import Payment, StoredOffer, Subscription, table_of
from app.db.models import Term as Row
from app.domain.adjustments import Adjustment
from app.domain.derivations import Derived
from app.domain.holds import Hold
from app.domain.invoice_lines import Span
from app.domain.offers import Offer
from app.domain.subscriptions import Term

_ROWS, _PAYMENTS, _OFFERS = table_of(Row), table_of(Payment), table_of(StoredOffer)
_ADJUSTED = (
    select(func.jsonb_agg(func.jsonb_build_array(Adjusted.kind, Adjusted.issues, Adjusted.created_at), type_=JSONB))
    .where(Adjusted.invoice_id == _ROWS.c.invoice_id)
    .scalar_subquery()
)
_HOLDS, _OWNER = table_of(HoldRow), table_of(Subscription).alias("owner")
_HELD = (
    select(
        func.jsonb_agg(
            func.jsonb_build_array(
                _HOLDS.c.starts_on, _HOLDS.c.until, _HOLDS.c.issues, _HOLDS.c.keeps_digital, _HOLDS.c.ended_on
            ),
            type_=JSONB,
        )
    )
    .select_from(_HOLDS.join(_OWNER, _OWNER.c.subscriber_id == _HOLDS.c.subscriber_id))
    .where(_OWNER.c.id == _ROWS.c.subscription_id)
    .scalar_subquery()
)
_PAID_AT = select(func.max(_PAYMENTS.c.paid_at)).where(_PAYMENTS.c.invoice_id == _ROWS.c.invoice_id).scalar_subquery()
_PROMISED = select(_OFFERS.c.content).where(_OFFERS.c.id == _ROWS.c.offer).scalar_subquery()
COLUMNS = (
    *_ROWS.c,
    _ADJUSTED.label("adjusted"),
    _HELD.label("held"),
    _PAID_AT.label("paid_at"),
    _PROMISED.label("promised"),
)
_OF_SUBSCRIPTIONS = (
    select(*COLUMNS)
    .where(_ROWS.c.subscription_id == func.any(bindparam("subscriptions", type_=ARRAY(TEXT))))
    .order_by(_ROWS.c.starts_at, _ROWS.c.invoice_id)
)
_SAVE_DERIVED = text(
    """
    UPDATE terms SET last_issue = noted.number, offer = noted.offer, copies = noted.copies::int4multirange,
        copies_ended_at = noted.ended_at, expire = noted.expire, lacks_address = noted.lacks_address
    FROM (
        SELECT each.*, known.print_edition AND NOT EXISTS (
            SELECT FROM subscriptions s JOIN postal_addresses a ON a.subscriber_id = s.subscriber_id
            WHERE s.id = known.subscription_id AND a.since IS NULL AND a.replaced_at IS NULL) AS lacks_address
        FROM unnest(:ids, :numbers, :offers, :copies, :ended, :expires)
            AS each (id, number, offer, copies, ended_at, expire) JOIN terms known ON known.invoice_id = each.id
    ) noted
    WHERE terms.invoice_id = noted.id
      AND (terms.last_issue, terms.offer, terms.copies, terms.copies_ended_at, terms.expire, terms.lacks_address)
          IS DISTINCT FROM (noted.number, noted.offer, noted.copies::int4multirange, noted.ended_at, noted.expire,
              noted.lacks_address)
    """
).bindparams(
    bindparam("ids", type_=ARRAY(TEXT)),
    bindparam("numbers", type_=ARRAY(BigInteger)),
    bindparam("offers", type_=ARRAY(TEXT)),
    bindparam("copies", type_=ARRAY(TEXT)),
    bindparam("ended", type_=ARRAY(TIMESTAMP(timezone=True))),
    bindparam("expires", type_=ARRAY(BigInteger)),
)


async def of_subscriptions(session: Reads, subscription_ids: Sequence[str]) -> dict[str, list[Term]]:
    """Return the terms of several subscriptions with their adjustments, earliest first, by subscription."""
    found: dict[str, list[Term]] = {}
    for row in await session.execute(_OF_SUBSCRIPTIONS, {"subscriptions": list(subscription_ids)}):
        found.setdefault(row.subscription_id, []).append(of_row(row))
    return found


async def save_derived(session: Session, derived: Sequence[Derived]) -> None:
    """
    Store the last issue, the owed copies and the offer of each term.

    By the last issue, a change of the calendar finds the terms that it affects; by the copies, a label run finds them.
    """
    terms = [
        (term, one.last_issues[term.invoice_id], one.copies[term.invoice_id]) for one in derived for term in one.terms
    ]
    await session.execute(
        _SAVE_DERIVED,
        {
            "ids": [term.invoice_id for term, _, _ in terms],
            "numbers": [last for _, last, _ in terms],
            "offers": [term.offer.id if term.offer is not None else None for term, _, _ in terms],
            "copies": [copies.stored for _, _, copies in terms],
            "ended": [copies.ended_at for _, _, copies in terms],
            "expires": [copies.expire for _, _, copies in terms],
        },
    )


def of_row(row: Record) -> Term:
    """Return the term in a row with all :data:`COLUMNS`."""
    return Term(
        invoice_id=row.invoice_id,
        plan=row.plan,
        print_edition=row.print_edition,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        issues_owed=row.issues_owed,
        print_from=row.print_from,
        print_until=row.print_until,
        earlier_print=tuple(map(Span, row.earlier_print[::2], row.earlier_print[1::2])),
        paid_by_balance=row.paid_by_balance,
        credited_at=row.credited_at,
        refunded_as=row.refunded_as,
        suspended_as=row.suspended_as,
        print_suspended_from=row.print_suspended_from,
        refunded_at=row.refunded_at,
        restored_as=row.restored_as,
        refund_failed=row.refund_failed,
        paid_at=row.paid_at,
        price=row.price,
        discount=row.discount,
        grace_sent=row.grace_sent,
        adjustments=tuple(sorted(map(_adjustment, row.adjusted or ()), key=lambda one: one.at)),
        holds=tuple(sorted(map(_hold, row.held or ()), key=lambda one: one.starts_on)),
        offer=_offer(row.offer, row.promised) if row.promised is not None else None,
    )


_offers: dict[str, Offer] = {}  # by ID, which is a fingerprint of the content; there are few


def _offer(offer_id: str, content: Mapping[str, object]) -> Offer:
    known = _offers.get(offer_id)
    if known is None:
        known = _offers[offer_id] = Offer.load(content)
    return known


def _adjustment(stored: tuple[str, int, str]) -> Adjustment:
    return Adjustment(kind=stored[0], issues=stored[1], at=datetime.fromisoformat(stored[2]))


def _hold(stored: tuple[str, str | None, int | None, bool, str | None]) -> Hold:
    starts_on, until, issues, keeps_digital, ended_on = stored
    return Hold(
        starts_on=date.fromisoformat(starts_on),
        until=date.fromisoformat(until) if until is not None else None,
        issues=issues,
        keeps_digital=keeps_digital,
        ended_on=date.fromisoformat(ended_on) if ended_on is not None else None,
    )
