"""The labels of readers' subscriptions, as their pages show them."""

from collections.abc import Sequence
from datetime import date

from sqlalchemy import Date, and_, bindparam, case, false, func, select
from sqlalchemy.dialects.postgresql import ARRAY, TEXT

from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record
from app.db.models import Claim, Issue, Label, LabelRun, Subscriber, Subscription, table_of
from app.domain.label_runs import MAIN
from app.domain.reasons import ClaimReason
from app.domain.sent_copies import SentCopy

MOST = 120  # copies: five years of 24 issues
_LABELS, _RUNS, _ISSUES, _CLAIMS = table_of(Label), table_of(LabelRun), table_of(Issue), table_of(Claim)
_SUBSCRIPTIONS, _SUBSCRIBERS = table_of(Subscription), table_of(Subscriber)
_OUT = func.coalesce(_ISSUES.c.actual_mail_date, _ISSUES.c.planned_mail_date, type_=Date)
_MAILED = case((_RUNS.c.number > MAIN, func.greatest(_OUT, _RUNS.c.mail_date, type_=Date)), else_=_OUT)
_SENT = (
    select(
        _LABELS.c.subscription_id,
        _LABELS.c.issue_number,
        _LABELS.c.kind,
        _LABELS.c.address_id,
        _LABELS.c.lines,
        _RUNS.c.number.label("run_number"),
        _ISSUES.c.title,
        _MAILED.label("mail_date"),
        _CLAIMS.c.id.is_not(None).label("claimed"),
        func.coalesce(
            and_(_CLAIMS.c.granted_at.is_not(None), _CLAIMS.c.reason == ClaimReason.NOT_RECEIVED), false()
        ).label("lost"),
    )
    .join(_RUNS, _RUNS.c.id == _LABELS.c.run_id)
    .join(_ISSUES, _ISSUES.c.number == _LABELS.c.issue_number)
    .outerjoin(
        _CLAIMS,
        and_(_CLAIMS.c.subscription_id == _LABELS.c.subscription_id, _CLAIMS.c.issue_number == _LABELS.c.issue_number),
    )
    .order_by(_LABELS.c.issue_number.desc(), _RUNS.c.number.desc(), _LABELS.c.position.desc())
    .limit(MOST)
)
_OF_SUBSCRIPTIONS = _SENT.where(_LABELS.c.subscription_id == func.any(bindparam("subscriptions", type_=ARRAY(TEXT))))
_OWN = (
    select(_SUBSCRIPTIONS.c.id)
    .join(_SUBSCRIBERS, _SUBSCRIBERS.c.id == _SUBSCRIPTIONS.c.subscriber_id)
    .where(_SUBSCRIBERS.c.sub == bindparam("sub"))
)
_OF_READER = _SENT.where(_LABELS.c.subscription_id.in_(_OWN))


async def of_subscriptions(session: Reads, subscription_ids: Sequence[str]) -> list[SentCopy]:
    """Return the copies of subscriptions, the last issue first."""
    rows = await session.execute(_OF_SUBSCRIPTIONS, {"subscriptions": list(subscription_ids)})
    return [_copy(row) for row in rows]


async def of_reader(session: Reads, sub: str) -> list[SentCopy]:
    """Return the copies of all subscriptions of a reader, the last issue first."""
    return [_copy(row) for row in await session.execute(_OF_READER, {"sub": sub})]


def _copy(row: Record) -> SentCopy:
    mail_date: date = row.mail_date
    return SentCopy(
        subscription_id=row.subscription_id,
        issue_number=row.issue_number,
        title=row.title,
        mail_date=mail_date,
        run_number=row.run_number,
        kind=row.kind,
        address_id=row.address_id,
        claimed=row.claimed,
        lost=row.lost,
        lines=tuple(row.lines or ()),
    )
