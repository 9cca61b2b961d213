"""The work queue: read by staff, each by their roles, and what they say about its items. Every change is audited."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime

from app.context import Context
from app.db import audit, staff_members, work_queue
from app.db.engine.fast_reads import FastReads
from app.db.engine.session import Session
from app.domain.callers import Reader
from app.domain.errors import NotFound
from app.domain.pages import BadCursor, Page, page_of
from app.domain.staff_members import MOST_STAFF, STAFF
from app.domain.work_queue import (
    ROLES,
    AssigneeLacksRole,
    ItemKind,
    Marks,
    Selection,
    UnknownAssignee,
    WorkItem,
    WorkItemChanged,
    check_snooze,
    check_version,
    kinds_for,
    require_role,
)

UNKNOWN = "This item is not in the queue. It may have been dealt with"


async def page(ctx: Context, wanted: Selection, *, after: str | None, limit: int, now: datetime) -> Page[WorkItem]:
    """
    Return the selected items, the most urgent first.

    :raises BadCursor: ``after`` is not a cursor.
    """
    position = _position(after) if after is not None else None
    async with ctx.sessions.begin() as session:
        found = await work_queue.page(session, wanted, after=position, limit=limit + 1, now=now)
    return page_of(found, limit, cursor=_cursor)


async def counts(ctx: Context, roles: Collection[str], *, now: datetime) -> Mapping[ItemKind, int]:
    """Return the number of items that people with these roles may act on, by kind. Counting stops after 100."""
    return await work_queue.counts(ctx.reads, kinds_for(roles), now=now)


async def counts_and_names(
    ctx: Context, roles: Collection[str], *, now: datetime
) -> tuple[Mapping[ItemKind, int], Mapping[str, str]]:
    """Return what every page of the console shows: these counts, and the name of each member of staff by their ``sub``."""
    async with FastReads.on_one_connection(ctx.pool) as read:
        members = await staff_members.newest(read, limit=MOST_STAFF)
        counted = await work_queue.counts(read, kinds_for(roles), now=now)
    return counted, {one.sub: one.name for one in members}


async def get(ctx: Context, item_id: str, *, roles: Collection[str]) -> WorkItem:
    """
    Return an item, asleep or not.

    :raises NotFound: it is not in the queue.
    :raises NotAllowed: the caller may not act on items of its kind.
    """
    async with ctx.sessions.begin() as session:
        return await _find(session, item_id, roles)


async def assign(
    ctx: Context, item_id: str, to: str | None, *, by: str, roles: Collection[str], version: int, now: datetime
) -> WorkItem:
    """
    Assign an item to a member of staff, or to nobody.

    :param to: the ``sub``.
    :param by: the actor, whose roles are ``roles``.
    :param version: of the item that the caller saw.
    :raises NotFound: the item is not in the queue.
    :raises NotAllowed: the caller may not act on items of its kind.
    :raises UnknownAssignee: the assignee has never signed in to the console.
    :raises AssigneeLacksRole: the assignee may not act on it.
    :raises WorkItemChanged: someone else changed it in the meantime.
    """

    async def change(session: Session, item: WorkItem) -> Marks:
        if to is not None and f"{STAFF}{to}" != by:
            member = await staff_members.find(session, to)
            if member is None:
                raise UnknownAssignee
            if ROLES[item.kind] not in member.roles:
                raise AssigneeLacksRole(role=ROLES[item.kind])
        return replace(item.marks, assigned_to=to)

    return await _change(ctx, item_id, change, "work_item.assigned", by=by, roles=roles, version=version, now=now)


async def snooze(
    ctx: Context, item_id: str, until: datetime | None, *, by: str, roles: Collection[str], version: int, now: datetime
) -> WorkItem:
    """
    Hide an item until a time, or until it changes. None wakes it up.

    :raises NotFound: the item is not in the queue.
    :raises NotAllowed: the caller may not act on items of its kind.
    :raises InvalidSnooze: the time has passed or is too far ahead.
    :raises SnoozeAfterDeadline: it is after the evidence deadline of a dispute.
    :raises WorkItemChanged: someone else changed it in the meantime.
    """

    async def change(_: Session, item: WorkItem) -> Marks:
        if until is not None:
            check_snooze(item, until, now=now)
        state = item.state if until is not None else None
        return replace(item.marks, snoozed_until=until, snoozed_state=state)

    action = "work_item.snoozed" if until is not None else "work_item.woken"
    return await _change(ctx, item_id, change, action, by=by, roles=roles, version=version, now=now)


async def note(
    ctx: Context, item_id: str, text: str | None, *, by: str, roles: Collection[str], version: int, now: datetime
) -> WorkItem:
    """
    Replace the note of an item. None removes it.

    :raises NotFound: the item is not in the queue.
    :raises NotAllowed: the caller may not act on items of its kind.
    :raises WorkItemChanged: someone else changed it in the meantime.
    """

    async def change(_: Session, item: WorkItem) -> Marks:
        return replace(item.marks, note=text)

    return await _change(
        ctx, item_id, change, "work_item.noted", by=by, roles=roles, version=version, now=now, words=text
    )


async def remember(ctx: Context, person: Reader, *, now: datetime) -> None:
    """Store the name of a member of staff who assigns something to themselves without the console."""
    if person.name or person.email:
        async with ctx.sessions.begin() as session:
            await staff_members.save(session, person, at=now)


async def _find(session: Session, item_id: str, roles: Collection[str]) -> WorkItem:
    item = await work_queue.find(session, item_id)
    if item is None:
        raise NotFound(UNKNOWN)
    require_role(item.kind, roles)
    return item


async def _change(
    ctx: Context,
    item_id: str,
    change: Callable[[Session, WorkItem], Awaitable[Marks]],
    action: str,
    *,
    by: str,
    roles: Collection[str],
    version: int,
    now: datetime,
    words: str | None = None,
) -> WorkItem:
    """Change an item at the version that the caller saw. A change that was already made has no further effect."""
    async with ctx.sessions.begin() as session:
        item = await _find(session, item_id, roles)
        marks = await change(session, item)
        if marks == item.marks:
            return item
        check_version(item.marks, version)
        if not await work_queue.save(session, item_id, marks, now=now):
            raise WorkItemChanged
        await audit.record(
            session,
            actor=by,
            action=action,
            object_id=item_id,
            subscriber_id=item.subscriber_id,
            note=words,
            before=_recorded(item, item.marks),
            after=_recorded(item, marks),
        )
        return replace(item, marks=replace(marks, version=marks.version + 1))


def _recorded(item: WorkItem, marks: Marks) -> dict[str, object]:
    return {
        "kind": item.kind,
        "assigned_to": f"{STAFF}{marks.assigned_to}" if marks.assigned_to else None,
        "snoozed_until": marks.snoozed_until.isoformat() if marks.snoozed_until else None,
    }


def _cursor(item: WorkItem) -> str:
    return f"{item.kind}~{item.at.isoformat() if item.at else ''}~{item.id}"


def _position(cursor: str) -> tuple[ItemKind, datetime | None, str]:
    kind, _, rest = cursor.partition("~")
    at, _, item_id = rest.partition("~")
    try:
        position = ItemKind(kind), datetime.fromisoformat(at) if at else None, item_id
    except ValueError:
        raise BadCursor from None
    if not item_id or (position[1] is not None and position[1].tzinfo is None):
        raise BadCursor
    return position
