"""Back issues: ordered by the desk, and sent with the next supplement of the issue."""

from datetime import datetime

from app.aggregates import approvals, reader_views
from app.context import Context
from app.db import approvals as approvals_db
from app.db import audit, back_issues, issues, subscribers, subscriptions
from app.domain.approvals import ApprovalKind, ApprovalRequest, ApprovalStatus, check_beneficiary
from app.domain.back_issues import BackIssue, check_mailed
from app.domain.errors import NotFound
from app.domain.pages import Page, page_of
from app.domain.reader_views import Viewer


async def order(
    ctx: Context, subscription_id: str, number: int, *, order_id: str, note: str | None, by: str, now: datetime
) -> BackIssue:
    """
    Order an earlier issue for a reader, once for each ``order_id``. The ledger stays as it is.

    Above the limits, a second person must approve it.

    :raises NotFound: there is no such subscription or issue.
    :raises OwnAccount: the reader is the member of staff.
    :raises IssueNotMailed: the issue was not mailed yet.
    """
    async with ctx.sessions.begin() as session:
        await approvals_db.lock_person(session, by)
        existing = await back_issues.by_id(session, order_id)
        if existing is not None:  # the request before was answered by nobody
            return existing
        subscription = await subscriptions.by_id(session, subscription_id)
        if subscription is None:
            raise NotFound("No such subscription")
        subscriber = await subscribers.lock(session, subscription.subscriber_id)
        check_beneficiary(subscriber.sub, by=by)
        issue = await issues.by_number(session, number)
        if issue is None:
            raise NotFound(f"There is no issue {number}")
        check_mailed(issue, today=now.astimezone(ctx.rules.zone).date())
        is_allowed = await approvals.back_issues_left(session, ctx.rules, subscriber.id, by=by, now=now) > 0
        ordered = BackIssue(
            id=order_id,
            subscriber_id=subscriber.id,
            subscription_id=subscription_id,
            issue_number=number,
            note=note,
            ordered_by=by,
            created_at=now,
            approval=None if is_allowed else ApprovalStatus.AWAITING_APPROVAL,
        )
        await back_issues.insert(session, ordered)
        if not is_allowed:
            await approvals.request(session, _request_of(ordered))
            return ordered
        await audit.record(
            session,
            actor=by,
            action="back_issue.ordered",
            object_id=order_id,
            subscriber_id=subscriber.id,
            note=note,
            after={"subscription": subscription_id, "issue": number},
        )
    return ordered


async def approve(ctx: Context, order_id: str, *, by: str, now: datetime) -> BackIssue:
    """
    Grant an order above the limits. A repeated approval has no further effect.

    :raises NotFound: there is no such request.
    :raises OwnRequest: the approver has requested it.
    :raises OwnAccount: the approver would get it.
    :raises NotAwaitingApproval: it was already decided.
    """
    async with ctx.sessions.begin() as session:
        request = await approvals.approve(session, order_id, ApprovalKind.BACK_ISSUE, by=by, now=now)
        ordered = await back_issues.by_id(session, order_id)
        assert ordered is not None
        if request is not None:
            await audit.record(
                session,
                actor=by,
                action="back_issue.approved",
                object_id=order_id,
                subscriber_id=ordered.subscriber_id,
                after={
                    "subscription": ordered.subscription_id,
                    "issue": ordered.issue_number,
                    "requested_by": ordered.ordered_by,
                },
            )
    return ordered


async def get(ctx: Context, order_id: str, *, viewer: Viewer) -> BackIssue:
    """
    Return an order. That somebody saw it is recorded.

    :raises NotFound: there is no such order.
    """
    async with ctx.sessions.begin() as session:
        ordered = await back_issues.by_id(session, order_id)
    if ordered is None:
        raise NotFound("No such order")
    await reader_views.record(ctx.reads, [ordered.subscriber_id], viewer)
    return ordered


async def page(
    ctx: Context,
    *,
    subscriber_id: str | None,
    issue_number: int | None,
    viewer: Viewer,
    after: str | None,
    limit: int,
) -> Page[BackIssue]:
    """Return orders, the newest first. That somebody saw them is recorded."""
    async with ctx.sessions.begin() as session:
        found = await back_issues.page(
            session, subscriber_id=subscriber_id, issue_number=issue_number, after=after, limit=limit + 1
        )
    shown = page_of(found, limit, cursor=lambda one: one.id)
    await reader_views.record(ctx.reads, [one.subscriber_id for one in shown.items], viewer)
    return shown


def _request_of(ordered: BackIssue) -> ApprovalRequest:
    return ApprovalRequest(
        id=ordered.id,
        kind=ApprovalKind.BACK_ISSUE,
        subscriber_id=ordered.subscriber_id,
        subscription_id=ordered.subscription_id,
        amount=1,
        reason="requested_by_reader",
        note=ordered.note,
        requested_by=ordered.ordered_by,
        status=ApprovalStatus.AWAITING_APPROVAL,
        created_at=ordered.created_at,
    )
