"""Grants, and the entitlement row that unites a subscriber's grants."""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as replace_of

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session
from app.db.models import Entitlement, table_of
from app.db.models import Grant as Row
from app.db.subscribers import Subscriber
from app.domain.entitlements import EntitlementSet, Grant, dump, dump_features, load, load_features

# Built once, with SQLAlchemy Core: they run for each event.
_GRANTS, _ENTITLEMENTS = table_of(Row), table_of(Entitlement)
_OF_SUBSCRIBER = select(*_GRANTS.c).where(_GRANTS.c.subscriber_id == bindparam("subscriber")).order_by(_GRANTS.c.id)
_ENTITLEMENT_OF = select(_ENTITLEMENTS.c.access, _ENTITLEMENTS.c.version).where(
    _ENTITLEMENTS.c.sub == bindparam("its_sub")
)
_ADD, _ADD_ENTITLEMENT = insert(_GRANTS), insert(_ENTITLEMENTS)
_SAVE_ENTITLEMENT = update(_ENTITLEMENTS).where(_ENTITLEMENTS.c.sub == bindparam("its_sub"))
_DELETE = delete(_GRANTS).where(_GRANTS.c.subscription_id == bindparam("its_subscription"))


@dataclass(frozen=True, slots=True)
class StoredEntitlement:
    """An entitlement and its version."""

    access: EntitlementSet
    version: int


async def replace(session: Session, subscriber_id: str, subscription_id: str, grants: Sequence[Grant]) -> list[Grant]:
    """
    Replace the grants of a subscription. Nothing is written if they are the same.

    :returns: all grants of the subscriber, those of other subscriptions first.
    """
    rows = (await session.execute(_OF_SUBSCRIBER, {"subscriber": subscriber_id})).all()
    after = {g.id: {"id": g.id, "source": g.source, "features": dump_features(g.features)} for g in grants}
    before = {
        row.id: {"id": row.id, "source": row.source, "features": row.features}
        for row in rows
        if row.subscription_id == subscription_id
    }
    if before and before != after:
        await session.execute(_DELETE, {"its_subscription": subscription_id})
    if after and before != after:
        owner = {"subscriber_id": subscriber_id, "subscription_id": subscription_id}
        await session.execute(_ADD, [{**one, **owner} for one in after.values()])
    others = [_grant(row) for row in rows if row.subscription_id != subscription_id]
    return [*others, *map(_as_stored, grants)]


async def of_subscriber(session: Reads, subscriber_id: str) -> list[Grant]:
    """Return all current grants of a subscriber."""
    return [_grant(row) for row in await session.execute(_OF_SUBSCRIBER, {"subscriber": subscriber_id})]


async def by_subscription(session: Reads, subscriber_id: str) -> dict[str | None, list[Grant]]:
    """Return all current grants of a subscriber by their subscription; None: they have none, such as a comp."""
    found: dict[str | None, list[Grant]] = {}
    for row in await session.execute(_OF_SUBSCRIBER, {"subscriber": subscriber_id}):
        found.setdefault(row.subscription_id, []).append(_grant(row))
    return found


async def save_entitlement(
    session: Session, subscriber: Subscriber, access: EntitlementSet
) -> StoredEntitlement | None:
    """
    Save what a subscriber may use, with the next version.

    Every process that has cached the entitlement is notified at commit, by a trigger of the table.

    :returns: the entitlement that was replaced; None if it is the first one or nothing changed.
    """
    row = (await session.execute(_ENTITLEMENT_OF, {"its_sub": subscriber.sub})).one_or_none()
    stored = dump(access)
    if row is None:
        new = {"sub": subscriber.sub, "subscriber_id": subscriber.id, "version": 1, "access": stored}
        await session.execute(_ADD_ENTITLEMENT, new)
        return None
    if row.access == stored:
        return None
    await session.execute(_SAVE_ENTITLEMENT, {"its_sub": subscriber.sub, "access": stored, "version": row.version + 1})
    return StoredEntitlement(access=load(row.access), version=row.version)


def _grant(row: Record) -> Grant:
    return Grant(id=row.id, source=row.source, features=load_features(row.features))


def _as_stored(grant: Grant) -> Grant:
    """Return a grant as it will be read: in whole seconds."""
    features = {
        name: tuple(
            replace_of(
                period, starts_at=period.starts_at.replace(microsecond=0), until=period.until.replace(microsecond=0)
            )
            for period in periods
        )
        for name, periods in grant.features.items()
    }
    return replace_of(grant, features=features)
