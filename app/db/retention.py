"""What the nightly job removes: personal data that has no use anymore. The register is in :mod:`app.db.personal_data`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from sqlalchemy import Integer, String, bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import INTERVAL, insert

from app.db.engine.session import Session
from app.db.models import RetentionRun as Row
from app.settings import Settings

NIGHTLY = "nightly"
START = "(0,0)"  # the place before the first row of a table
EVIDENCE_KEPT = timedelta(days=3 * 366)
# Whether everything that the reader of a row subscribed to has ended a year ago.
_HAS_ENDED = (
    "NOT EXISTS (SELECT FROM subscriptions WHERE subscriptions.subscriber_id = {table}.subscriber_id"
    " AND coalesce(subscriptions.ended_at, subscriptions.ended_here_at, 'infinity') > now() - interval '1 year')"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """Data that the nightly job removes. The statement uses ``:kept``, ``:after`` and ``:limit``: see :func:`_expire`."""

    what: str
    kept: str | timedelta  # the name of the setting, or a fixed time
    statement: str

    def kept_for(self, settings: Settings) -> timedelta:
        """Return how long the data is kept."""
        if isinstance(self.kept, timedelta):
            return self.kept
        found: timedelta = getattr(settings, self.kept)
        return found


def _expire(table: str, change: str, condition: str, *, others: Mapping[str, str] = MappingProxyType({})) -> str:
    """
    Return a statement that changes or deletes up to ``:limit`` rows, and returns how many and where the last of them was.

    It looks behind the place where the one before it ended. From the start, each would read again what it has to keep, and
    what those before it have deleted.

    :param others: what else is changed, by name; it may use the ``subscriber_id`` of the ``expired`` rows.
    """
    columns = "ctid AS place" + (", subscriber_id" if others else "")
    also = "".join(f", {name} AS ({statement})" for name, statement in others.items())
    return (
        f"WITH expired AS MATERIALIZED (SELECT {columns} FROM {table}"  # noqa: S608 - of those below
        f" WHERE ctid > CAST(CAST(:after AS text) AS tid) AND ({condition}) LIMIT :limit FOR UPDATE SKIP LOCKED){also},"
        f" done AS ({change} WHERE ctid = ANY(ARRAY(SELECT place FROM expired)))"
        " SELECT count(*), CAST(max(place) AS text) FROM expired"
    )


# Their readers are indexed again, without what is deleted.
_UNINDEXED = {
    "unindexed": "UPDATE subscribers SET indexed_name = 'outdated: ' || id"
    " WHERE id IN (SELECT subscriber_id FROM expired)"
}
EXPIRIES = (
    Expiry(
        what="former email addresses and names",
        kept="former_contacts_kept",
        statement=_expire(
            "contact_changes",
            "DELETE FROM contact_changes",
            "due_at IS NULL AND changed_at < now() - :kept",
            others=_UNINDEXED,
        ),
    ),
    Expiry(
        what="former postal addresses",
        kept="addresses_kept",
        statement=_expire(
            "postal_addresses",
            "DELETE FROM postal_addresses",
            "due_at IS NULL AND replaced_at < now() - :kept",
        ),
    ),
    Expiry(
        what="temporary addresses that are over",
        kept="addresses_kept",
        statement=_expire(
            "postal_addresses",
            "DELETE FROM postal_addresses",
            "due_at IS NULL AND since IS NOT NULL AND until < now() - :kept",
            others=_UNINDEXED,
        ),
    ),
    Expiry(
        what="addresses on labels",
        kept="addresses_kept",
        statement=_expire(
            "labels",
            "UPDATE labels SET name = NULL, company = NULL, line1 = NULL, line2 = NULL, district = NULL, city = NULL,"
            " region = NULL, postal_code = NULL, lines = NULL",
            "lines IS NOT NULL AND run_id IN (SELECT id FROM label_runs WHERE frozen_at < now() - :kept"
            " AND emptied_at IS NULL)",
        ),
    ),
    Expiry(
        what="label runs that keep only their counts",
        kept="addresses_kept",
        statement=_expire(
            "label_runs",
            "UPDATE label_runs SET emptied_at = now()",
            "emptied_at IS NULL AND frozen_at < now() - :kept AND NOT EXISTS (SELECT FROM labels"
            " WHERE labels.run_id = label_runs.id AND labels.lines IS NOT NULL)",
        ),
    ),
    Expiry(
        what="deliveries of webhooks",
        kept="outbox_kept",
        statement=_expire(
            "webhook_deliveries",
            "DELETE FROM webhook_deliveries",
            "created_at < now() - :kept",
        ),
    ),
    Expiry(  # who could not be told by then isn't told anymore who was erased
        what="erased readers that were announced",
        kept=timedelta(days=7),
        statement=_expire(
            "outbox_events",
            "UPDATE outbox_events SET sub = NULL",
            "type = 'reader.erased' AND sub IS NOT NULL AND created_at < now() - :kept",
        ),
    ),
    Expiry(
        what="events of the outbox",
        kept="outbox_kept",
        statement=_expire("outbox_events", "DELETE FROM outbox_events", "created_at < now() - :kept"),
    ),
    Expiry(
        what="links to Stripe's payment pages",
        kept=timedelta(days=7),
        statement=_expire(
            "checkouts",
            "UPDATE checkouts SET url = NULL",
            "url IS NOT NULL AND status IN ('complete', 'expired', 'failed') AND created_at < now() - :kept",
        ),
    ),
    Expiry(
        what="parameters of requests to Stripe",
        kept=timedelta(days=30),
        statement=_expire(
            "intents",
            "UPDATE intents SET parameters = '{}'",
            "settled_at < now() - :kept AND parameters <> '{}'",
        ),
    ),
    Expiry(  # longer than Stripe remembers a key (a day; a month in its v2 API), so that none is used for another request
        what="settled requests to Stripe",
        kept=timedelta(days=90),
        # Those with a dot closed a subscription's invoices. They are kept, because payments of such invoices are looked for.
        statement=_expire(
            "intents",
            "DELETE FROM intents",
            "settled_at IS NOT NULL AND action NOT LIKE '%.%' AND settled_at < now() - :kept",
        ),
    ),
    Expiry(
        what="abandoned checkout sessions",
        kept=timedelta(days=90),
        statement=_expire(
            "checkouts",
            "DELETE FROM checkouts",
            "status IN ('expired', 'failed') AND created_at < now() - :kept",
        ),
    ),
    Expiry(  # three years, or one year after the end of everything that the reader has here, if that is later
        what="declarations of readers who left",
        kept=EVIDENCE_KEPT,
        statement=_expire(
            "declarations",
            "DELETE FROM declarations",
            "received_at < now() - :kept AND (status <> 'queued' OR subscriber_id IS NULL)"
            f" AND {_HAS_ENDED.format(table='declarations')}",
        ),
    ),
    Expiry(  # after the declaration above that it acknowledges
        what="notifications to nobody that we know",
        kept=EVIDENCE_KEPT,
        statement=_expire(
            "notifications",
            "DELETE FROM notifications",
            "subscriber_id IS NULL AND due_at IS NULL AND created_at < now() - :kept"
            " AND NOT EXISTS (SELECT FROM declarations WHERE declarations.id = notifications.about)",
        ),
    ),
    Expiry(
        what="what readers agreed to",
        kept=EVIDENCE_KEPT,
        statement=_expire(
            "consents",
            "DELETE FROM consents",
            f"agreed_at < now() - :kept AND {_HAS_ENDED.format(table='consents')}",
        ),
    ),
    Expiry(
        what="what readers agreed to and did not pay for",
        kept=timedelta(days=90),
        statement=_expire(
            "consents",
            "DELETE FROM consents",
            "agreed_at < now() - :kept AND NOT EXISTS (SELECT FROM checkouts WHERE checkouts.id = consents.checkout_id"
            " AND checkouts.status NOT IN ('expired', 'failed'))",
        ),
    ),
    Expiry(
        what="resolved anomalies",
        kept=timedelta(days=365),
        statement=_expire("anomalies", "DELETE FROM anomalies", "gone_at < now() - :kept"),
    ),
    Expiry(
        what="sessions of staff",
        kept="session_lifetime",
        statement=_expire(
            "staff_sessions", "DELETE FROM staff_sessions", "ended_at IS NULL AND started_at < now() - :kept"
        ),
    ),
    Expiry(
        what="sessions of staff that were ended",  # a copied cookie of one must not sign the person out
        kept=timedelta(days=30),
        statement=_expire("staff_sessions", "DELETE FROM staff_sessions", "ended_at < now() - :kept"),
    ),
    Expiry(
        what="names of former staff",
        kept=timedelta(days=3 * 365),
        statement=_expire("staff_members", "DELETE FROM staff_members", "seen_at < now() - :kept"),
    ),
    Expiry(
        what="sign-outs",
        kept=timedelta(days=30),
        statement=_expire("sign_outs", "DELETE FROM sign_outs", "at < now() - :kept"),
    ),
    Expiry(
        what="notes of the audit log",
        kept="notes_kept",
        statement=_expire(
            "audit_notes",
            "DELETE FROM audit_notes",
            "audit_id IN (SELECT id FROM audit_log WHERE at < now() - :kept)",
        ),
    ),
    Expiry(
        what="notes of refunds",
        kept="notes_kept",
        statement=_expire(
            "refunds",
            "UPDATE refunds SET note = NULL",
            "note IS NOT NULL AND due_at IS NULL AND status <> 'awaiting_approval' AND created_at < now() - :kept",
        ),
    ),
    Expiry(
        what="notes of approvals",
        kept="notes_kept",
        statement=_expire(
            "approval_requests",
            "UPDATE approval_requests SET note = NULL, decision_note = NULL",
            "coalesce(note, decision_note) IS NOT NULL AND status <> 'awaiting_approval' AND created_at < now() - :kept",
        ),
    ),
    Expiry(
        what="notes of claims",
        kept="notes_kept",
        statement=_expire("claims", "UPDATE claims SET note = NULL", "note IS NOT NULL AND created_at < now() - :kept"),
    ),
    Expiry(
        what="notes of back issues",
        kept="notes_kept",
        statement=_expire(
            "back_issues", "UPDATE back_issues SET note = NULL", "note IS NOT NULL AND created_at < now() - :kept"
        ),
    ),
    Expiry(
        what="reasons of dismissals",
        kept="notes_kept",
        statement=_expire(
            "dismissals",
            "UPDATE dismissals SET reason = 'erased'",
            "reason <> 'erased' AND dismissed_at < now() - :kept",
        ),
    ),
    Expiry(
        what="notes of the work queue",
        kept="notes_kept",
        statement=_expire("work_item_marks", "DELETE FROM work_item_marks", "changed_at < now() - :kept"),
    ),
)


async def expire(
    session: Session, expiry: Expiry, *, kept_for: timedelta, after: str = START, limit: int
) -> tuple[int, str]:
    """
    Remove up to ``limit`` rows of expired data. Return how many there were, and the place after which others may follow.

    :param after: the place where the call before this one ended.
    """
    statement = text(expiry.statement).bindparams(
        bindparam("kept", type_=INTERVAL), bindparam("limit", type_=Integer), bindparam("after", type_=String)
    )
    row = (await session.execute(statement, {"kept": kept_for, "after": after, "limit": limit})).one()
    return row[0], row[1] or after


async def schedule(session: Session, *, due_in: timedelta) -> None:
    """Schedule the first run. A run schedules the next one."""
    due_at = func.now() + bindparam(None, due_in, type_=INTERVAL)
    made = insert(Row).values(id=NIGHTLY, work_key="retention", due_at=due_at)
    await session.execute(made.on_conflict_do_nothing(index_elements=[Row.id]))


async def is_due(session: Session) -> bool:
    """Return whether a run is due, so that one that was overtaken by another worker does nothing."""
    return await session.scalar(select(Row.id).where(Row.id == NIGHTLY, Row.due_at <= func.now())) is not None


async def finish(session: Session, removed: dict[str, int], *, next_in: timedelta) -> None:
    """Record what a run has removed, and schedule the next one."""
    due_at = func.now() + bindparam(None, next_in, type_=INTERVAL)
    await session.execute(
        update(Row)
        .where(Row.id == NIGHTLY)
        .values(removed=removed, finished_at=func.now(), due_at=due_at, attempts=0, last_error=None)
    )
