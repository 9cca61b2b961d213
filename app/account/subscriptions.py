"""The first page: the subscription's status, what it includes and costs, and its issues; and resuming it."""

from collections.abc import Sequence
from datetime import datetime, time

from starlette.responses import Response

from app.account import labels, withdrawal_labels
from app.account.access_control import form_route, page_route
from app.account.request import AccountRequest
from app.account.withdrawals import language_of
from app.aggregates.declarations import writing
from app.domain.cancellations import is_paused
from app.domain.declarations import notice_of
from app.domain.entitlements import AccessReason, OtherAccess
from app.domain.issues import Issue
from app.domain.subscriptions import NoSubscription
from app.services import cancellations, declarations, sent_copies, subscriptions
from app.services.subscriptions import SubscriptionDetails

UPCOMING = 3  # issues that are listed; the rest is counted
COPIES = 6  # printed ones that are listed; earlier ones are collapsed
RESUMED = "Your subscription will renew as usual."
RESUMED_BUT_PAUSED = "We undid your cancellation. Your payments are still paused."


async def show(request: AccountRequest) -> Response:
    """Show the subscription, or that there is none."""
    try:
        details = await subscriptions.current(request.ctx, request.sub, now=request.now)
    except NoSubscription as none:
        return request.render("no_subscription.html", other_access=_other_access(none))
    subscription, catalogue = details.subscription, request.ctx.catalogue
    declared = await declarations.of_reader(request.ctx, request.sub)
    language = await language_of(request)
    until = details.withdrawal.right.until if details.withdrawal.right is not None else None
    copies = await sent_copies.of_subscription(request.ctx, subscription.id)
    today = request.now.astimezone(request.ctx.rules.zone).date()
    headline = labels.status(details, request.ctx.localization, notice=notice_of(subscription.id, declared))
    return request.render(
        "overview.html",
        details=details,
        subscription=subscription,
        price_change=details.price_change,
        plan=catalogue.plans.get(subscription.plan),
        headline=headline,
        editions=labels.editions(details, request.ctx.localization),
        print_is_later=details.print_is_later,
        notice=details.notice,
        notice_text=labels.notice(details, request.ctx.localization, headline=headline),
        upcoming=_dated(request, details.issues.upcoming[:UPCOMING]) if details.issues else [],
        latest=_dated(request, details.issues.served[-1:]) if details.issues else [],
        copies=copies[:COPIES],
        earlier_copies=copies[COPIES:],
        gets_copies=_gets_copies(details),
        may_hold=catalogue.policies.hold_policy(today).days > 0,
        today=today,
        can_resume=_can_resume(details),
        can_cancel=subscription.can_be_canceled and subscription.cancel_at is None,
        can_change_print=_can_change_print(request, details),
        can_subscribe=details.status.may_subscribe,
        can_withdraw=details.withdrawal.allowed,
        withdraw_until=writing(request.ctx.localization, language).last_day(until) if until is not None else None,
        declarations=declared,
        withdraw_language=language,
        withdraw_texts=withdrawal_labels.TEXTS[language],
        guarantee=details.guarantee if details.guarantee is not None and details.guarantee.allowed else None,
    )


async def resume(request: AccountRequest) -> Response:
    """Undo a scheduled cancellation."""
    await cancellations.resume(request.ctx, request.sub, now=request.now)
    details = await subscriptions.current(request.ctx, request.sub, now=request.now)
    return request.redirect("/", flash=RESUMED_BUT_PAUSED if is_paused(details.subscription) else RESUMED)


async def show_instead(request: AccountRequest) -> Response:
    """Open the first page, which has the button: the reader has signed in again after pressing it."""
    return request.redirect("/")


def _can_resume(details: SubscriptionDetails) -> bool:
    return details.subscription.is_live and details.subscription.cancel_at is not None and not details.status.has_lapsed


def _gets_copies(details: SubscriptionDetails) -> bool:
    """Return whether copies are sent: of the running term, or of those that follow."""
    is_printed = details.term is not None and details.term.print_edition and details.term.print_until is None
    is_owed = details.ledger is not None and details.ledger.unserved > 0  # after the end, too
    return (details.subscription.is_live and details.subscription.print_edition) or (
        is_printed and (details.subscription.is_live or is_owed)
    )


def _can_change_print(request: AccountRequest, details: SubscriptionDetails) -> bool:
    """Return whether the page about print is of use: what it costs, or why it can't be changed now, is said there."""
    subscription, plan = details.subscription, request.ctx.catalogue.plans.get(details.subscription.plan)
    is_running = subscription.is_live and details.term is not None and details.term.ends_at > request.now
    return is_running and not details.on_hold and (subscription.print_edition or (plan is not None and plan.has_print))


def _dated(request: AccountRequest, issues: Sequence[Issue]) -> list[tuple[Issue, datetime]]:
    """Return issues with the day on which they come out."""
    noon = time(12, tzinfo=request.ctx.rules.zone)
    return [(issue, datetime.combine(issue.mail_date, noon)) for issue in issues]


def _other_access(none: NoSubscription) -> OtherAccess | None:
    """Return the access that a reader has without a subscription."""
    facts = none.facts.get("other_access")
    if not isinstance(facts, dict):
        return None
    until = facts.get("until")
    return OtherAccess(
        features=tuple(facts.get("features") or ()),
        until=datetime.fromisoformat(until) if until else None,
        reason=str(facts.get("reason") or AccessReason.COMP),
    )


ROUTES = [
    page_route("/", show),
    page_route("/resume", show_instead),
    form_route("/resume", resume, shown_by=show),
]
