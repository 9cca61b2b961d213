"""Changes of the print edition: quoted, and requested."""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from app import postal_addresses
from app.aggregates import cutoffs
from app.context import Context
from app.db import addresses, audit, print_changes, refunds, subscribers, subscriptions
from app.db.engine import leases
from app.db.engine.session import Session, new_id
from app.domain.addresses import (
    CheckedAddress,
    CountryNotServed,
    PostalAddress,
    ProblemCode,
    check_complete,
)
from app.domain.approvals import check_beneficiary
from app.domain.errors import ConcurrentUpdate, NotFound, StripeRefused, StripeUnavailable
from app.domain.money import Money
from app.domain.plans import PRINT, Plan
from app.domain.print_changes import (
    PrintAddressRequired,
    PrintChange,
    PrintChangeInProgress,
    PrintChangeKind,
    PrintChangeStatus,
    PrintPaymentFailed,
)
from app.domain.print_quotes import (
    Bill,
    PrintCase,
    PrintQuote,
    accept,
    has_print,
    kind_of,
    quote_addition,
    quote_removal,
)
from app.domain.refunds import QuoteChanged, Refund
from app.domain.subscriptions import NoSubscription, StripeSubscriptionState
from app.services.print_changes import cases, completion, returns


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintEditionRequest:
    """A requested change of the print edition."""

    enabled: bool
    expected: Money  # the quoted amount
    address: PostalAddress | None = None  # the reader has it once print is paid


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintEditionStatus:
    """Whether a subscription includes print, what the other choice would cost or return, and a change in progress."""

    enabled: bool
    quote: PrintQuote
    change: PrintChange | None
    renews_with_print: bool  # whether the next renewal includes print if nothing is changed


async def quote(ctx: Context, sub: str, *, only: str | None = None, now: datetime) -> PrintEditionStatus:
    """
    Return what adding or dropping print would cost or return now. Nothing is changed.

    :param only: the ID of the subscription; None: the reader's current one.
    :raises NoSubscription: there is none.
    """
    state = await cases.fetch(ctx, sub, only, now=now)
    async with ctx.sessions.begin() as session:
        case = await cases.load(session, ctx, await cases.find(session, sub, only), state, now=now)
        open_change = await print_changes.undecided(session, case.subscription.id)
    enabled, renews = has_print(case), case.subscription.print_edition
    if enabled:
        quoted = quote_removal(case, now=now)
    else:
        quoted = quote_addition(case, await cases.bill(ctx, case, state, now=now), now=now)
    return PrintEditionStatus(enabled=enabled, quote=quoted, change=open_change, renews_with_print=renews)


async def change(
    ctx: Context,
    sub: str,
    request: PrintEditionRequest,
    *,
    change_id: str,
    by: str,
    only: str | None = None,
    now: datetime,
) -> tuple[PrintChange, list[Refund]]:
    """
    Add or drop the print edition for the rest of the running term, and for the renewals.

    A repeated call with the same ``change_id`` continues where the first one stopped.

    :param by: the actor, as in the audit log.
    :param only: the ID of the subscription; None: the reader's current one.
    :returns: the change, and the refunds of a removal. A change that is still in progress is completed by a worker.
    :raises NoSubscription: there is none.
    :raises PrintChangeRefused: it is not possible; the subclass says why. Raises other refusals of a refund, too.
    :raises PrintPaymentFailed: the payment failed, so nothing was changed.
    :raises QuoteChanged: the amount differs from the expected one.
    :raises CountryNotServed: print isn't mailed to the reader's country.
    :raises AddressIncomplete: a part of the address is missing, too long or unknown.
    """
    owner = new_id("own")
    async with ctx.sessions.begin() as session:
        stored = await print_changes.by_id(session, change_id)
    if stored is None:
        stored, is_leased = await _create(
            ctx, sub, request, change_id=change_id, by=by, only=only, owner=owner, now=now
        )
        owner = owner if is_leased else ""  # a worker still has the lease of the change before
    elif stored.is_undecided:
        async with ctx.sessions.begin() as session:
            key = print_changes.work_key(stored.subscription_id)
            if not await leases.take(session, key, owner=owner, lease=ctx.settings.lease):
                owner = ""  # a worker is completing it
    key = print_changes.work_key(stored.subscription_id)
    if stored.is_undecided and owner:
        async with leases.keep_lease(ctx.sessions, key, owner=owner, lease=ctx.settings.lease):
            with suppress(StripeUnavailable, StripeRefused, ConcurrentUpdate):  # it is due, so a worker completes it
                await completion.finish(ctx, change_id, now=now)
    return await _result(ctx, change_id)


