"""Where a reader lives, from everything that is stored about it."""

from app.db import addresses
from app.db.engine.fast_reads import Reads
from app.domain.places import Place, reader_place
from app.domain.subscriptions import Subscription


async def of_reader(session: Reads, subscriber_id: str, subscription: Subscription | None) -> Place:
    """
    Return where a reader lives; see :mod:`app.domain.places`.

    :param subscription: the reader's, which knows their card and their tax location.
    """
    postal = await addresses.permanent_place(session, subscriber_id)
    if subscription is None:
        return reader_place(postal=postal, tax=None, card_country=None)
    card = subscription.card
    return reader_place(
        postal=postal, tax=subscription.tax_location, card_country=card.country if card is not None else None
    )
