"""Support gives access that nobody pays for, and takes it back."""

from dataclasses import replace
from datetime import datetime

from app.context import Context
from app.db import audit, comps, grants, issues, subscribers
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
    Give a reader access, by the identity provider's ``sub``; they need never have been here.

    :param count: for so many issues, instead of until a time.
    :param comp_id: what it is called; told again, it is given once.
    :raises UnknownPlan: there is no such plan.
    :raises CompIsOver: ``until`` has passed.
    :raises CalendarTooShort: fewer issues are planned.
    """
    ctx.rules.catalogue.plan(plan)
    async with ctx.sessions.begin() as session:
        given = await comps.by_id(session, comp_id) if comp_id is not None else None
        if given is not None:
            return given
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


async def found(ctx: Context, comp_id: str) -> Comp:
    """
    Return a comp.

    :raises NotFound: there is no such comp.
    """
    async with ctx.sessions.begin() as session:
        comp = await comps.by_id(session, comp_id)
    if comp is None:
        raise NotFound("there is no such comp")
    return comp


async def take_back(ctx: Context, comp_id: str, *, reason: str | None, by: Reader, now: datetime) -> Comp:
    """
    Take a comp back, at once. What other grants give stays.

    :raises NotFound: there is no such comp, or it was taken back before.
    """
    async with ctx.sessions.begin() as session:
        found = await comps.by_id(session, comp_id)
        if found is None:
            raise NotFound("there is no such comp")
        reader = await subscribers.lock(session, found.subscriber_id)
        grant = grant_of(found, ctx.rules.catalogue)
        if not await comps.remove(session, found.id, grant.id, by=by.actor, at=now):
            raise NotFound("the comp was taken back before")
        await grants.rebuild(session, reader, now=now)
        await audit.record(
            session,
            actor=by.actor,
            action="comp.taken_back",
            object_id=found.id,
            subscriber_id=reader.id,
            note=reason,
            before={"until": found.until.isoformat()},
            after={"until": now.isoformat()},
        )
    return replace(found, removed_at=now, removed_by=by.actor)
