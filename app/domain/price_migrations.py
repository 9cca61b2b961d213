"""
Price migrations: current subscribers of a plan move to a new price, told ahead, at a renewal.

Each subscription has a change of its own. It is planned for a renewal, announced at the quoted total, made at Stripe a few
days before the renewal, and completed by it. What a change does next follows from the subscription as Stripe has it now and
from what its reader was told: :func:`decide`. Amounts are in minor units.
"""

import calendar
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from app.domain.errors import Conflict, Invalid
from app.domain.plans import Plan
from app.domain.prices import StripePrice, product_id
from app.domain.subscriptions import OVER, StripeItemState, StripeSubscriptionState, SubscriptionStatus

# A changed price is announced 7 to 30 days ahead, which the amendment of California's Business and Professions Code 17602 by
# AB 2863 asks for since July 1, 2025. The policy for notices says when it is sent. If it could not be sent until the last
# possible day, the reader pays the old price once more.
ANNOUNCED_AHEAD = timedelta(days=28)  # if the publisher sends the notices
PREPARED_AHEAD = timedelta(days=50)  # before any notice of the renewal, so that it names the new price
LEAST_NOTICE = timedelta(days=7)
QUOTED_AGAIN_AHEAD = timedelta(days=9)  # early enough to tell the reader once more if the total has changed
SWITCHED_AHEAD = timedelta(days=3)  # so that an outage of Stripe, or ours, of less than this delays no change
CHECKED_AGAIN = timedelta(days=1)  # after a renewal, whose payment may take hours; and while a renewal is not known
MONTHS = {"month": 1, "year": 12}


class MigrationStatus(StrEnum):
    """The status of a migration."""

    PLANNING = "planning"  # its subscriptions are being listed
    RUNNING = "running"
    STOPPED = "stopped"
    FINISHED = "finished"


class ChangeStatus(StrEnum):
    """The status of the change of one subscription."""

    PLANNED = "planned"  # its reader will be told
    ANNOUNCED = "announced"  # the notice is on its way, or was sent
    SWITCHING = "switching"  # Stripe is being asked
    SWITCHED = "switched"  # the next invoice has the new price
    COMPLETED = "completed"  # the renewal had the new price
    LEFT_OUT = "left_out"  # it keeps its price, from the start
    STOPPED = "stopped"  # it keeps its price, because of what happened later


UNFINISHED = frozenset({MigrationStatus.PLANNING, MigrationStatus.RUNNING})
STOPPABLE = (ChangeStatus.PLANNED, ChangeStatus.ANNOUNCED)
UNSWITCHED = (*STOPPABLE, ChangeStatus.SWITCHING)  # a stop waits for these; Stripe decides whether it comes in time
UPCOMING = (ChangeStatus.ANNOUNCED, ChangeStatus.SWITCHING, ChangeStatus.SWITCHED)  # what the reader is shown
OPEN = frozenset({*STOPPABLE, *UPCOMING})


class Keeps(StrEnum):
    """Why a subscription keeps its price."""

    LOCKED = "locked"  # the catalogue promises it
    CUSTOM_PRICE = "custom_price"  # Newsstand did not create the price
    OTHER_CURRENCY = "other_currency"
    OTHER_INTERVAL = "other_interval"  # or an item has other periods than the subscription
    ENDING = "ending"
    ENDED = "ended"
    SCHEDULED = "scheduled"  # a subscription schedule at Stripe decides about it
    NO_NOTICE = "no_notice"  # the policy for notices tells this reader nothing
    NOT_OURS = "not_ours"  # of no subscriber of ours
    COMPLIMENTARY = "complimentary"  # nothing is paid for the renewal
    UNCHANGED = "unchanged"  # it has the new price already
    MIGRATION_STOPPED = "migration_stopped"


class MigrationInProgress(Conflict):
    """The plan has a migration that is not finished. Stop it first; whoever has the new price by then keeps it."""

    code = "migration_in_progress"
    title = "Price migration in progress"


class MigrationNotRunning(Conflict):
    """The migration is finished or was stopped."""

    code = "migration_not_running"
    title = "Price migration is not running"


class UnknownPrice(Invalid):
    """The price is not one of the plan's that can be bought."""

    code = "unknown_price"
    title = "Unknown price"


