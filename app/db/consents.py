"""What readers agreed to when they subscribed; see :mod:`app.domain.consents`. It never changes."""

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert

from app.db.engine.fast_reads import Reads
from app.db.engine.session import Session
from app.db.models import Checkout, table_of
from app.db.models import Consent as Row
from app.domain.consents import Consent, ConsentDetails

MOST = 50  # of one reader
_ROWS, _CHECKOUTS = table_of(Row), table_of(Checkout)
_OF_SUBSCRIBER = (
    select(*_ROWS.c, _CHECKOUTS.c.stripe_subscription_id)
    .outerjoin(_CHECKOUTS, _CHECKOUTS.c.id == _ROWS.c.checkout_id)
    .where(_ROWS.c.subscriber_id == bindparam("subscriber"))
    .order_by(_ROWS.c.agreed_at.desc(), _ROWS.c.id.desc())
    .limit(MOST)
)


async def save(session: Session, consent: Consent) -> None:
    """Store a consent. The same one to the same checkout is stored once."""
    made = insert(Row).values(
        id=consent.id,
        checkout_id=consent.checkout_id,
        subscriber_id=consent.subscriber_id,
        agreed_at=consent.agreed_at,
        shown=dict(consent.shown),
        digest=consent.digest,
        ip=consent.details.ip,
        user_agent=consent.details.user_agent,
        terms_version=consent.details.terms_version,
    )
    await session.execute(made.on_conflict_do_nothing(index_elements=[Row.checkout_id, Row.digest]))


async def of_subscriber(session: Reads, subscriber_id: str) -> list[Consent]:
    """Return a reader's consents, the newest first."""
    return [
        Consent(
            id=row.id,
            checkout_id=row.checkout_id,
            subscriber_id=row.subscriber_id,
            agreed_at=row.agreed_at,
            shown=row.shown,
            digest=row.digest,
            details=ConsentDetails(ip=row.ip, user_agent=row.user_agent, terms_version=row.terms_version),
            stripe_subscription_id=row.stripe_subscription_id,
        )
        for row in await session.execute(_OF_SUBSCRIBER, {"subscriber": subscriber_id})
    ]
