"""
Grants, and the entitlement row that is rebuilt from all of them.

Whoever changes a grant holds the subscriber's row lock, so the entitlement row always tells of all grants at once.
"""

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from app.db import issues, subscriptions
from app.db.models import Entitlement
from app.db.models import Grant as Row
from app.db.session import Session
from app.db.subscribers import Subscriber
from app.domain.entitlements import Grant, dump, dump_features, load_features, unite
from app.domain.grants import grants_of, lapse_of
from app.domain.issues import lay_out
from app.domain.plans import AccessPolicy, Catalogue
from app.domain.subscriptions import Subscription


async def derive(
    session: Session, subscriber: Subscriber, subscription: Subscription, catalogue: Catalogue, policy: AccessPolicy
) -> None:
    """Replace what a subscription grants by what follows from its terms now. The subscriber's row is locked."""
    terms = await subscriptions.terms_of(session, subscription.id)
    calendar = await issues.calendar(session, policy.zone, held=True)
    runs = lay_out(subscription, terms, calendar, catalogue)
    until = {run.term.invoice_id: run.editions_until() for run in runs}
    granted = grants_of(
        subscription,
        terms,
        catalogue,
        policy,
        editions_until={invoice_id: at for invoice_id, at in until.items() if at is not None},
    )
    await replace(session, subscriber.id, subscription.id, granted)
    await issues.note_last(session, {run.term.invoice_id: run.noted() for run in runs})
    await rebuild(session, subscriber)


async def replace(session: Session, subscriber_id: str, subscription_id: str, grants: Sequence[Grant]) -> None:
    """Make ``grants`` all that the subscription grants."""
    await session.execute(delete(Row).where(Row.subscription_id == subscription_id))
    for grant in grants:
        await session.execute(
            insert(Row).values(
                id=grant.id,
                subscriber_id=subscriber_id,
                subscription_id=subscription_id,
                source=grant.source,
                features=dump_features(grant.features),
            )
        )


async def rebuild(session: Session, subscriber: Subscriber) -> None:
    """Write the entitlement row anew, from all grants. Its version rises when it says something else than before."""
    rows = await session.scalars(select(Row).where(Row.subscriber_id == subscriber.id).order_by(Row.id))
    grants = [Grant(id=row.id, source=row.source, features=load_features(row.features)) for row in rows]
    lapses = []
    for subscription in await subscriptions.of_subscriber(session, subscriber.id):
        lapses.append(lapse_of(subscription, await subscriptions.terms_of(session, subscription.id)))
    access = dump(unite(grants, lapses))
    made = insert(Entitlement).values(sub=subscriber.sub, subscriber_id=subscriber.id, version=1, access=access)
    await session.execute(
        made.on_conflict_do_update(
            index_elements=[Entitlement.sub],
            set_={"access": made.excluded.access, "version": Entitlement.version + 1},
            where=Entitlement.access != made.excluded.access,
        )
    )
