"""Readers' postal addresses: saved by themselves or by staff, and pushed to Stripe by a worker."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from app import postal_addresses
from app.aggregates import addresses as aggregate
from app.aggregates import cutoffs, reader_views
from app.aggregates.intents import send
from app.context import Context
from app.db import addresses, anomalies, audit, intents, issues, subscribers, subscriptions
from app.db.addresses import Unusable
from app.db.engine.session import Session
from app.db.subscribers import Subscriber
from app.domain.addresses import (
    MAX_TEMPORARY,
    CheckedAddress,
    CountryNotServed,
    Period,
    PostalAddress,
    ProblemCode,
    SavedAddress,
    TemporaryAddressOverlaps,
    check_complete,
    check_overlaps,
    check_period,
    counts_from,
)
from app.domain.callers import Reader
from app.domain.errors import NotFound, StripeRefused
from app.domain.issues import Issue
from app.domain.pages import Page, page_of
from app.domain.reader_views import Viewer
from app.gateway import customers as at_stripe
from app.gateway.client import Gone

log = structlog.get_logger()
ADDRESS_REFUSED = "address_refused"  # Stripe declined the reader's new address


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressBook:
    """A reader's addresses, and the first issue that a change made now would count for."""

    permanent: SavedAddress | None
    temporary: Sequence[SavedAddress]
    counts_from: Issue | None


async def of_reader(ctx: Context, sub: str, *, now: datetime) -> AddressBook:
    """Return the addresses of a reader. One who isn't known has none."""
    async with ctx.sessions.begin() as session:
        subscriber = await subscribers.by_sub(session, sub)
        return await _book(session, ctx, subscriber.id if subscriber is not None else None, now=now)


async def of_subscriber(ctx: Context, subscriber_id: str, *, viewer: Viewer, now: datetime) -> AddressBook:
    """
    Return the addresses of a subscriber. That somebody saw them is recorded.

    :raises NotFound: there is no such subscriber.
    """
    async with ctx.sessions.begin() as session:
        subscriber = await subscribers.by_id(session, subscriber_id)
        if subscriber is None:
            raise NotFound("No such subscriber")
        book = await _book(session, ctx, subscriber.id, now=now)
    await reader_views.record(ctx.reads, [subscriber.id], viewer)
    return book


async def save_own(
    ctx: Context, reader: Reader, address: PostalAddress, period: Period | None, *, now: datetime
) -> AddressBook:
    """
    Save a reader's address, as they entered it. Repeating it changes nothing.

    :param period: of a temporary address.
    :raises AddressIncomplete: a part is missing, too long or unknown. Doubts about the format are only warnings.
    :raises TemporaryDatesWrong: the period is over, or ends more than two years ahead.
    :raises CountryNotServed: they have the print edition, which isn't mailed to that country.
    :raises TemporaryAddressOverlaps: there is another temporary address at that time.
    """
    checked = _checked(ctx, address)
    async with ctx.sessions.begin() as session:
        subscriber = await subscribers.ensure(session, sub=reader.sub, email=reader.email, name=reader.name)
        return await _save(session, ctx, subscriber, checked, period, by=f"reader:{reader.sub}", now=now)


async def save(
    ctx: Context, subscriber_id: str, address: PostalAddress, period: Period | None, *, by: str, now: datetime
) -> AddressBook:
    """
    Save a subscriber's address for them; otherwise as :func:`save_own`.

    :raises NotFound: there is no such subscriber.
    """
    checked = _checked(ctx, address)
    async with ctx.sessions.begin() as session:
        if await subscribers.by_id(session, subscriber_id) is None:
            raise NotFound("No such subscriber")
        subscriber = await subscribers.lock(session, subscriber_id)
        return await _save(session, ctx, subscriber, checked, period, by=by, now=now)


async def remove_own(ctx: Context, sub: str, address_id: str, *, now: datetime) -> AddressBook:
    """
    Remove one of a reader's temporary addresses.

    :raises NotFound: they have no such address.
    """
    async with ctx.sessions.begin() as session:
        subscriber = await subscribers.by_sub(session, sub)
        if subscriber is None:
            raise NotFound("No such address")
        return await _remove(session, ctx, subscriber.id, address_id, by=f"reader:{sub}", now=now)


async def remove(ctx: Context, subscriber_id: str, address_id: str, *, by: str, now: datetime) -> AddressBook:
    """
    Remove one of a subscriber's temporary addresses for them.

    :raises NotFound: they have no such address.
    """
    async with ctx.sessions.begin() as session:
        if await subscribers.by_id(session, subscriber_id) is None:
            raise NotFound("No such subscriber")
        return await _remove(session, ctx, subscriber_id, address_id, by=by, now=now)


