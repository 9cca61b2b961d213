"""Grants, and the entitlement row that unites a subscriber's grants."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from dataclasses import replace as replace_of
from typing import Any, Self, cast

from sqlalchemy import BigInteger, ColumnElement, bindparam, delete, func, literal_column, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, TEXT, insert

from app.db.engine.change_feed import ENTITLEMENTS
from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session, notify_after_commit
from app.db.models import JSON, Entitlement, table_of
from app.db.models import Grant as Row
from app.db.subscribers import Subscriber
from app.domain.entitlements import EntitlementSet, Grant, dump, dump_features, load, load_features

# Built once, with SQLAlchemy Core: they run for each event.
_GRANTS, _ENTITLEMENTS = table_of(Row), table_of(Entitlement)
_OF_SUBSCRIBER = select(*_GRANTS.c).where(_GRANTS.c.subscriber_id == bindparam("subscriber")).order_by(_GRANTS.c.id)
_ENTITLEMENT_OF = select(_ENTITLEMENTS.c.access, _ENTITLEMENTS.c.version).where(
    _ENTITLEMENTS.c.sub == bindparam("its_sub")
)
_THIS_TRANSACTION: ColumnElement[int] = literal_column("pg_current_xact_id()::text::bigint", BigInteger)
_ADD, _ADD_ENTITLEMENT = insert(_GRANTS), insert(_ENTITLEMENTS).values(changed_in=_THIS_TRANSACTION)
_SAVE_ENTITLEMENT = (
    update(_ENTITLEMENTS)
    .where(_ENTITLEMENTS.c.sub == bindparam("its_sub"))
    .values(access=bindparam("after"), version=_ENTITLEMENTS.c.version + 1, changed_in=_THIS_TRANSACTION)
)
_OF_SUBSCRIBERS = (
    select(*_GRANTS.c)
    .where(_GRANTS.c.subscriber_id == func.any(bindparam("subscribers", type_=ARRAY(TEXT))))
    .order_by(_GRANTS.c.id)
)
_ENTITLEMENTS_OF = select(_ENTITLEMENTS.c.sub, _ENTITLEMENTS.c.access, _ENTITLEMENTS.c.version).where(
    _ENTITLEMENTS.c.sub == func.any(bindparam("subs", type_=ARRAY(TEXT)))
)
# Above every revocation: one of an erased reader who returns with the same ``sub`` must not apply to their new tokens. A row
# that is being published is in one of both tables. Both are small, because only tokens that haven't expired matter. After a
# restored backup, edge servers know revocations that are not in these tables.
_FIRST_VERSION = text(
    """
    SELECT coalesce(max(version), 0) + 1 FROM (
        SELECT version FROM pending_revocations WHERE sub = :its_sub
        UNION ALL SELECT version FROM revocations WHERE sub = :its_sub
        UNION ALL SELECT numbers_from FROM recoveries
    ) AS revoked
    """
)
_SAVE_ENTITLEMENTS = text(
    """
    UPDATE entitlements SET access = CAST(changed.access AS jsonb), version = version + 1,
        changed_in = pg_current_xact_id()::text::bigint
    FROM unnest(:subs, :accesses) AS changed (sub, access) WHERE entitlements.sub = changed.sub
    """
).bindparams(bindparam("subs", type_=ARRAY(TEXT)), bindparam("accesses", type_=ARRAY(TEXT)))
_DELETE = delete(_GRANTS).where(_GRANTS.c.subscription_id == bindparam("its_subscription"))


@dataclass(frozen=True, slots=True)
class StoredEntitlement:
    """An entitlement and its version."""

    access: EntitlementSet
    version: int


@dataclass(frozen=True, slots=True)
class EntitlementChange:
    """An entitlement was saved. ``before`` is the one that it replaced; None: it is the reader's first."""

    before: StoredEntitlement | None