class NoticesOff(Conflict):
    """Notices are not delivered, so readers would not be told of the new price."""

    code = "notices_off"
    title = "Notices are not delivered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The new price of one component of the plan."""

    component: str
    price_id: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a migration changes, for whom and from when."""

    plan: str
    currency: str
    interval: str
    targets: Sequence[Target]
    from_at: datetime  # the first moment of a renewal at the new price
    locked: Mapping[str, Collection[int]]  # by component: the amounts that the catalogue promises to keep
    versions: Collection[str]  # the IDs of the prices that Newsstand created


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceMigration:
    """A migration of a plan's subscribers to new prices."""

    id: str  # pmg_…
    plan: str
    currency: str
    targets: Sequence[Target]
    versions: Sequence[str]  # the IDs of the plan's prices that Newsstand had created when it started
    from_at: datetime
    status: MigrationStatus
    publisher_sends_notices: bool  # and Newsstand sends none
    requested_by: str
    created_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemChange:
    """An item of a subscription, and its price before and after. Amounts are for one."""

    item: str  # si_…
    component: str
    quantity: int
    from_price: str
    from_amount: int
    to_price: str
    to_amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What the renewal costs, with discounts and tax."""

    total: int
    tax: int
    before: int  # at the old price


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceChange:
    """The change of one subscription."""

    id: str  # pcg_…
    migration_id: str
    subscription_id: str | None  # None: it is not ours
    subscriber_id: str | None
    stripe_id: str
    status: ChangeStatus
    reason: str | None
    currency: str
    items: Sequence[ItemChange]
    renewal_at: datetime | None
    notices: int = 0  # how many were ordered
    quote: Quote | None = None
    announced_at: datetime | None = None
    act_at: datetime | None = None  # policy time
    last_error: str | None = None  # of the last attempt; None: it did not fail

    @property
    def notice_about(self) -> str:
        """What its newest notification is about: with the subscription first, as for its other ones."""
        return notice_about(self.subscription_id, self.id, self.notices)

    @property
    def notices_about(self) -> Sequence[str]:
        """What each of its notifications is about, the newest first."""
        return [notice_about(self.subscription_id, self.id, number) for number in range(self.notices, 0, -1)]

    @property
    def before(self) -> int:
        """What the changed items cost before, without discounts and tax."""
        return sum(item.from_amount * item.quantity for item in self.items)

    @property
    def after(self) -> int:
        """What the changed items cost, without discounts and tax."""
        return sum(item.to_amount * item.quantity for item in self.items)


def notice_about(subscription_id: str | None, change_id: str, notices: int) -> str:
    """Return what a notification of a change is about. ``notices``: how many were ordered by then."""
    return f"{subscription_id}/{change_id}/{notices}"


def is_of_migration(about: str) -> bool:
    """Return whether a notification with this ``about`` was ordered by a price migration."""
    return "/pcg_" in about


@dataclass(frozen=True, slots=True)
class Keep:
    """The subscription keeps its price."""

    reason: Keeps


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be decided yet, because a renewal is not paid or collection is paused."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Planned:
    """The items change at the renewal."""

    items: tuple[ItemChange, ...]
    renewal_at: datetime
    announce_at: datetime


Decision = Keep | Wait | Planned


def targets_of(plan: Plan, wanted: Sequence[str], prices: Sequence[StripePrice]) -> tuple[Target, ...]:
    """
    Return the new prices, one of each component at most.

    :param wanted: lookup keys of the catalogue, or IDs of Stripe's prices.
    :param prices: all prices of the plan at Stripe.
    :raises UnknownPrice: one of them can't be bought, or is not the plan's, or two are of one component.
    """
    components = {product_id(plan.code, component): component for component in plan.prices}
    found: dict[str, Target] = {}
    for name in wanted:
        price = next((one for one in prices if name in (one.id, one.lookup_key) and one.product_id in components), None)
        if price is None or not price.active or price.amount is None or price.interval != plan.interval:
            raise UnknownPrice(
                f"{name} is not a price of the plan {plan.code} that can be bought. Push the catalogue first:"
                " newsstand catalogue push",
                price=name,
            )
        component = components[price.product_id]
        if component in found:
            raise UnknownPrice(f"{name} is a second price for {component}: give one for each", price=name)
        found[component] = Target(component=component, price_id=price.id, amount=price.amount)
    return tuple(found.values())


def terms_of(plan: Plan, migration: PriceMigration) -> Terms:
    """Return the terms of a migration, with the catalogue's promises as they are now."""
    return Terms(
        plan=plan.code,
        currency=migration.currency,
        interval=plan.interval,
        targets=migration.targets,
        from_at=migration.from_at,
        locked={component: price.locked_amounts for component, price in plan.prices.items()},
        versions=migration.versions,
    )


