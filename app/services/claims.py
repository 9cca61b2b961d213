"""
Claims of copies: made by readers or for them, and approved by a second person above the limits.

A claim is one transaction: the claim, what it gives and the entry of the audit log are all there, or none.
"""

from datetime import datetime, time, timedelta

from app.aggregates import approvals, extensions, reader_views
from app.context import Context
from app.db import addresses, audit, claims, issues, outbox, subscribers, subscriptions
from app.db import approvals as approvals_db
from app.db.engine.session import Session
from app.db.subscribers import Subscriber
from app.domain.adjustments import AdjustmentKind
from app.domain.approvals import ApprovalKind, ApprovalRequest, ApprovalStatus, check_beneficiary
from app.domain.claims import (
    Claim,
    ClaimableCopy,
    ClaimResolution,
    ClaimSelection,
    CopyAlreadyClaimed,
    CopyNotSent,
    WantedClaim,
    check_claim,
    issues_added,
    mailed_on,
)
from app.domain.errors import NotFound
from app.domain.issues import Issue
from app.domain.outbox import OutboxReader, claim_decided
from app.domain.pages import Page, page_of
from app.domain.reader_views import Viewer
from app.domain.rules import Rules
from app.domain.subscriptions import AlreadyEnded


async def make(
    ctx: Context, subscription_id: str, wanted: WantedClaim, *, claim_id: str, by: str, now: datetime
) -> Claim:
    """
    Claim a copy for a reader, once for each ``claim_id``. Above the limits, a second person must approve it.

    :raises NotFound: there is no such subscription or issue.
    :raises OwnAccount: the reader is the member of staff.
    :raises CopyNotSent: the issue was not sent for the subscription.
    :raises CopySentElsewhere: it was sent to another address than where it was expected, because they moved later.
    :raises CopyNotMailed: it is mailed later.
    :raises ClaimTooLate: it was mailed too long ago.
    :raises CopyAlreadyClaimed: it was claimed before.
    :raises NothingToExtend: it doesn't count toward the term or is a grace copy, and issues shall be added.
    :raises AlreadyEnded: issues shall be added, and none are owed, because the subscription was ended.
    """
    async with ctx.sessions.begin() as session:
        await approvals_db.lock_person(session, by)
        subscription = await subscriptions.by_id(session, subscription_id)
        if subscription is None:
            raise NotFound("No such subscription")
        subscriber = await subscribers.lock(session, subscription.subscriber_id)
        check_beneficiary(subscriber.sub, by=by)
        copies = await claims.sent_copies(session, wanted.issue_number, subscription_id=subscription_id)
        return await _make(session, ctx.rules, subscriber, copies, wanted, claim_id=claim_id, by=by, now=now)


async def make_own(ctx: Context, sub: str, wanted: WantedClaim, *, claim_id: str, now: datetime) -> Claim:
    """Claim a copy that the reader was sent; otherwise as :func:`make`."""
    async with ctx.sessions.begin() as session:
        found = await subscribers.by_sub(session, sub)
        if found is None:
            raise CopyNotSent
        await approvals_db.lock_person(session, f"reader:{found.id}")
        subscriber = await subscribers.lock(session, found.id)
        copies = await claims.sent_copies(session, wanted.issue_number, subscriber_id=subscriber.id)
        by = f"reader:{subscriber.id}"
        return await _make(session, ctx.rules, subscriber, copies, wanted, claim_id=claim_id, by=by, now=now)


async def approve(ctx: Context, claim_id: str, *, by: str, now: datetime) -> Claim:
    """
    Grant a claim above the limits. A repeated approval has no further effect.

    :raises NotFound: there is no such request.
    :raises OwnRequest: the approver has requested it.
    :raises OwnAccount: the approver would get it.
    :raises NotAwaitingApproval: it was already decided.
    :raises AlreadyEnded: issues shall be added, and the subscription was ended meanwhile.
    """
    async with ctx.sessions.begin() as session:
        request = await approvals.approve(session, claim_id, ApprovalKind.CLAIM, by=by, now=now)
        claim = await claims.by_id(session, claim_id)
        assert claim is not None
        if request is not None:
            await claims.grant(session, claim_id, now=now)
            subscriber = await subscribers.lock(session, claim.subscriber_id)
            issue = await _issue(session, claim.issue_number)
            await _give(session, ctx.rules, subscriber, claim, issue, approved_by=by, now=now)
        return await claims.by_id(session, claim_id) or claim


async def get(ctx: Context, claim_id: str, *, viewer: Viewer) -> Claim:
    """
    Return a claim. That somebody saw it is recorded.

    :raises NotFound: there is no such claim.
    """
    async with ctx.sessions.begin() as session:
        claim = await claims.by_id(session, claim_id)
    if claim is None:
        raise NotFound("No such claim")
    await reader_views.record(ctx.reads, [claim.subscriber_id], viewer)
    return claim


async def of_reader(ctx: Context, sub: str, *, after: str | None, limit: int) -> Page[Claim]:
    """Return a reader's claims, the newest first. One who isn't known has none."""
    async with ctx.sessions.begin() as session:
        subscriber = await subscribers.by_sub(session, sub)
        if subscriber is None:
            return Page(items=[], next=None)
        found = await claims.page(session, ClaimSelection(subscriber_id=subscriber.id), after=after, limit=limit + 1)
    return page_of(found, limit, cursor=lambda claim: claim.id)