async def _result(ctx: Context, change_id: str) -> tuple[PrintChange, list[Refund]]:
    async with ctx.sessions.begin() as session:
        stored = await print_changes.by_id(session, change_id)
        parts = await refunds.of_group(session, change_id)
    if stored is None:
        raise NotFound("No such change")
    if stored.status == PrintChangeStatus.FAILED:
        if stored.failure_reason == QuoteChanged.code:
            raise QuoteChanged("The amount has changed. Nothing was charged")
        raise PrintPaymentFailed(reason=stored.failure_reason)
    return stored, parts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A request, and what Stripe said about it before our transaction."""

    request: PrintEditionRequest
    checked: CheckedAddress | None  # the address in the request
    state: StripeSubscriptionState
    kind: PrintChangeKind
    bill: Bill | None = None
    price_id: str | None = None  # for the renewals


async def _create(
    ctx: Context,
    sub: str,
    request: PrintEditionRequest,
    *,
    change_id: str,
    by: str,
    only: str | None,
    owner: str,
    now: datetime,
) -> tuple[PrintChange, bool]:
    """Check a request against a new quote, store it, and lease it to this request. Return whether it is leased."""
    checked = _checked(ctx, request)
    state = await cases.fetch(ctx, sub, only, now=now)
    async with ctx.sessions.begin() as session:
        case = await cases.load(session, ctx, await cases.find(session, sub, only), state, now=now)
    kind = kind_of(enabled=request.enabled)
    asked = _Asked(request=request, checked=checked, state=state, kind=kind)
    if kind == PrintChangeKind.ADD and quote_addition(case, None, now=now).refusal is None:
        price_id, bill = await cases.price_id(ctx, case.plan), await cases.bill(ctx, case, state, now=now)
        asked = replace(asked, price_id=price_id, bill=bill)
    async with ctx.sessions.begin() as session:
        subscriber = await subscribers.lock(session, case.subscription.subscriber_id)
        check_beneficiary(subscriber.sub, by=by)
        now = await cutoffs.settle(session, ctx.rules.zone, now=now)
        stored = await _store(session, ctx, asked, case.subscription.id, change_id=change_id, by=by, now=now)
        key = print_changes.work_key(stored.subscription_id)
        is_leased = await leases.take(session, key, owner=owner, lease=ctx.settings.lease)
    return stored, is_leased


async def _store(
    session: Session, ctx: Context, asked: _Asked, subscription_id: str, *, change_id: str, by: str, now: datetime
) -> PrintChange:
    """Quote again under the subscriber's lock, and store the change with what belongs to it."""
    held = await subscriptions.by_id(session, subscription_id)
    if held is None:
        raise NoSubscription
    if await print_changes.undecided(session, held.id) is not None:
        raise PrintChangeInProgress
    case = await cases.load(session, ctx, held, asked.state, now=now)
    if asked.kind == PrintChangeKind.ADD:
        quoted = quote_addition(case, asked.bill, now=now)
        if asked.bill is not None and quoted.price != _billed(asked.bill, case.plan):
            raise ConcurrentUpdate("The price has just changed; try again")
    else:
        quoted = quote_removal(case, now=now)
    accept(quoted, asked.request.expected)
    if asked.kind == PrintChangeKind.ADD:
        await _check_address(session, ctx, held.subscriber_id, case.plan, asked.checked, now=now)
    stored = _new_change(change_id, quoted, case, asked, by=by, now=now)
    await print_changes.insert(session, stored)
    await returns.order(session, stored, quoted.parts, now=now)
    await audit.record(
        session,
        actor=by,
        action=f"print_edition.{asked.kind}_requested",
        object_id=change_id,
        subscriber_id=held.subscriber_id,
        before={"subscription": held.id},
        after={"issues": quoted.issues, "amount": quoted.amount, "currency": quoted.currency},
    )
    return stored


def _billed(bill: Bill, plan: Plan) -> int:
    """Return the price that was billed, as the catalogue has it: with or without tax."""
    return bill.total if plan.prices[PRINT].tax_behavior == "inclusive" else bill.total - bill.tax


def _new_change(
    change_id: str, quoted: PrintQuote, case: PrintCase, asked: _Asked, *, by: str, now: datetime
) -> PrintChange:
    assert quoted.starts_at is not None
    assert quoted.ends_at is not None
    return PrintChange(
        id=change_id,
        subscription_id=case.subscription.id,
        subscriber_id=case.subscription.subscriber_id,
        kind=quoted.kind,
        status=PrintChangeStatus.PROCESSING,
        issues=quoted.issues,
        first_issue=quoted.first_issue,
        price=quoted.price,
        total=quoted.total,
        tax=quoted.tax,
        due=quoted.due,
        currency=quoted.currency,
        price_id=asked.price_id,
        starts_at=quoted.starts_at,
        ends_at=quoted.ends_at,
        requested_by=by,
        created_at=now,
        address=asked.checked.address if asked.checked is not None and asked.kind == PrintChangeKind.ADD else None,
        to_balance={
            invoice.id: invoice.returned_to_balance + quoted.to_balance[invoice.id]
            for invoice in asked.state.invoices
            if invoice.id in quoted.to_balance
        },
    )


def _checked(ctx: Context, request: PrintEditionRequest) -> CheckedAddress | None:
    if request.address is None:
        return None
    checked = postal_addresses.check(request.address, ctx.catalogue.print_rules)
    check_complete(checked)
    return checked


async def _check_address(
    session: Session, ctx: Context, subscriber_id: str, plan: Plan, checked: CheckedAddress | None, *, now: datetime
) -> None:
    """
    Check where the copies of an addition would be sent. Doubts about a format block nothing.

    A new address is saved once the addition is paid: a payment that fails changes nothing.

    :raises PrintAddressRequired: there is none.
    :raises CountryNotServed: print isn't mailed to its country.
    """
    if checked is not None:
        _check_served(ctx, plan, checked)
        return
    known = await addresses.of_subscriber(session, subscriber_id, today=now.astimezone(ctx.settings.zone).date())
    permanent = next((one for one in known if one.period is None), None)
    if permanent is None:
        raise PrintAddressRequired
    _check_served(ctx, plan, permanent.checked)


def _check_served(ctx: Context, plan: Plan, checked: CheckedAddress) -> None:
    country, price = checked.address.country, plan.prices[PRINT]
    band = ctx.catalogue.print_rules.served.get(country)
    is_priced = price.postage_band is None or band == price.postage_band
    if any(one.code == ProblemCode.NOT_SERVED for one in checked.problems) or not is_priced:
        raise CountryNotServed(f"The print edition isn't mailed to {country}", country=country)
