"""Back issues: ordered by the desk, and sent with the next supplement of the issue."""

from datetime import datetime

from app.aggregates import reader_views
from app.context import Context
from app.db import audit, back_issues, issues, subscribers, subscriptions
from app.domain.approvals import check_beneficiary
from app.domain.back_issues import BackIssue, check_mailed
from app.domain.errors import NotFound
from app.domain.pages import Page, page_of
from app.domain.reader_views import Viewer


async def order(
    ctx: Context, subscription_id: str, number: int, *, order_id: str, note: str | None, by: str, now: datetime
) -> BackIssue:
    """
    Order an earlier issue for a reader, once for each ``order_id``. The ledger stays as it is.

    :raises NotFound: there is no such subscription or issue.
    :raises OwnAccount: the reader is the member of staff.
    :raises IssueNotMailed: the issue was not mailed yet.
    """
    async with ctx.sessions.begin() as session:
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
        ordered = BackIssue(
            id=order_id,
            subscriber_id=subscriber.id,
            subscription_id=subscription_id,
            issue_number=number,
            note=note,
            ordered_by=by,
            created_at=now,
        )
        await back_issues.insert(session, ordered)
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
    await reader_views.record(ctx.pool, [one.subscriber_id for one in shown.items], viewer)
    return shown