def decide(
    seen: StripeSubscriptionState, terms: Terms, *, is_ours: bool, now: datetime, least: timedelta = LEAST_NOTICE
) -> Decision:
    """
    Return what happens to a subscription, from its state at Stripe.

    The first rule that applies decides; docs/concepts/price-migrations.md has them as a table.

    :param least: how long before the renewal it must be; nothing, if its reader was told already.
    """
    period = seen.period
    if seen.status in OVER or seen.status == SubscriptionStatus.INCOMPLETE or period is None:
        return Keep(Keeps.ENDED)
    if not is_ours:
        return Keep(Keeps.NOT_OURS)
    items, kept = _items(seen, terms)
    if not items:
        return Keep(kept)
    if seen.price == 0:  # Stripe bills a subscription that is no longer free at once, and moves its renewal
        return Keep(Keeps.COMPLIMENTARY)
    if seen.schedule_id is not None:
        return Keep(Keeps.SCHEDULED)
    in_trial = seen.status == SubscriptionStatus.TRIALING
    renewal_at = first_renewal(period[1], terms, now=now, least=least, in_trial=in_trial)
    if seen.cancel_at is not None and seen.cancel_at <= renewal_at:
        return Keep(Keeps.ENDING)
    is_billed = seen.status in (SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING) and not seen.collection_paused
    if not is_billed or period[1] <= now:  # after the end of the period, the renewal is being billed
        return Wait(now + CHECKED_AGAIN)
    return Planned(items, renewal_at, max(now, renewal_at - ANNOUNCED_AHEAD))


def first_renewal(
    period_end: datetime, terms: Terms, *, now: datetime, least: timedelta = LEAST_NOTICE, in_trial: bool = False
) -> datetime:
    """
    Return the first renewal from the migration's date on whose reader can still be told in time.

    The end of a trial is the first payment, at the price of the checkout. The one after it is a renewal.
    """
    step, count = MONTHS[terms.interval], 1 if in_trial else 0
    while True:
        at = months_later(period_end, count * step)
        if at >= terms.from_at and at - now >= least:
            return at
        count += 1


def months_later(moment: datetime, months: int) -> datetime:
    """Return the same day and time some months later, or the last day of a shorter month, as Stripe does."""
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)


def is_as_announced(change: PriceChange, decided: Planned, quoted: Quote) -> bool:
    """Return whether the reader was told of exactly this renewal, these items and this total."""
    return (
        change.quote is not None
        and change.renewal_at == decided.renewal_at
        and tuple(change.items) == decided.items
        and (change.quote.total, change.quote.tax) == (quoted.total, quoted.tax)
    )


def announced_ahead(days: int) -> timedelta:
    """Return how long before the renewal its reader is told, by the policy's days: at least two more than the law asks."""
    return max(timedelta(days=days), QUOTED_AGAIN_AHEAD)


def was_told_in_time(change: PriceChange, sent_at: datetime | None) -> bool:
    """Return whether the notice was sent early enough before the renewal. ``sent_at`` None: it was not sent."""
    return sent_at is not None and change.renewal_at is not None and change.renewal_at - sent_at >= LEAST_NOTICE


def has_new_price(change: PriceChange, seen: StripeSubscriptionState) -> bool:
    """Return whether all items of a change that still exist have their new price. At least one must exist."""
    wanted = {item.item: item.to_price for item in change.items}
    found = [item for item in seen.items if item.id in wanted]
    return bool(found) and all(item.price_id == wanted[item.id] for item in found)


def _items(seen: StripeSubscriptionState, terms: Terms) -> tuple[tuple[ItemChange, ...], Keeps]:
    """Return the items that change; if there are none, the second result says why."""
    if seen.currency != terms.currency:
        return (), Keeps.OTHER_CURRENCY
    targets = {target.component: target for target in terms.targets}
    found: list[ItemChange] = []
    kept = Keeps.UNCHANGED
    for item in seen.items:
        target = targets.get(item.component or "") if item.plan == terms.plan else None
        amount = item.unit_amount // max(item.quantity, 1)
        if target is None or item.price_id == target.price_id or amount == target.amount:
            continue
        reason = _keeps(item, amount, terms, renews_at=seen.period[1] if seen.period else None)
        if reason is not None:
            kept = reason
            continue
        found.append(
            ItemChange(
                item=item.id,
                component=target.component,
                quantity=item.quantity,
                from_price=item.price_id,
                from_amount=amount,
                to_price=target.price_id,
                to_amount=target.amount,
            )
        )
    return tuple(found), kept


def _keeps(item: StripeItemState, amount: int, terms: Terms, *, renews_at: datetime | None) -> Keeps | None:
    if amount in terms.locked.get(item.component or "", ()):
        return Keeps.LOCKED
    if item.price_id not in terms.versions:
        return Keeps.CUSTOM_PRICE
    if (item.interval, item.interval_count) != (terms.interval, 1) or item.period_end != renews_at:
        return Keeps.OTHER_INTERVAL
    return None
