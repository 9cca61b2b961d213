"""Saving a reader's postal address, in the caller's transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from app import postal_addresses
from app.aggregates import notifications
from app.db import addresses, audit, checkouts
from app.db.checkouts import Checkout
from app.db.engine.session import Session
from app.db.subscribers import Subscriber
from app.domain.addresses import FIELDS, CheckedAddress, Period, PostalAddress, SavedAddress
from app.domain.erasures import ERASED
from app.domain.rules import Rules


async def save_from_checkout(
    session: Session,
    rules: Rules,
    checkout: Checkout,
    address: PostalAddress,
    *,
    created_at: datetime,
    now: datetime,
) -> None:
    """
    Save the address that a paid checkout collected, once: later events of it must not undo a change since.

    Problems with it are kept as warnings. It counts from when the checkout was opened, because Stripe may tell us after a
    label cut-off. An address that the reader has saved since stays.
    """
    if await addresses.is_of_checkout(session, checkout.id):
        return
    checked = postal_addresses.check(address, rules.catalogue.print_rules)
    known = await addresses.of_subscriber(session, checkout.subscriber_id, today=now.astimezone(rules.zone).date())
    since = min(created_at, now)
    if any(one.period is None and one.saved_at > since for one in known):
        return
    await save(
        session,
        rules,
        checkout.subscriber_id,
        checked,
        by="stripe",
        now=since,
        checkout_id=checkout.id,
    )


async def adopt(
    session: Session,
    rules: Rules,
    subscriber: Subscriber,
    stripe_ids: Sequence[str],
    shipping: Mapping[str, str] | None,
    *,
    now: datetime,
) -> None:
    """
    Save the address that Stripe's customer has, if copies of these subscriptions are owed and the reader has no address.

    So copies reach readers who were imported, or who subscribed before addresses were kept. Nothing is replaced, and the
    address of an open checkout comes with that. The caller holds the subscriber's lock.
    """
    if shipping is None or subscriber.sub.startswith(ERASED):
        return
    if not await addresses.lacking(session, stripe_ids, today=now.astimezone(rules.zone).date()):
        return
    if await checkouts.find_open(session, subscriber.id) is None:
        checked = postal_addresses.check(PostalAddress(**shipping), rules.catalogue.print_rules)
        await save(session, rules, subscriber.id, checked, by="stripe", now=now, is_at_stripe=True)


async def save(
    session: Session,
    rules: Rules,
    subscriber_id: str,
    checked: CheckedAddress,
    *,
    by: str,
    now: datetime,
    period: Period | None = None,
    checkout_id: str | None = None,
    is_at_stripe: bool = False,
) -> SavedAddress:
    """
    Save an address, unless the reader has just that one. The caller holds the subscriber's lock.

    :param checkout_id: the checkout that collected it. Stripe's customer then has it already.
    :param is_at_stripe: whether Stripe's customer has it already.
    """
    known = await addresses.of_subscriber(session, subscriber_id, today=now.astimezone(rules.zone).date())
    before = next((one for one in known if one.period == period), None)
    if before is not None and before.checked == checked:
        return before
    saved = await addresses.add(
        session,
        subscriber_id,
        checked,
        period=period,
        checkout_id=checkout_id,
        push=period is None and checkout_id is None and not is_at_stripe,
        now=now,
    )
    old = before.checked.address.fields() if before is not None else {}
    new = checked.address.fields()
    await audit.record(
        session,
        actor=by,
        action="address.added" if period is not None or before is None else "address.changed",
        object_id=saved.id,
        subscriber_id=subscriber_id,
        after={
            "changed": [name for name in FIELDS if old.get(name, "") != new[name]],
            "country": checked.address.country,
            "problems": [problem.stored for problem in checked.problems],
            **({"from": str(period.since), "until": str(period.until)} if period is not None else {}),
        },
    )
    if period is None:  # laws of the new place may apply, and copies can be sent
        await notifications.follow_reader(session, rules, subscriber_id, now=now)
    return saved