async def page(ctx: Context, wanted: ClaimSelection, *, viewer: Viewer, after: str | None, limit: int) -> Page[Claim]:
    """Return claims, the newest first. That somebody saw them is recorded."""
    async with ctx.sessions.begin() as session:
        found = await claims.page(session, wanted, after=after, limit=limit + 1)
    shown = page_of(found, limit, cursor=lambda claim: claim.id)
    await reader_views.record(ctx.reads, [claim.subscriber_id for claim in shown.items], viewer)
    return shown


async def _make(
    session: Session,
    rules: Rules,
    subscriber: Subscriber,
    copies: list[ClaimableCopy],
    wanted: WantedClaim,
    *,
    claim_id: str,
    by: str,
    now: datetime,
) -> Claim:
    existing = await claims.by_id(session, claim_id)
    if existing is not None:  # the request before was answered by nobody
        return existing
    issue = await _issue(session, wanted.issue_number)
    copy = await _unclaimed(session, copies, issue)
    today = now.astimezone(rules.zone).date()
    mailed = mailed_on(copy, issue)
    moved = await addresses.has_moved(
        session,
        subscriber.id,
        copy.address_id,
        since=copy.run_as_of,
        day=mailed,
        until=datetime.combine(mailed + timedelta(days=1), time(), rules.zone),
    )
    check_claim(copy, issue, wanted, moved=moved, days=rules.catalogue.policies.claim_policy(today).days, today=today)
    is_allowed = await approvals.copies_left(session, rules, subscriber.id, by=by, now=now) > 0
    claim = Claim(
        id=claim_id,
        subscriber_id=subscriber.id,
        subscription_id=copy.subscription_id,
        term=copy.term,
        issue_number=issue.number,
        run_number=copy.run_number,
        address_id=copy.address_id,
        reason=wanted.reason,
        resolution=wanted.resolution,
        note=wanted.note,
        claimed_by=by,
        created_at=now,
        granted_at=now if is_allowed else None,
    )
    await claims.insert(session, claim)
    if is_allowed:
        await _give(session, rules, subscriber, claim, issue, approved_by=None, now=now)
    else:
        await approvals.request(session, _request_of(claim))
    return claim


async def _unclaimed(session: Session, copies: list[ClaimableCopy], issue: Issue) -> ClaimableCopy:
    """
    Return the first copy that is not claimed yet.

    :raises CopyNotSent: there is no copy.
    :raises CopyAlreadyClaimed: each copy is claimed.
    """
    claimed: Claim | None = None
    for copy in copies:
        known = await claims.of_copy(session, copy.subscription_id, issue.number)
        if known is None:
            return copy
        claimed = claimed or known
    if claimed is None:
        raise CopyNotSent(f"Issue {issue.number} was not sent for this subscription", issue=issue.number)
    raise CopyAlreadyClaimed(f"This copy of issue {issue.number} was already claimed", claim=claimed.id)


async def _issue(session: Session, number: int) -> Issue:
    issue = await issues.by_number(session, number)
    if issue is None:
        raise NotFound(f"There is no issue {number}")
    return issue


async def _give(
    session: Session,
    rules: Rules,
    subscriber: Subscriber,
    claim: Claim,
    issue: Issue,
    *,
    approved_by: str | None,
    now: datetime,
) -> None:
    """Give what a claim is resolved with, and record it. A replacement goes to the issue's next supplement by itself."""
    given: dict[str, object] = {}
    if claim.resolution == ClaimResolution.EXTEND:
        given = await _extend(session, rules, subscriber, claim, issue, now=now)
    reader = OutboxReader.of(subscriber.id, subscriber.sub)
    await outbox.add(session, [claim_decided(reader, claim, granted=True)])
    await audit.record(
        session,
        actor=approved_by or claim.claimed_by,
        action="claim.approved" if approved_by is not None else "claim.made",
        object_id=claim.id,
        subscriber_id=claim.subscriber_id,
        reason=claim.reason,
        note=None if approved_by is not None else claim.note,  # the request has it
        after={
            "subscription": claim.subscription_id,
            "issue": claim.issue_number,
            "resolution": claim.resolution,
            **given,
            **({"requested_by": claim.claimed_by} if approved_by is not None else {}),
        },
    )


async def _extend(
    session: Session, rules: Rules, subscriber: Subscriber, claim: Claim, issue: Issue, *, now: datetime
) -> dict[str, object]:
    subscription = await subscriptions.by_id(session, claim.subscription_id)
    if subscription is None:
        raise AlreadyEnded("The subscription has ended")
    newest = await extensions.newest_term(session, rules, subscription)
    _, after = await extensions.add(
        session,
        rules,
        subscriber,
        subscription,
        adjustment_id=claim.id,
        kind=AdjustmentKind.CLAIM,
        term=newest.term.invoice_id,
        more=issues_added(issue, doubles=newest.doubles),
        reason=claim.reason,
        note=None,
        by=claim.claimed_by,
        now=now,
    )
    return {"term": after.invoice_id, "owed": after.owed, "last_issue": after.last_issue}


def _request_of(claim: Claim) -> ApprovalRequest:
    return ApprovalRequest(
        id=claim.id,
        kind=ApprovalKind.CLAIM,
        subscriber_id=claim.subscriber_id,
        subscription_id=claim.subscription_id,
        amount=1,
        reason=claim.reason,
        note=claim.note,
        requested_by=claim.claimed_by,
        status=ApprovalStatus.AWAITING_APPROVAL,
        created_at=claim.created_at,
    )
