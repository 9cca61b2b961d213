"""Complimentary access: given by support, and revoked."""

from dataclasses import replace
from datetime import datetime

from app.aggregates import grants
from app.context import Context
from app.db import audit, comps, issues, subscribers
from app.db.engine.session import new_id
from app.domain.callers import Reader
from app.domain.comps import Comp, end_of_comp, grant_of
from app.domain.errors import NotFound


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
    comp_id: str | None = None,
) -> Comp:
    """
    Give a reader complimentary access to a plan. The reader need not be a subscriber.

    :param sub: the reader's, at the identity provider.
    :param count: the number of issues, instead of ``until``.
    :param comp_id: the ID of the comp; a repeated call with it has no further effect.
    :raises UnknownPlan: the plan does not exist.
    :raises CompIsOver: ``until`` has passed.
    :raises CalendarTooShort: fewer issues are planned.
    """
    ctx.rules.catalogue.plan(plan)
    async with ctx.sessions.begin() as session:
        existing = await comps.by_id(session, comp_id) if comp_id is not None else None
        if existing is not None:
            return existing
        calendar = await issues.calendar(session, ctx.rules.zone)
        ends = end_of_comp(until=until, issues=count, calendar=calendar, now=now)
        reader = await subscribers.ensure(session, sub=sub, email=None, name=None)
        comp = Comp(
            id=comp_id or new_id("cmp"),
            subscriber_id=reader.id,
            plan=plan,
            issues=count,
            starts_at=now,
            until=ends,
            reason=reason,
            given_by=by.actor,
        )
        await comps.add(session, comp, grant_of(comp, ctx.rules.catalogue))
        await grants.rebuild(session, reader, now=now)
        await audit.record(
            session,
            actor=by.actor,
            action="comp.given",
            object_id=comp.id,
            subscriber_id=reader.id,
            note=reason,
            after={"plan": plan, "until": ends.isoformat(), "issues": count},
        )
    return comp


async def get(ctx: Context, comp_id: str) -> Comp:
    """
    Return a comp.

    :raises NotFound: the comp does not exist.
    """
    async with ctx.sessions.begin() as session:
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
