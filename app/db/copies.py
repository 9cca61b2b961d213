"""
The copies of an issue that must be sent and are on none of its runs: a part of the statements of :mod:`app.db.label_runs`.

They are those that terms owe, grace copies, replacements of claimed copies, and back issues. ``$1`` is the issue, ``$2`` the
last moment that counts, ``$3`` the moment by which canceled copies are not sent anymore (NULL: none is sent), ``$8`` when
its labels close, and ``$9`` and ``$10`` the plans and last issues of the terms that get a grace copy: as many for each plan
as issues go out in grace. A back issue has no term, so nothing that concerns a term concerns it.

An issue that two terms owe, such as a double one, goes to the older of them, unless its copies are left out.
"""

from collections.abc import Iterable

from app.db.progress import is_later, term_of_later
from app.domain.credits import CreditKind
from app.domain.erasures import ERASED
from app.domain.label_runs import Flag, LabelKind
from app.domain.print_changes import UNDECIDED, PrintChangeKind
from app.domain.reasons import EndReason
from app.domain.refunds import CONFIRMED, ENDING, RefundBasis, RefundStatus

VOID_REFUNDS = sorted(
    (
        RefundStatus.AWAITING_APPROVAL,
        RefundStatus.REJECTED,
        RefundStatus.WITHDRAWN,
        RefundStatus.FAILED,
        RefundStatus.CANCELED,
    )
)


def _listed(values: Iterable[str]) -> str:
    return ", ".join(f"'{value}'" for value in sorted(values))


# Until $3, the money of these terms was returned, although we may have learned of it later and then ended their copies.
_RETURNED = f"""returned AS MATERIALIZED (
        SELECT t.invoice_id FROM terms t
        WHERE t.copies_ended_at > $3::timestamptz AND t.refunded_as = '{RefundBasis.DASHBOARD}' AND t.restored_as IS NULL
          AND NOT EXISTS (SELECT FROM payments p JOIN refunds r ON r.payment_id = p.id
              WHERE p.invoice_id = t.invoice_id AND r.status IN ({_listed(CONFIRMED)})
                AND coalesce(r.made_at, r.created_at) > $3::timestamptz)
          AND NOT EXISTS (SELECT FROM credits c WHERE c.invoice_id = t.invoice_id AND c.amount > 0
              AND c.kind IN ('{CreditKind.OUT_OF_BAND}', '{CreditKind.BALANCE}') AND c.created_at > $3::timestamptz)
    )"""  # noqa: S608 - statuses of refunds
# What was paid within a term is a part of it, such as print that was added: see app.domain.progress.term_of.
_REFUNDING = f"""refunding AS MATERIALIZED (
        SELECT CASE WHEN NOT {is_later("p")} OR EXISTS (SELECT FROM terms t WHERE t.invoice_id = p.invoice_id)
            THEN p.invoice_id ELSE {term_of_later("p")} END AS invoice_id
        FROM refunds r JOIN payments p ON p.id = r.payment_id
        WHERE r.created_at <= $2::timestamptz AND r.created_at > $2::timestamptz - interval '2 years'
          AND r.basis IN ({_listed(ENDING)}) AND r.status NOT IN ({_listed(VOID_REFUNDS)})
          AND (r.basis <> '{RefundBasis.FRAUD_WARNING}' OR p.print_from IS NULL)  -- of added print, it ends only that
          AND (r.basis <> '{RefundBasis.PAID_AFTER_END}'  -- what was paid after the end belongs to no term
              OR EXISTS (SELECT FROM terms t WHERE t.invoice_id = p.invoice_id))
        UNION ALL  -- print that is being dropped: the refund is promised, and the copies may not be taken away yet
        SELECT t.invoice_id FROM print_changes c JOIN terms t ON t.subscription_id = c.subscription_id
        WHERE c.kind = '{PrintChangeKind.DROP}' AND c.status IN ({_listed(UNDECIDED)}) AND c.created_at <= $2::timestamptz
          AND t.ends_at > c.starts_at  -- that term, and a later one whose renewal had billed print already
    )"""  # noqa: S608 - bases and statuses of refunds


def _is_owed_by(term: str) -> str:
    """Return the SQL for whether a term owes the issue: its copies had not been canceled by $3."""
    return f"""{term}.copies @> $1::int AND ({term}.copies_ended_at IS NULL OR ({term}.copies_ended_at > $3::timestamptz
            AND {term}.invoice_id <> ALL(ARRAY(SELECT invoice_id FROM returned))))"""  # noqa: S608 - a name


def closes_on(issue: str) -> str:
    """Return the SQL for the day on which the labels of an issue close; see :class:`app.domain.issues.Issue`."""
    return f"""(SELECT min(later.label_cutoff) FROM issues later WHERE later.number = {issue}.number
        OR {issue}.counts_as > 0 AND later.counts_as > 0 AND later.number > {issue}.number)"""  # noqa: S608 - a name


def _is_disputed(term: str) -> str:
    """
    Return the SQL for whether the dispute of a term's payment is open or lost, or that of the print that includes the issue.

    A copy that was left out while the dispute was open isn't sent once it is lost.
    """
    return f"""({term}.suspended_as IS NOT NULL
            OR coalesce({term}.refunded_as = '{EndReason.DISPUTE_LOST}' AND {term}.restored_as IS NULL, false)
            OR coalesce({term}.print_suspended_from BETWEEN coalesce({term}.print_from, {term}.starts_at)
                AND $8::timestamptz, false))"""


