"""Complimentary access: given by support, approved by a second person above the limit, and revoked."""

from dataclasses import replace
from datetime import datetime

from app.aggregates import approvals, grants
from app.context import Context
from app.db import approvals as approvals_db
from app.db import audit, comps, issues, subscribers
from app.db.engine.session import Session
from app.db.subscribers import Subscriber
from app.domain.approvals import ApprovalKind, ApprovalRequest, ApprovalStatus, check_beneficiary, days_of
from app.domain.callers import Reader
from app.domain.comps import Comp, end_of_comp, grant_of
from app.domain.errors import NotFound
from app.domain.rules import Rules


async def give(
    ctx: Context,
    sub: str,
    *,
    plan: str,
    until: datetime | None,
    count: int | None,
    reason: str,
    by: Reader,
    now: datetime,
    comp_id: str,
) -> Comp | ApprovalRequest:
    """
    Give a reader complimentary access to a plan. The reader need not be a subscriber.

    :param sub: the reader's, at the identity provider.
    :param count: the number of issues, instead of ``until``.
    :param comp_id: the ID of the comp; a repeated call with it has no further effect.
    :returns: the comp; above the limit a request that waits for a second person.
    :raises UnknownPlan: the plan does not exist.
    :raises CompIsOver: ``until`` has passed.
    :raises CalendarTooShort: fewer issues are planned.
    :raises OwnAccount: the reader is the member of staff.
    """
    ctx.rules.catalogue.plan(plan)
    check_beneficiary(sub, by=by.actor)
    async with ctx.sessions.begin() as session:
        existing = await _existing(session, comp_id)
        if existing is not None:
            return existing
        await approvals_db.lock_person(session, by.actor)
        calendar = await issues.calendar(session, ctx.rules.zone)
        ends = end_of_comp(until=until, issues=count, calendar=calendar, now=now)
        reader = await subscribers.ensure(session, sub=sub, email=None, name=None)
        comp = Comp(
            id=comp_id,
            subscriber_id=reader.id,
            plan=plan,
            issues=count,
            starts_at=now,
            until=ends,
            reason=reason,
            given_by=by.actor,
        )
        if days_of(now, ends) > await approvals.comp_days_left(session, ctx.rules, reader.id, by=by.actor, now=now):
            request = _request_of(comp)
            await approvals.request(session, request)
            return request
        await _add(session, ctx.rules, comp, reader, approved_by=None, now=now)
    return comp


async def approve(ctx: Context, request_id: str, *, by: str, now: datetime) -> Comp:
    """
    Give what was requested, from now on. A repeated approval has no further effect.

    :raises NotFound: the request does not exist.
    :raises OwnRequest: the approver has requested it.
    :raises OwnAccount: the approver would get it.
    :raises NotAwaitingApproval: it was already decided.
    :raises CompIsOver: its end has passed.
    :raises CalendarTooShort: fewer issues are planned.
    """
    async with ctx.sessions.begin() as session:
        request = await approvals.approve(session, request_id, ApprovalKind.COMP, by=by, now=now)
        if request is None:
            return await _find(session, request_id)
        assert request.plan is not None
        calendar = await issues.calendar(session, ctx.rules.zone)
        until = None if request.issues is not None else request.until
        comp = Comp(
            id=request.id,
            subscriber_id=request.subscriber_id,
            plan=request.plan,
            issues=request.issues,
            starts_at=now,
            until=end_of_comp(until=until, issues=request.issues, calendar=calendar, now=now),
            reason=request.reason,
            given_by=request.requested_by,
        )
        reader = await subscribers.lock(session, request.subscriber_id)
        await _add(session, ctx.rules, comp, reader, approved_by=by, now=now)
    return comp


async def _existing(session: Session, comp_id: str) -> Comp | ApprovalRequest | None:
    return await comps.by_id(session, comp_id) or await approvals_db.by_id(session, comp_id)


def _request_of(comp: Comp) -> ApprovalRequest:
    return ApprovalRequest(
        id=comp.id,
        kind=ApprovalKind.COMP,
        subscriber_id=comp.subscriber_id,
        amount=days_of(comp.starts_at, comp.until),
        plan=comp.plan,
        until=comp.until,
        issues=comp.issues,
        reason=comp.reason,
        note=None,
        requested_by=comp.given_by,
        status=ApprovalStatus.AWAITING_APPROVAL,
        created_at=comp.starts_at,
    )


async def _add(
    session: Session, rules: Rules, comp: Comp, reader: Subscriber, *, approved_by: str | None, now: datetime
) -> None:
    await comps.add(session, comp, grant_of(comp, rules.catalogue))
    await grants.rebuild(session, reader, now=now)
    approval = {"requested_by": comp.given_by} if approved_by is not None else {}
    await audit.record(
        session,
        actor=approved_by or comp.given_by,
        action="comp.given",
        object_id=comp.id,
        subscriber_id=reader.id,
        note=comp.reason,
        after={"plan": comp.plan, "until": comp.until.isoformat(), "issues": comp.issues, **approval},
    )


async def get(ctx: Context, comp_id: str) -> Comp:
    """
    Return a comp.

    :raises NotFound: the comp does not exist.
    """
    async with ctx.sessions.begin() as session:
        return await _find(session, comp_id)


async def _find(session: Session, comp_id: str) -> Comp:
    comp = await comps.by_id(session, comp_id)
    if comp is None:
        raise NotFound("No such complimentary access")
    return comp


async def revoke(ctx: Context, comp_id: str, *, reason: str | None, by: Reader, now: datetime) -> Comp:
    """
    Revoke complimentary access, immediately. Other grants are not affected.

    :raises NotFound: the comp does not exist, or it was already revoked.
    """
    async with ctx.sessions.begin() as session:
        comp = await comps.by_id(session, comp_id)
        if comp is None:
            raise NotFound("No such complimentary access")
        reader = await subscribers.lock(session, comp.subscriber_id)
        grant = grant_of(comp, ctx.rules.catalogue)
        if not await comps.remove(session, comp.id, grant.id, by=by.actor, at=now):
            raise NotFound("The complimentary access was already revoked")
        await grants.rebuild(session, reader, now=now)
        await audit.record(
            session,
            actor=by.actor,
            action="comp.taken_back",
            object_id=comp.id,
            subscriber_id=reader.id,
            note=reason,
            before={"until": comp.until.isoformat()},
            after={"until": now.isoformat()},
        )
    return replace(comp, removed_at=now, removed_by=by.actor)