@dataclass(frozen=True, slots=True)
class StoredGrant:
    """A grant as it is stored, and its stored features, which are faster to compare."""

    id: str
    subscriber_id: str
    subscription_id: str | None
    source: str
    features: Mapping[str, object]

    @classmethod
    def of(cls, grant: Grant, subscriber_id: str, subscription_id: str | None) -> Self:
        """Return a grant as it will be stored."""
        return cls(grant.id, subscriber_id, subscription_id, grant.source, dump_features(grant.features))

    @property
    def grant(self) -> Grant:
        """The grant, in whole seconds."""
        return Grant(id=self.id, source=self.source, features=load_features(cast("Any", self.features)))


async def stored_of(session: Session, subscriber_ids: Sequence[str]) -> dict[str, dict[str, StoredGrant]]:
    """Return all current grants of several subscribers, by subscriber and ID."""
    found: dict[str, dict[str, StoredGrant]] = {}
    for row in await session.execute(_OF_SUBSCRIBERS, {"subscribers": list(subscriber_ids)}):
        stored = StoredGrant(row.id, row.subscriber_id, row.subscription_id, row.source, row.features)
        found.setdefault(row.subscriber_id, {})[row.id] = stored
    return found


async def replace_many(session: Session, replaced: Sequence[str], added: Sequence[StoredGrant]) -> None:
    """Delete grants by ID, and insert others."""
    if replaced:
        await session.execute(delete(_GRANTS).where(_GRANTS.c.id.in_(replaced)))
    if added:
        await session.execute(_ADD, [asdict(one) for one in added])


async def save_entitlements(
    session: Session, accesses: Sequence[tuple[Subscriber, EntitlementSet]]
) -> dict[str, StoredEntitlement | None]:
    """
    Save what several subscribers may use, as :func:`save_entitlement` does.

    :returns: by ``sub``, the entitlements that were replaced; None if it is the first one.
    """
    if not accesses:
        return {}
    rows = await session.execute(_ENTITLEMENTS_OF, {"subs": [subscriber.sub for subscriber, _ in accesses]})
    stored = {row.sub: row for row in rows}
    replaced: dict[str, StoredEntitlement | None] = {}
    for subscriber, access in accesses:
        row, after = stored.get(subscriber.sub), dump(access)
        if row is None:
            await _add_entitlement(session, subscriber, after)
            replaced[subscriber.sub] = None
        elif row.access != after:
            replaced[subscriber.sub] = StoredEntitlement(access=load(row.access), version=row.version)
    changed = [(one.sub, json.dumps(dump(access))) for one, access in accesses if replaced.get(one.sub) is not None]
    if changed:
        values = {"subs": [sub for sub, _ in changed], "accesses": [access for _, access in changed]}
        await session.execute(_SAVE_ENTITLEMENTS, values)
    for sub in replaced:
        notify_after_commit(session, ENTITLEMENTS, sub)
    return replaced


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
) -> EntitlementChange | None:
    """
    Save what a subscriber may use, with the next version.

    Every process that has cached the entitlement is notified after the commit, and finds the change by itself within a
    second (see :mod:`app.db.engine.change_feed`).

    :returns: the change; None if there is none.
    """
    row = (await session.execute(_ENTITLEMENT_OF, {"its_sub": subscriber.sub})).one_or_none()
    stored = dump(access)
    if row is None:
        await _add_entitlement(session, subscriber, stored)
        notify_after_commit(session, ENTITLEMENTS, subscriber.sub)
        return EntitlementChange(before=None)
    if row.access == stored:
        return None
    await session.execute(_SAVE_ENTITLEMENT, {"its_sub": subscriber.sub, "after": stored})
    notify_after_commit(session, ENTITLEMENTS, subscriber.sub)
    return EntitlementChange(StoredEntitlement(access=load(row.access), version=row.version))


async def _add_entitlement(session: Session, subscriber: Subscriber, access: JSON) -> None:
    version = await session.scalar(_FIRST_VERSION, {"its_sub": subscriber.sub})
    new = {"sub": subscriber.sub, "subscriber_id": subscriber.id, "version": version, "access": access}
    await session.execute(_ADD_ENTITLEMENT, new)


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