COPIES = f"""{_RETURNED}, {_REFUNDING}, owed AS (
        SELECT t.subscription_id, t.invoice_id, t.expire, {_is_disputed("t")} AS is_disputed, s.subscriber_id,
            '{LabelKind.COPY}' AS kind, '' AS claim_id, false AS is_grace, t.plan, s.currency, t.paid_by_balance
        FROM terms t JOIN subscriptions s ON s.id = t.subscription_id
        WHERE t.print_edition AND {_is_owed_by("t")}
          AND (s.followed_since IS NULL OR s.followed_since < $8::timestamptz)
          AND t.subscription_id NOT IN (SELECT id FROM calendar_work)  -- its copies may be outdated
          AND NOT EXISTS (  -- a double issue may be owed by two terms
              SELECT FROM terms o WHERE o.subscription_id = t.subscription_id AND {_is_owed_by("o")}
                AND (o.starts_at, o.invoice_id) < (t.starts_at, t.invoice_id)
                AND NOT {_is_disputed("o")}
                AND o.invoice_id NOT IN (SELECT invoice_id FROM refunding WHERE invoice_id IS NOT NULL))
          AND NOT EXISTS (
              SELECT FROM labels l WHERE l.subscription_id = t.subscription_id AND l.issue_number = $1 AND l.kind =
              '{LabelKind.COPY}')
        UNION ALL  -- grace copies
        SELECT t.subscription_id, t.invoice_id, t.expire, {_is_disputed("t")}, s.subscriber_id,
            '{LabelKind.COPY}', '', true, t.plan, s.currency, t.paid_by_balance
        FROM unnest($9::text[], $10::bigint[]) AS awaited (plan, expire)
            JOIN terms t ON t.last_issue = awaited.expire AND t.plan = awaited.plan
            JOIN subscriptions s ON s.id = t.subscription_id
        WHERE t.print_edition AND t.print_until IS NULL AND t.copies_ended_at IS NULL AND t.expire = t.last_issue
          AND t.ends_at <= least($2::timestamptz, $8::timestamptz) AND s.status IN ('active', 'past_due')
          AND s.print_edition
          AND (t.grace_sent = 0 OR cardinality(array_positions($9::text[], t.plan)) > (  -- an extension adds none
              SELECT count(*) FROM labels l JOIN issues i ON i.number = l.issue_number
              WHERE l.subscription_id = t.subscription_id AND l.term = t.invoice_id AND l.flags & {Flag.GRACE:d} > 0
                AND i.counts_as > 0))
          AND (s.followed_since IS NULL OR s.followed_since < $8::timestamptz)
          AND NOT EXISTS (SELECT FROM calendar_work w WHERE w.id = t.subscription_id)
          AND s.cancel_at IS NULL AND s.ended_here_at IS NULL AND s.collection_paused IS NULL
          AND NOT EXISTS (
              SELECT FROM labels l WHERE l.subscription_id = t.subscription_id AND l.issue_number = $1
                AND l.kind = '{LabelKind.COPY}')
          AND NOT EXISTS (
              SELECT FROM holds h JOIN issues i ON i.number = $1 CROSS JOIN LATERAL {closes_on("i")} AS closes (at)
              WHERE h.subscriber_id = s.subscriber_id AND h.starts_on <= closes.at
                AND coalesce(h.until, h.over_by) > closes.at AND (h.ended_on IS NULL OR h.ended_on > closes.at)
                AND (h.issues IS NULL OR h.issues > (
                    SELECT count(*) FROM issues e
                    WHERE {closes_on("e")} >= h.starts_on AND e.number < $1 AND e.counts_as > 0)))
        UNION ALL  -- replacements; nothing is claimed before the run is frozen
        SELECT c.subscription_id, t.invoice_id, t.expire, {_is_disputed("t")}, c.subscriber_id,
            '{LabelKind.REPLACEMENT}', c.id, false, t.plan, s.currency, t.paid_by_balance
        FROM claims c JOIN terms t ON t.invoice_id = c.term JOIN subscriptions s ON s.id = t.subscription_id
        WHERE c.issue_number = $1 AND c.resolution = 'resend' AND c.granted_at IS NOT NULL
          AND (t.refunded_as IS NULL OR t.restored_as IS NOT NULL)
          AND NOT EXISTS (
              SELECT FROM labels l WHERE l.subscription_id = c.subscription_id AND l.issue_number = $1
                AND l.kind = '{LabelKind.REPLACEMENT}' AND l.claim_id = c.id)
          AND EXISTS (  -- not those of erased readers
              SELECT FROM labels l WHERE l.subscription_id = c.subscription_id AND l.issue_number = $1
                AND l.kind = '{LabelKind.COPY}' AND l.lines IS NOT NULL)
        UNION ALL  -- back issues
        SELECT b.subscription_id, '', NULL, false, b.subscriber_id, '{LabelKind.BACK_ISSUE}', b.id, false, NULL, NULL, 0
        FROM back_issues b
        WHERE b.issue_number = $1
          AND NOT EXISTS (SELECT FROM subscribers s WHERE s.id = b.subscriber_id AND s.sub LIKE '{ERASED}%')
          AND NOT EXISTS (SELECT FROM approval_requests a WHERE a.id = b.id AND a.status <> 'approved')
          AND NOT EXISTS (
              SELECT FROM labels l WHERE l.subscription_id = b.subscription_id AND l.issue_number = $1
                AND l.kind = '{LabelKind.BACK_ISSUE}' AND l.claim_id = b.id)
    ),
"""  # noqa: S608 - kinds of labels, and conditions
