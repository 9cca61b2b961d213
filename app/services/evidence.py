"""Evidence for a dispute: everything that is kept about one reader. Whoever sees it is recorded."""

from collections.abc import Mapping
from datetime import datetime

from app.aggregates import reader_views
from app.context import Context
from app.db import (
    addresses,
    audit,
    comps,
    consents,
    declarations,
    disputes,
    notifications,
    payments,
    refunds,
    sent_copies,
    subscribers,
    subscriptions,
)
from app.domain.errors import NotFound
from app.domain.evidence import Evidence, Message
from app.domain.history import ReaderRecords, history_of
from app.domain.reader_views import Viewer

STAFF = "staff:"
MOST_MESSAGES = 500


async def of_reader(ctx: Context, subscriber_id: str, *, viewer: Viewer, now: datetime) -> Evidence:
    """
    Return the evidence about a reader.

    :raises NotFound: the reader does not exist.
    """
    read = ctx.reads
    subscriber = await subscribers.by_id(read, subscriber_id)
    if subscriber is None:
        raise NotFound("No such reader")
    await reader_views.record(ctx.reads, [subscriber.id], viewer)
    terms = await subscriptions.terms_by_subscription(read, subscriber.id)
    own = [(one, terms.get(one.id, [])) for one in await subscriptions.of_subscriber(read, subscriber.id)]
    records = ReaderRecords(
        subscriptions=own,
        payments=await payments.of_subscriber(read, subscriber.id),
        refunds=await refunds.of_subscriber(read, subscriber.id),
        disputes=await disputes.of_subscriber(read, subscriber.id),
        comps=await comps.of_subscriber(read, subscriber.id),
        actions=await audit.list_for_subscriber(read, subscriber.id),
        stripe_events=(),
    )
    saved = await addresses.of_subscriber(read, subscriber.id, today=now.astimezone(ctx.rules.zone).date())
    permanent = [one for one in saved if one.period is None]
    return Evidence(
        publisher=ctx.catalogue.publisher,
        subscriber_id=subscriber.id,
        name=subscriber.name,
        email=subscriber.email,
        address=permanent[0].checked.lines if permanent else (),
        created_at=now,
        consents=await consents.of_subscriber(read, subscriber.id),
        declarations=await declarations.of_subscriber(read, subscriber.id),
        payments=records.payments,
        copies=await sent_copies.of_subscriptions(read, [one.id for one, _ in own]),
        messages=[
            Message(
                kind=one.kind,
                channel=one.channel,
                at=one.settled_at or one.rendered_at or one.send_at,
                result=" ".join(filter(None, (one.status, one.result, one.bounce))),
                text=f"{one.subject or ''}\n{one.text}",
            )
            for one in await notifications.of_reader(read, subscriber.id, limit=MOST_MESSAGES)
            if one.text is not None
        ],
        history=history_of(records, ctx.localization, names=_unnamed(records)),
    )


def _unnamed(records: ReaderRecords) -> Mapping[str, str]:
    """Return the same name for every member of staff: the file goes to a bank, which needn't know them."""
    actors = [
        *(one.actor for one in records.actions),
        *(one.requested_by for one in records.refunds),
        *(actor for one in records.comps for actor in (one.given_by, one.removed_by) if actor is not None),
        *(one.ended_by for one, _ in records.subscriptions if one.ended_by is not None),
    ]
    return {actor.removeprefix(STAFF): "our staff" for actor in actors if actor.startswith(STAFF)}
