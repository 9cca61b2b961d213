"""Canceling, resuming and extending a subscription. Each has a form that says what will happen and asks for a reason."""

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from app.console.access_control import form_route, page_route
from app.console.csrf import check_reader
from app.console.labels import reason_labels
from app.console.request import ConsoleRequest
from app.db.engine.session import new_id
from app.domain.audit import join_reason
from app.domain.callers import Role
from app.domain.cancellations import is_paused
from app.domain.reasons import CancelReason, EndReason, ExtensionReason, ResumeReason
from app.domain.sent_copies import SentCopy
from app.domain.subscriptions import AlreadyEnded
from app.services import cancel_previews, cancellations, idempotency, issues, sent_copies, subscriptions, support
from app.services.support import SubscriptionWithSubscriber

CANCEL_REASONS = reason_labels(*CancelReason)
RESUME_REASONS = reason_labels(*ResumeReason)
EXTENSION_REASONS = reason_labels(*ExtensionReason)
# By what ended the subscription, if it ended at once.
PERIOD_END_MESSAGES: dict[str | None, str] = {
    EndReason.NOT_RENEWED: "Subscription canceled. Its open invoices are voided, and paid access continues to its end.",
    EndReason.CANCEL_NOW: "Subscription canceled. It has ended, because its unused time was credited during the pause.",
}
RESUMED_BUT_PAUSED = "The scheduled end was removed, but payments are still paused."
END_OPTIONS = {"period_end": "At the end of the paid period", "now": "Immediately"}


async def show_cancel_form(request: ConsoleRequest) -> Response:
    """Show the form: when the subscription ends, and the reason."""
    return await _render_cancellation(request, "cancel_subscription.html", reasons=CANCEL_REASONS)


async def cancel(request: ConsoleRequest) -> Response:
    """Cancel a subscription at the end of the paid period. If it is to end immediately, ask first."""
    ctx, found = request.ctx, await _open_subscription(request)
    await check_reader(request, found.subscriber.id)
    with request.fields() as fields:
        when, reason = fields.choice("when", END_OPTIONS), join_reason(*fields.reason_and_note(CANCEL_REASONS))
    only = found.subscription.id
    if when == "now":
        return request.continue_at(f"/subscriptions/{only}/cancel-now")
    await cancellations.cancel_at_period_end(
        ctx, found.subscriber.sub, reason=reason, comment=None, by=request.staff.actor, only=only, now=request.now
    )
    message = PERIOD_END_MESSAGES.get(
        (await support.subscription(ctx, only, viewer=request.viewer)).subscription.ended_by,
        "Subscription canceled. It ends at the end of the paid period.",
    )
    return request.redirect(f"/readers/{found.subscriber.id}", flash=message)


async def confirm_cancel_now(request: ConsoleRequest) -> Response:
    """Show what ends if the subscription is canceled immediately."""
    form_path = f"/subscriptions/{request.path_param('subscription')}/cancel"
    if not request.form:
        return request.redirect(form_path)
    return await _render_cancellation(request, "cancel_now.html", back=request.form_url(form_path))


async def cancel_now(request: ConsoleRequest) -> Response:
    """Cancel the subscription immediately. A repeated request counts once."""
    found = await _open_subscription(request)
    await check_reader(request, found.subscriber.id)
    with request.fields() as fields:
        reason = join_reason(*fields.reason_and_note(CANCEL_REASONS))
    await cancellations.cancel_now(
        request.ctx,
        found.subscriber.sub,
        reason=reason,
        by=request.staff.actor,
        only=found.subscription.id,
        now=request.now,
    )
    message = "Subscription canceled immediately. Nothing was refunded."
    return request.redirect(f"/readers/{found.subscriber.id}", flash=message)


async def _render_cancellation(request: ConsoleRequest, template: str, **context: Any) -> Response:
    found = await _open_subscription(request)
    details = await subscriptions.current(request.ctx, found.subscriber.sub, now=request.now)
    return request.render(
        template,
        found=found,
        details=details if details.subscription.id == found.subscription.id else None,
        effects=await cancel_previews.preview(request.ctx, found.subscription, now=request.now),
        **context,
    )


async def show_resume_form(request: ConsoleRequest) -> Response:
    """Show the form: the reason."""
    return request.render("resume_subscription.html", found=await _open_subscription(request), reasons=RESUME_REASONS)


