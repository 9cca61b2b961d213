"""What the nightly job removes: personal data that has no use anymore. The register is in :mod:`app.db.personal_data`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta

from sqlalchemy import Integer, String, bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import INTERVAL, insert

from app.db.engine.session import Session
from app.db.models import RetentionRun as Row
from app.settings import Settings

NIGHTLY = "nightly"
START, END = "(0,0)", "(4294967295,0)"  # the places before the first row of a table, and behind the last one
EVIDENCE_KEPT = timedelta(days=3 * 366)
# Whether everything that the reader of a row subscribed to has ended a year ago. Selected and not joined, so that only the
# subscriptions of the rows that are looked at are read.
_HAS_ENDED = (
    "(SELECT true FROM subscriptions WHERE subscriptions.subscriber_id = {table}.subscriber_id"
    " AND coalesce(subscriptions.ended_at, subscriptions.ended_here_at, 'infinity') > now() - interval '1 year'"
    " LIMIT 1) IS NULL"
)


@dataclass(frozen=True, slots=True)
class Removal:
    """
    How rows of a table are changed or deleted that fulfill a condition, which uses ``:kept``.

    :ivar others: what else is changed, by name; it may use the ``subscriber_id`` of the ``expired`` rows.
    """

    table: str
    change: str
    condition: str
    others: Mapping[str, str] = field(default_factory=dict)

    def statement(self) -> str:
        """
        Return a statement that changes or deletes up to ``:limit`` rows, and returns how many and where the last was.

        It reads only what is behind one place of the table and before another one, so that it takes no longer if the table
        grows, and does not read again what others before it have looked at.
        """
        columns = "ctid AS place" + (", subscriber_id" if self.others else "")
        also = "".join(f", {name} AS ({statement})" for name, statement in self.others.items())
        return (
            f"WITH expired AS MATERIALIZED (SELECT {columns} FROM {self.table}"  # noqa: S608 - of those below
            " WHERE ctid > CAST(CAST(:after AS text) AS tid) AND ctid < CAST(CAST(:before AS text) AS tid)"
            f" AND ({self.condition}) LIMIT :limit FOR UPDATE SKIP LOCKED){also},"
            f" done AS ({self.change} WHERE ctid = ANY(ARRAY(SELECT place FROM expired)))"
            " SELECT count(*), CAST(max(place) AS text) FROM expired"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """Data that the nightly job removes."""

    what: str
    kept: str | timedelta  # the name of the setting, or a fixed time
    removal: Removal
    blocks: int | None = None  # of the table that one statement reads at most. None: as for most tables

    def kept_for(self, settings: Settings) -> timedelta:
        """Return how long the data is kept."""
        if isinstance(self.kept, timedelta):
            return self.kept
        found: timedelta = getattr(settings, self.kept)
        return found


# Their readers are indexed again, without what is deleted.
_UNINDEXED = {
    "unindexed": "UPDATE subscribers SET indexed_name = 'outdated: ' || id"
    " WHERE id = ANY(ARRAY(SELECT subscriber_id FROM expired))"
}
EXPIRIES = (
    Expiry(
        what="former email addresses and names",
        kept="former_contacts_kept",
        removal=Removal(
            "contact_changes",
            "DELETE FROM contact_changes",
            "due_at IS NULL AND changed_at < now() - :kept",
            others=_UNINDEXED,
        ),
    ),
    Expiry(
        what="former postal addresses",
        kept="addresses_kept",
        removal=Removal(
            "postal_addresses",
            "DELETE FROM postal_addresses",
            "due_at IS NULL AND replaced_at < now() - :kept",
        ),
    ),
    Expiry(
        what="temporary addresses that are over",
        kept="addresses_kept",
        removal=Removal(
            "postal_addresses",
            "DELETE FROM postal_addresses",
            "due_at IS NULL AND since IS NOT NULL AND until < now() - :kept",
            others=_UNINDEXED,
        ),
    ),
    Expiry(
        what="addresses on labels",
        kept="addresses_kept",
        removal=Removal(
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
        removal=Removal(
            "label_runs",
            "UPDATE label_runs SET emptied_at = now()",
            "emptied_at IS NULL AND frozen_at < now() - :kept AND NOT EXISTS (SELECT FROM labels"
            " WHERE labels.run_id = label_runs.id AND labels.lines IS NOT NULL)",
        ),
        blocks=1,  # it may read all labels of a run
    ),
    Expiry(
        what="deliveries of webhooks",
        kept="outbox_kept",
        removal=Removal(
            "webhook_deliveries",
            "DELETE FROM webhook_deliveries",
            "created_at < now() - :kept",
        ),
    ),
    Expiry(  # who could not be told by then isn't told anymore who was erased
        what="erased readers that were announced",
        kept=timedelta(days=7),
        removal=Removal(
            "outbox_events",
            "UPDATE outbox_events SET sub = NULL",
            "type = 'reader.erased' AND sub IS NOT NULL AND created_at < now() - :kept",
        ),
    ),
    Expiry(
        what="events of the outbox",
        kept="outbox_kept",
        removal=Removal("outbox_events", "DELETE FROM outbox_events", "created_at < now() - :kept"),
    ),
    Expiry(
        what="links to Stripe's payment pages",
        kept=timedelta(days=7),
        removal=Removal(
            "checkouts",
            "UPDATE checkouts SET url = NULL",
            "url IS NOT NULL AND status IN ('complete', 'expired', 'failed') AND created_at < now() - :kept",
        ),
    ),
    Expiry(
        what="parameters of requests to Stripe",
        kept=timedelta(days=30),
        removal=Removal(
            "intents",
            "UPDATE intents SET parameters = '{}'",
            "settled_at < now() - :kept AND parameters <> '{}'",
        ),
    ),
    Expiry(  # longer than Stripe remembers a key (a day; a month in its v2 API), so that none is used for another request
        what="settled requests to Stripe",
        kept=timedelta(days=90),
        # Those with a dot closed a subscription's invoices. They are kept, because payments of such invoices are looked for.
        removal=Removal(
            "intents",
            "DELETE FROM intents",
            "settled_at IS NOT NULL AND action NOT LIKE '%.%' AND settled_at < now() - :kept",
        ),
    ),
    Expiry(
        what="abandoned checkout sessions",
        kept=timedelta(days=90),
        removal=Removal(
            "checkouts",
            "DELETE FROM checkouts",
            "status IN ('expired', 'failed') AND created_at < now() - :kept",
        ),
    ),
    Expiry(  # three years, or one year after the end of everything that the reader has here, if that is later
        what="declarations of readers who left",
        kept=EVIDENCE_KEPT,
        removal=Removal(
            "declarations",
            "DELETE FROM declarations",
            "received_at < now() - :kept AND (status <> 'queued' OR subscriber_id IS NULL)"
            f" AND {_HAS_ENDED.format(table='declarations')}",
        ),
    ),
    Expiry(  # after the declaration above that it acknowledges
        what="notifications to nobody that we know",
        kept=EVIDENCE_KEPT,
        removal=Removal(
            "notifications",
            "DELETE FROM notifications",
            "subscriber_id IS NULL AND due_at IS NULL AND created_at < now() - :kept"
            " AND (SELECT true FROM declarations WHERE declarations.id = notifications.about) IS NULL",
        ),
    ),
    Expiry(
        what="what readers agreed to",
        kept=EVIDENCE_KEPT,
        removal=Removal(
            "consents",
            "DELETE FROM consents",
            f"agreed_at < now() - :kept AND {_HAS_ENDED.format(table='consents')}",
        ),
    ),
    Expiry(
        what="what readers agreed to and did not pay for",
        kept=timedelta(days=90),
        removal=Removal(
            "consents",
            "DELETE FROM consents",
            "agreed_at < now() - :kept AND (SELECT true FROM checkouts WHERE checkouts.id = consents.checkout_id"
            " AND checkouts.status NOT IN ('expired', 'failed')) IS NULL",
        ),
    ),
    Expiry(
        what="resolved anomalies",
        kept=timedelta(days=365),
        removal=Removal("anomalies", "DELETE FROM anomalies", "gone_at < now() - :kept"),
    ),
    Expiry(
        what="sessions of staff",
        kept="session_lifetime",
        removal=Removal(
            "staff_sessions", "DELETE FROM staff_sessions", "ended_at IS NULL AND started_at < now() - :kept"
        ),
    ),
    Expiry(
        what="sessions of staff that were ended",  # a copied cookie of one must not sign the person out
        kept=timedelta(days=30),
        removal=Removal("staff_sessions", "DELETE FROM staff_sessions", "ended_at < now() - :kept"),
    ),
    Expiry(
        what="names of former staff",
        kept=timedelta(days=3 * 365),
        removal=Removal("staff_members", "DELETE FROM staff_members", "seen_at < now() - :kept"),
    ),
    Expiry(
        what="sign-outs",
        kept=timedelta(days=30),
        removal=Removal("sign_outs", "DELETE FROM sign_outs", "at < now() - :kept"),
    ),
    Expiry(
        what="notes of the audit log",
        kept="notes_kept",
        removal=Removal(
            "audit_notes",
            "DELETE FROM audit_notes",
            "(SELECT at FROM audit_log WHERE audit_log.id = audit_notes.audit_id) < now() - :kept",
        ),
    ),
    Expiry(
        what="notes of refunds",
        kept="notes_kept",
        removal=Removal(
            "refunds",
            "UPDATE refunds SET note = NULL",
            "note IS NOT NULL AND due_at IS NULL AND status <> 'awaiting_approval' AND created_at < now() - :kept",
        ),
    ),
    Expiry(
        what="notes of approvals",
        kept="notes_kept",
        removal=Removal(
            "approval_requests",
            "UPDATE approval_requests SET note = NULL, decision_note = NULL",
            "coalesce(note, decision_note) IS NOT NULL AND status <> 'awaiting_approval' AND created_at < now() - :kept",
        ),
    ),
    Expiry(
        what="notes of claims",
        kept="notes_kept",
        removal=Removal("claims", "UPDATE claims SET note = NULL", "note IS NOT NULL AND created_at < now() - :kept"),
    ),
    Expiry(
        what="notes of back issues",
        kept="notes_kept",
        removal=Removal(
            "back_issues", "UPDATE back_issues SET note = NULL", "note IS NOT NULL AND created_at < now() - :kept"
        ),
    ),
    Expiry(
        what="reasons of dismissals",
        kept="notes_kept",
        removal=Removal(
            "dismissals",
            "UPDATE dismissals SET reason = 'erased'",
            "reason <> 'erased' AND dismissed_at < now() - :kept",
        ),
    ),
    Expiry(
        what="notes of the work queue",
        kept="notes_kept",
        removal=Removal("work_item_marks", "DELETE FROM work_item_marks", "changed_at < now() - :kept"),
    ),
)


_STATEMENTS = {
    expiry.what: text(expiry.removal.statement()).bindparams(
        bindparam("kept", type_=INTERVAL),
        bindparam("limit", type_=Integer),
        bindparam("after", type_=String),
        bindparam("before", type_=String),
    )
    for expiry in EXPIRIES
}


async def expire(
    session: Session, expiry: Expiry, *, kept_for: timedelta, after: str = START, before: str = END, limit: int
) -> tuple[int, str]:
    """
    Remove up to ``limit`` rows of expired data. Return how many there were, and the place after which others may follow.

    :param after: the place behind which the rows are.
    :param before: the place before which they are.
    """
    values = {"kept": kept_for, "after": after, "before": before, "limit": limit}
    row = (await session.execute(_STATEMENTS[expiry.what], values)).one()
    return row[0], row[1] or after


def block(number: int) -> str:
    """Return the place before the first row of a block of a table."""
    return f"({number},0)"


async def blocks_of(session: Session, expiry: Expiry) -> int:
    """Return how many blocks the table of an expiry has."""
    size = "SELECT pg_relation_size(CAST(:table AS text)::regclass) / current_setting('block_size')::bigint"
    return int(await session.scalar(text(size), {"table": expiry.removal.table}) or 0)


@dataclass(slots=True, kw_only=True)
class Progress:
    """What the current night has removed so far, and the block at which each table continues."""

    night: str = ""
    done: list[str] = field(default_factory=list)
    removed: dict[str, int] = field(default_factory=dict)
    places: dict[str, str | int] = field(default_factory=dict)  # the next block, or wherever a step continues

    def count(self, what: str, rows: int) -> None:
        """Count rows that were removed."""
        self.removed[what] = self.removed.get(what, 0) + rows


async def schedule(session: Session, *, due_in: timedelta) -> None:
    """Schedule the first run. A run schedules the next one."""
    due_at = func.now() + bindparam(None, due_in, type_=INTERVAL)
    made = insert(Row).values(id=NIGHTLY, work_key="retention", due_at=due_at)
    await session.execute(made.on_conflict_do_nothing(index_elements=[Row.id]))


async def progress_of_due(session: Session) -> Progress | None:
    """Return the progress of a run that is due. None: none is, because another worker has overtaken this one."""
    row = (await session.execute(select(Row.progress).where(Row.id == NIGHTLY, Row.due_at <= func.now()))).one_or_none()
    return Progress(**(row.progress or {})) if row is not None else None


async def save(session: Session, progress: Progress) -> None:
    """Save how far a run is."""
    await session.execute(update(Row).where(Row.id == NIGHTLY).values(progress=asdict(progress)))


async def finish(session: Session, progress: Progress, *, next_in: timedelta) -> None:
    """Record what a run has removed, and schedule the next one."""
    due_at = func.now() + bindparam(None, next_in, type_=INTERVAL)
    values = {"removed": progress.removed, "progress": asdict(progress), "finished_at": func.now(), "due_at": due_at}
    await session.execute(update(Row).where(Row.id == NIGHTLY).values(**values, attempts=0, last_error=None))
