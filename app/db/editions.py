"""
Editions: the calendar and the history of offers, from which grants are derived.

Each change of either stores a new token, so that each process can cache the edition. Whoever derives grants holds a shared
lock on the *edition*, not on the calendar: a change publishes the next edition without waiting for them, and nobody waits
for a change. What is derived again after a change is looked for when no transaction holds the lock on an older edition,
because such a transaction may still commit what it derived from that edition.
"""

import secrets
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from cachetools import LRUCache
from sqlalchemy import bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT, insert

from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session
from app.db.models import CalendarEdition, NotificationPolicies, OfferVersion, StoredOffer, table_of
from app.db.models import Issue as IssueRow
from app.domain.derivations import Edition
from app.domain.issues import Calendar, Issue
from app.domain.notification_policies import RecordedPolicies, dump, load
from app.domain.offers import Offer, OfferHistory
from app.domain.offers import OfferVersion as Version

CHANGE_LOCK = 5_720_240_116  # one change at a time; the release before derives grants under the same lock
CUTOFF_LOCK = 5_720_240_117  # held by freezes; shared by requests that may have begun before the cut-off
EDITION_LOCKS = 6_207_113  # the class of the locks on editions; any number that no other lock with two numbers uses
_editions: LRUCache[tuple[str, str], Edition] = LRUCache(maxsize=8)  # by token and time zone
_TOKEN = select(table_of(CalendarEdition).c.token)
_LOCK_SHARED = text(
    f"SELECT token, pg_advisory_xact_lock_shared({EDITION_LOCKS}, hashtext(coalesce(token, '')))"  # noqa: S608 - a number
    " FROM (SELECT max(token) AS token FROM calendar_edition) AS edition"
)
_ARE_UNUSED = text(
    f"SELECT bool_and(pg_try_advisory_xact_lock({EDITION_LOCKS}, hashtext(token))) FROM unnest(:tokens) AS old (token)"  # noqa: S608
).bindparams(bindparam("tokens", type_=ARRAY(TEXT)))
_ISSUES = select(*table_of(IssueRow).c)
_OFFERS = table_of(StoredOffer)
_POLICIES = select(*table_of(NotificationPolicies).c).order_by(table_of(NotificationPolicies).c.id)
_VERSIONS = (
    select(OfferVersion.__table__.c.since, _OFFERS.c.content)
    .join(_OFFERS, _OFFERS.c.id == OfferVersion.__table__.c.offer)
    .order_by(OfferVersion.__table__.c.id)
)


async def current(session: Reads, zone: ZoneInfo) -> Edition:
    """Return the current edition, with one small query unless it changed."""
    return await _with_token(session, zone, await _token(session))


async def locked(session: Session, zone: ZoneInfo) -> Edition:
    """Return the current edition, and lock it until this transaction ends, because what is written depends on it."""
    while True:
        (row,) = (await session.execute(_LOCK_SHARED, {})).all()
        token = await _token(session)
        if token == row.token:  # it was not replaced before we got the lock
            return await _with_token(session, zone, token)


async def are_unused(session: Session, tokens: Sequence[str]) -> bool:
    """Return whether no transaction derives from these editions anymore. They are not current, so none will."""
    return bool(await session.scalar(_ARE_UNUSED, {"tokens": list(tokens)})) if tokens else True


async def lock_changes(session: Session) -> None:
    """Wait until no other transaction changes the calendar or the offers, and keep others from it until this one ends."""
    await session.execute(select(func.pg_advisory_xact_lock(CHANGE_LOCK)))


async def lock_cutoffs(session: Session) -> None:
    """Wait for the transactions that share the cut-offs, and keep others from it until this one ends."""
    await session.execute(select(func.pg_advisory_xact_lock(CUTOFF_LOCK)))


async def share_cutoffs(session: Session) -> None:
    """Wait until no labels are being frozen, and keep freezes waiting until this transaction ends."""
    await session.execute(select(func.pg_advisory_xact_lock_shared(CUTOFF_LOCK)))


async def publish(session: Session) -> str:
    """
    Publish the next edition when this transaction commits. The caller has locked changes.

    :returns: the token of the edition that it replaces; empty if it is the first.
    """
    before = await _token(session)
    made = insert(CalendarEdition).values(id=True, token=secrets.token_hex(16))
    await session.execute(
        made.on_conflict_do_update(index_elements=[CalendarEdition.id], set_={"token": made.excluded.token})
    )
    return before or ""


async def add_offers(session: Session, versions: Sequence[Version]) -> None:
    """Append to the history of offers. The caller publishes the edition."""
    await save_offers(session, [version.offer for version in versions])
    for version in versions:
        session.add(OfferVersion(plan=version.offer.plan, offer=version.offer.id, since=version.since))
    await session.flush()


async def add_policies(session: Session, recorded: RecordedPolicies) -> None:
    """Append to the history of the policies for notifications. The caller publishes the edition."""
    session.add(NotificationPolicies(content={"entries": dump(recorded.policies)}, since=recorded.since))
    await session.flush()


async def save_offers(session: Session, offers: Sequence[Offer]) -> None:
    """Store offers, so that terms can refer to them. Stored ones never change."""
    stored = {offer.id: offer for offer in offers}
    if stored:
        rows = [{"id": key, "content": offer.dump()} for key, offer in sorted(stored.items())]
        await session.execute(insert(StoredOffer).on_conflict_do_nothing(), rows)


async def _token(session: Reads) -> str | None:
    return next((str(row.token) for row in await session.execute(_TOKEN, {})), None)


async def _with_token(session: Reads, zone: ZoneInfo, token: str | None) -> Edition:
    if token is None:
        return Edition(token=None, calendar=Calendar((), zone), offers=OfferHistory(()))
    known = _editions.get((token, zone.key))
    if known is None:
        issues = list(await session.execute(_ISSUES, {}))
        versions = list(await session.execute(_VERSIONS, {}))
        policies = list(await session.execute(_POLICIES, {}))
        # A change may have been committed in between: then the rows are of a newer edition.
        if await _token(session) != token:
            return await current(session, zone)
        known = _editions[token, zone.key] = Edition(
            token=token,
            calendar=Calendar((issue_of(row) for row in issues), zone),
            offers=OfferHistory(Version(Offer.load(row.content), row.since) for row in versions),
            policies=tuple(RecordedPolicies(load(row.content["entries"]), row.since) for row in policies),
        )
    return known


def issue_of(row: IssueRow | Record) -> Issue:
    """Return the issue in a row with all columns."""
    return Issue(
        number=row.number,
        title=row.title,
        cover_date=row.cover_date,
        planned_mail_date=row.planned_mail_date,
        actual_mail_date=row.actual_mail_date,
        label_cutoff=row.label_cutoff,
        counts_as=row.counts_as,
        frozen_at=row.frozen_at,
    )
