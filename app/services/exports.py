"""Exporting everything that is stored about one reader, here and at Stripe."""

from datetime import datetime

from app import observability
from app.aggregates import reader_views
from app.context import Context
from app.db import audit, erasures, subscribers
from app.domain.errors import NotFound
from app.domain.exports import Export, without_staff
from app.domain.reader_views import Place, Viewer
from app.gateway import personal_data as at_stripe

SECRETS = frozenset({"client_secret"})  # of payments: whoever has one can act for the reader


async def export(ctx: Context, subscriber_id: str, *, by: str, now: datetime) -> Export:
    """
    Return everything that is stored about a reader. Who exported it is recorded.

    :param now: real time.
    :raises NotFound: the reader does not exist.
    :raises StripeUnavailable: Stripe's part could not be fetched.
    """
    async with ctx.sessions.begin() as session:
        subscriber = await subscribers.by_id(session, subscriber_id)
        if subscriber is None:
            raise NotFound("No such reader")
        here = await erasures.rows_of(session, subscriber.id, sub=subscriber.sub)
        await audit.record(
            session, actor=by, action="reader.exported", object_id=subscriber.id, subscriber_id=subscriber.id
        )
    await reader_views.record(ctx.reads, [subscriber.id], Viewer(actor=by, place=Place.EXPORT))
    theirs = []
    if subscriber.stripe_customer_id is not None:
        theirs.append(await at_stripe.fetch_all(ctx.gateway, subscriber.stripe_customer_id))
    return Export(
        subscriber_id=subscriber.id,
        exported_at=now,
        here=without_staff(here),
        at_stripe=[{name: _plain(found) for name, found in one.items()} for one in theirs],
    )


def _plain(found: object) -> object:
    """Return Stripe's JSON without secrets."""
    return observability.redact(found, also=SECRETS)