async def unusable(
    ctx: Context, *, number: int | None = None, after: str, limit: int, viewer: Viewer, now: datetime
) -> tuple[Issue | None, Page[Unusable]]:
    """
    Return an issue, and the print subscriptions that it can't be sent to.

    :param number: of the issue; None: the next one whose labels are open. Of a closed one, these wait for a supplement.
    :raises NotFound: there is no such issue.
    """
    async with ctx.sessions.begin() as session:
        if number is None:
            issue = counts_from(await issues.calendar(session, ctx.settings.zone), now)
        else:
            issue = await issues.by_number(session, number)
            if issue is None:
                raise NotFound(f"There is no issue {number}")
        if issue is None:
            return None, Page(items=[], next=None)
        mailed = issue.mail_date
        if issue.frozen_at is not None:
            mailed = max(mailed, now.astimezone(ctx.settings.zone).date())  # of a supplement
        served = ctx.catalogue.print_rules.served
        found = await addresses.unusable(
            session, issue.number, mailed=mailed, served=served, after=after, limit=limit + 1
        )
    page = page_of(found, limit, cursor=lambda one: one.subscription_id)
    await reader_views.record(ctx.reads, [one.subscriber_id for one in page.items], viewer)
    return issue, page


async def push(ctx: Context, address_id: str) -> None:
    """
    Update a reader's customer at Stripe with their present address.

    :raises StripeUnavailable: call again.
    """
    async with ctx.sessions.begin() as session:
        due = await addresses.due(session, address_id)
        if due is None:
            return
        subscriber = await subscribers.lock(session, due[0])
        due = await addresses.due(session, address_id)
        customer_id, present = subscriber.stripe_customer_id, due[1] if due is not None else None
        if customer_id is None or present is None or present.id != address_id:
            await addresses.finish(session, address_id)
            return
        intent = await intents.record(session, address_id, "push", {"shipping": _shipping(present.checked.address)})
    refusal: StripeRefused | None = None
    try:
        await send(ctx.sessions, intent, at_stripe.update(ctx.gateway, customer_id, intent.parameters, key=intent.key))
    except Gone:
        log.info("address_of_deleted_customer", customer=customer_id)
    except StripeRefused as declined:
        refusal = declined
    reason = f"Stripe declined the reader's new address: {refusal}" if refusal is not None else None
    async with ctx.sessions.begin() as session:
        await intents.settle(session, intent.key)
        await addresses.finish(session, address_id)
        await anomalies.report(
            session,
            customer_id,
            {ADDRESS_REFUSED: reason} if reason is not None else {},
            subscriber_id=subscriber.id,
            among=[ADDRESS_REFUSED],
        )


def _shipping(address: PostalAddress) -> dict[str, object]:
    """Return an address as Stripe writes it. Its name is required there, and a company has no field."""
    lines = [line for line in (address.line1, address.line2, address.district) if line]
    theirs = {
        "line1": lines[0],
        "line2": ", ".join(lines[1:]),
        "city": address.city,
        "state": address.region,
        "postal_code": address.postal_code,
        "country": address.country,
    }
    return {"name": address.name or address.company, "address": theirs}


def _checked(ctx: Context, address: PostalAddress) -> CheckedAddress:
    checked = postal_addresses.check(address, ctx.catalogue.print_rules)
    check_complete(checked)
    return checked


async def _save(
    session: Session,
    ctx: Context,
    subscriber: Subscriber,
    checked: CheckedAddress,
    period: Period | None,
    *,
    by: str,
    now: datetime,
) -> AddressBook:
    now = await cutoffs.settle(session, ctx.settings.zone, now=now)
    owned = await subscriptions.of_subscriber(session, subscriber.id)
    has_print = any(one.print_edition and one.can_be_canceled for one in owned)
    if has_print and any(problem.code == ProblemCode.NOT_SERVED for problem in checked.problems):
        raise CountryNotServed(
            f"The print edition isn't mailed to {checked.address.country}", country=checked.address.country
        )
    book = await _book(session, ctx, subscriber.id, now=now)
    if period is not None:
        check_period(period, today=now.astimezone(ctx.settings.zone).date())
        others = [one for one in book.temporary if one.period != period or one.checked != checked]
        check_overlaps(period, others)
        if len(others) >= MAX_TEMPORARY:
            raise TemporaryAddressOverlaps(f"At most {MAX_TEMPORARY} temporary addresses can be planned")
    await aggregate.save(session, ctx.rules, subscriber.id, checked, by=by, now=now, period=period)
    return await _book(session, ctx, subscriber.id, now=now, period=period)


async def _remove(
    session: Session, ctx: Context, subscriber_id: str, address_id: str, *, by: str, now: datetime
) -> AddressBook:
    await subscribers.lock(session, subscriber_id)
    now = await cutoffs.settle(session, ctx.settings.zone, now=now)
    book = await _book(session, ctx, subscriber_id, now=now)
    if address_id not in {one.id for one in book.temporary}:
        raise NotFound("No such temporary address")
    await addresses.remove(session, address_id, now=now)
    await audit.record(session, actor=by, action="address.removed", object_id=address_id, subscriber_id=subscriber_id)
    return await _book(session, ctx, subscriber_id, now=now)


async def _book(
    session: Session, ctx: Context, subscriber_id: str | None, *, now: datetime, period: Period | None = None
) -> AddressBook:
    today = now.astimezone(ctx.settings.zone).date()
    found = await addresses.of_subscriber(session, subscriber_id, today=today) if subscriber_id is not None else []
    return AddressBook(
        permanent=next((one for one in found if one.period is None), None),
        temporary=[one for one in found if one.period is not None],
        counts_from=counts_from(await issues.calendar(session, ctx.settings.zone), now, period),
    )