async def resume(request: ConsoleRequest) -> Response:
    """Resume a subscription that was set to end."""
    ctx, found = request.ctx, await _open_subscription(request)
    await check_reader(request, found.subscriber.id)
    with request.fields() as fields:
        reason = join_reason(*fields.reason_and_note(RESUME_REASONS))
    sub = found.subscriber.sub
    await cancellations.resume(
        ctx, sub, reason=reason, by=request.staff.actor, only=found.subscription.id, now=request.now
    )
    flash = RESUMED_BUT_PAUSED if is_paused(found.subscription) else "Subscription resumed. It will renew as usual."
    return request.redirect(f"/readers/{found.subscriber.id}", flash=flash)


async def _open_subscription(request: ConsoleRequest) -> SubscriptionWithSubscriber:
    """
    Return the subscription.

    :raises AlreadyEnded: if it has ended. The reader's other subscriptions are not considered.
    """
    found = await support.subscription(request.ctx, request.path_param("subscription"), viewer=request.viewer)
    if not found.subscription.can_be_canceled:
        raise AlreadyEnded
    return found


async def show_extend_form(request: ConsoleRequest) -> Response:
    """Show the form: the number of issues, and the reason."""
    found = await support.subscription(request.ctx, request.path_param("subscription"), viewer=request.viewer)
    return request.render(
        "extend_subscription.html",
        found=found,
        reasons=EXTENSION_REASONS,
        max_issues=_max_issues(request, found),
        claimable=await _claimable(request, found),
        key=request.idempotency_key(),
    )


async def _claimable(request: ConsoleRequest, found: SubscriptionWithSubscriber) -> Sequence[SentCopy]:
    """Return the copies that can be claimed instead: an extension doesn't know which copy it replaces."""
    today = request.now.astimezone(request.ctx.rules.zone).date()
    days = request.ctx.catalogue.policies.claim_policy(today).days
    sent = await sent_copies.of_subscription(request.ctx, found.subscription.id)
    return [one for one in sent if one.may_be_claimed(today, days=days)]


async def extend(request: ConsoleRequest) -> Response:
    """Add issues to the subscription's newest term. A form that is sent twice counts once."""
    ctx, subscription_id = request.ctx, request.path_param("subscription")
    found = await support.subscription(ctx, subscription_id, viewer=request.viewer)
    await check_reader(request, found.subscriber.id)
    with request.fields() as fields:
        more = fields.integer("issues", minimum=1, maximum=_max_issues(request, found))
        reason, note = fields.reason_and_note(EXTENSION_REASONS)

    async def work(adjustment_id: str) -> tuple[int, dict[str, Any]]:
        extension = await issues.extend(
            ctx,
            subscription_id,
            adjustment_id=adjustment_id,
            more=more,
            reason=reason,
            note=note,
            by=request.staff.actor,
            now=request.now,
        )
        if extension.awaits_approval:
            return 202, {"request": extension.id}
        return 201, {"unserved": extension.ledger.unserved}

    answer = await idempotency.once(
        ctx,
        caller=request.staff.actor,
        route=f"POST {request.http.url.path}",
        key=idempotency.check_key(request.text("key", max_length=100)),
        body=f"{more} {reason} {note}".encode(),
        new_object_id=new_id("adj"),
        work=work,
    )
    if "request" in answer.body:
        return request.redirect(f"/approvals/{answer.body['request']}")
    added = f"{more} {'issue' if more == 1 else 'issues'} added"
    return request.redirect(
        f"/readers/{found.subscriber.id}", flash=f"{added}. {answer.body['unserved']} issues remain."
    )


def _max_issues(request: ConsoleRequest, found: SubscriptionWithSubscriber) -> int:
    """Return how many issues may be added in one step: as many as a term of the plan has."""
    return request.ctx.rules.catalogue.plan(found.subscription.plan).issues


CANCEL, CANCEL_NOW = "/subscriptions/{subscription}/cancel", "/subscriptions/{subscription}/cancel-now"
RESUME, EXTEND = "/subscriptions/{subscription}/resume", "/subscriptions/{subscription}/extend"
ROUTES = [
    page_route(CANCEL, show_cancel_form, role=Role.SUPPORT),
    form_route(CANCEL, cancel, role=Role.SUPPORT, shown_by=show_cancel_form),
    page_route(CANCEL_NOW, confirm_cancel_now, role=Role.SUPPORT),
    form_route(CANCEL_NOW, cancel_now, role=Role.SUPPORT, shown_by=confirm_cancel_now),
    page_route(RESUME, show_resume_form, role=Role.SUPPORT, recent_sign_in=True),
    form_route(RESUME, resume, role=Role.SUPPORT, recent_sign_in=True, shown_by=show_resume_form),
    page_route(EXTEND, show_extend_form, role=Role.SUPPORT, recent_sign_in=True),
    form_route(EXTEND, extend, role=Role.SUPPORT, recent_sign_in=True, shown_by=show_extend_form),
]
