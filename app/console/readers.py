"""The page about a reader."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from starlette.responses import Response

from app.console import history, labels
from app.console.access_control import page_route
from app.console.request import ConsoleRequest
from app.domain import reader_summary
from app.domain.callers import Role
from app.domain.disputes import Dispute
from app.domain.entitlements import OPEN_ENDED, Grant
from app.domain.refunds import CONFIRMED, Refund
from app.domain.subscriptions import Payment, Subscription, SubscriptionStatus
from app.localization import Localization
from app.pages.formatting import lower_first
from app.services import support
from app.services.support import Overview

SHOWN_PAYMENTS, SHOWN_COPIES, SHOWN_DECLARATIONS, SHOWN_DAYS = 6, 6, 6, 8  # newest; the others are shown on request


async def show(request: ConsoleRequest) -> Response:
    """Show everything about a reader."""
    return await _show(request, request.path_param("reader"))


async def show_of_form(request: ConsoleRequest) -> Response:
    """Show the reader whose page sent a form."""
    return await _show(request, request.form.get("reader", ""))


async def _show(request: ConsoleRequest, reader_id: str) -> Response:
    ctx = request.ctx
    show_all = request.query("show") == "all"
    overview = await support.overview(
        ctx,
        reader_id,
        viewer=request.viewer,
        staff_names=request.staff_names,
        history_days=None if show_all else SHOWN_DAYS + 1,
        now=request.now,
    )
    refunded = _refunded_amounts(overview.refunds)
    current = overview.current
    payments, history_days = overview.payments[::-1], history.days(overview.timeline)
    refundable = _refundable(overview, refunded)
    grants = [(grant, _grant_until(grant)) for grant in overview.grants]
    running = [(grant, until) for grant, until in grants if until is None or until > request.now]
    plans = {code: plan.title for code, plan in ctx.rules.catalogue.plans.items()}
    ended = [one for one in reversed(overview.subscriptions) if one != current and not _is_open(one[0])]
    today = request.now.astimezone(ctx.rules.zone).date()
    return request.render(
        "reader.html",
        overview=overview,
        reader=overview.subscriber,
        summary=reader_summary.summary_of(
            overview.subscriptions,
            ledgers=overview.ledgers,
            guest_until=_comp_until(overview),
            policy=ctx.rules.access,
            now=request.now,
        ),
        extendable=_extendable(overview),
        printable=_printable(request, overview),
        print_is_later=current is not None and current[0].id in overview.print_is_later,
        edition_of=edition_of,
        cancelable=_cancelable(overview),
        now=request.now,
        plans=plans,
        open_subscriptions=[one for one in reversed(overview.subscriptions) if one == current or _is_open(one[0])],
        ended_subscriptions=ended,
        ended_lines=[] if show_all else [_ended_line(one, plans, ctx.localization) for one, _ in ended],
        open_disputes=sorted((one for one in overview.disputes if one.is_open), key=_deadline),
        closed_disputes=[one for one in reversed(overview.disputes) if not one.is_open],
        payments=payments if show_all else payments[:SHOWN_PAYMENTS],
        more_payments=0 if show_all else len(payments[SHOWN_PAYMENTS:]),
        copies=overview.copies if show_all else overview.copies[:SHOWN_COPIES],
        more_copies=0 if show_all else len(overview.copies[SHOWN_COPIES:]),
        declarations=overview.declarations if show_all else overview.declarations[:SHOWN_DECLARATIONS],
        more_declarations=0 if show_all else len(overview.declarations[SHOWN_DECLARATIONS:]),
        prints=bool(overview.addresses) or any(one.print_edition for one, _ in overview.subscriptions),
        today=today,
        claim_days=ctx.rules.catalogue.policies.claim_policy(today).days,
        grants=grants if show_all else running,
        more_grants=0 if show_all else len(grants) - len(running),
        history=history_days if show_all else history_days[:SHOWN_DAYS],
        more_days=not show_all and len(history_days) > SHOWN_DAYS,
        refunded=refunded,
        refundable=refundable,
        refundable_ids={payment.id for payment in refundable},
        shows_all=show_all,
    )


def _is_open(subscription: Subscription) -> bool:
    return subscription.can_be_canceled


def edition_of(subscription: Subscription, overview: Overview, localization: Localization) -> str:
    """Return what a subscription includes, and from when on print, if only the next renewal includes it."""
    if subscription.id not in overview.print_is_later:
        return "print and digital" if subscription.print_edition else "digital"
    renews_at = subscription.current_period_end if subscription.cancel_at is None else None
    return f"digital, print from {localization.date(renews_at)} on" if renews_at is not None else "digital"


def _ended_line(subscription: Subscription, plans: Mapping[str, str], localization: Localization) -> tuple[str, str]:
    """Return what an ended subscription was for, and when it ran and how it ended."""
    title = plans.get(subscription.plan) or subscription.plan
    until = f" – {localization.date(subscription.over_at)}" if subscription.over_at else ""
    ended_by = f" ({lower_first(labels.label(subscription.ended_by))})" if subscription.ended_by else ""
    edition = "print and digital" if subscription.print_edition else "digital"
    return f"{title}, {edition}", f"{localization.date(subscription.created_at)}{until}{ended_by}"


def _deadline(dispute: Dispute) -> tuple[bool, datetime]:
    """Return the key that sorts disputes by the deadline for evidence."""
    return (not dispute.needs_response, dispute.due_by or dispute.opened_at)


def _refundable(overview: Overview, refunded: Mapping[str, int]) -> list[Payment]:
    """Return the payments of which something can be refunded, the earliest first."""
    disputed = {dispute.payment_id for dispute in overview.disputes if not dispute.refundable}
    return [
        one
        for one in overview.payments
        if one.amount > one.credited + refunded.get(one.id, 0) and one.id not in disputed
    ]


def _refunded_amounts(refunds: Sequence[Refund]) -> dict[str, int]:
    """Return the refunded amount of each payment, in minor units."""
    amounts: dict[str, int] = {}
    for refund in refunds:
        if refund.status in CONFIRMED:
            amounts[refund.payment_id] = amounts.get(refund.payment_id, 0) + refund.amount
    return amounts


def _cancelable(overview: Overview) -> Subscription | None:
    """Return the current subscription, if it has not ended. It may be paused or unpaid."""
    chosen = overview.current
    return chosen[0] if chosen is not None and chosen[0].can_be_canceled else None


def _extendable(overview: Overview) -> Subscription | None:
    """Return the subscription that can be extended: a live one, whose newest term still owes issues."""
    chosen = overview.current
    if chosen is None or not chosen[1]:
        return None
    ledger = overview.ledgers.get(chosen[1][-1].invoice_id)
    return chosen[0] if ledger is not None and not ledger.cancelled and chosen[0].is_live else None


def _printable(request: ConsoleRequest, overview: Overview) -> Subscription | None:
    """Return the subscription whose print edition can be changed: an active one with a paid term, if its plan has print."""
    chosen = overview.current
    if chosen is None or not any(term.starts_at <= request.now < term.ends_at for term in chosen[1]):
        return None
    plan = request.ctx.catalogue.plans.get(chosen[0].plan)
    has_print = chosen[0].print_edition or (plan is not None and plan.has_print)
    return chosen[0] if has_print and chosen[0].status == SubscriptionStatus.ACTIVE and chosen[0].is_live else None


def _grant_until(grant: Grant) -> datetime | None:
    """Return when the last feature of a grant ends; None if no end is known."""
    until = max((period.until for periods in grant.features.values() for period in periods), default=None)
    return until if until != OPEN_ENDED else None


def _comp_until(overview: Overview) -> datetime | None:
    """Return when complimentary access ends."""
    return max((comp.until for comp in overview.comps if comp.removed_at is None), default=None)


ROUTES = [
    page_route("/readers/{reader}", show, role=Role.SUPPORT),
]
