"""
Parts of the statements that decide how a copy counts in the circulation statement: see docs/concepts/circulation.md.

They are used when a label run is frozen, and for runs that an earlier release froze. In all of them ``t`` is a term and
``prices`` the basic price of its plan.
"""

from collections.abc import Iterable

from app.db.progress import is_later, term_of_later
from app.domain.circulation import CountingRules, MailClass
from app.domain.progress import OPENING
from app.domain.refunds import COUNTED, RefundBasis, RefundStatus

# Refunds of what was not sent: the copies that were sent are still paid for.
_OF_UNSENT_COPIES = (RefundBasis.UNSERVED_ISSUES, RefundBasis.PRINT_DROPPED, RefundBasis.UNSPENT_CREDIT)


def _listed(values: Iterable[str]) -> str:
    return ", ".join(f"'{value}'" for value in sorted(values))


def rule_parameters(rules: CountingRules) -> tuple[object, ...]:
    """Return the parameters of :func:`tables_of_rules`."""
    return (
        [one.plan for one in rules.prices],
        [one.currency for one in rules.prices],
        [one.both_editions for one in rules.prices],
        [one.digital for one in rules.prices],
        [one.includes_tax for one in rules.prices],
        rules.mailed_from,
        list(rules.county),
        list(rules.other_mail),
    )


def tables_of_rules(first: int) -> str:
    """Return the SQL for the tables ``prices`` and ``places``, with the parameters from the ``first`` on."""
    types = ("text[]", "text[]", "bigint[]", "bigint[]", "boolean[]", "text", "text[]", "text[]")
    p = [f"${first + place}::{name}" for place, name in enumerate(types)]
    return f"""
    prices AS MATERIALIZED (
        SELECT * FROM unnest({", ".join(p[:5])}) AS each (plan, currency, both_editions, digital, includes_tax)),
    places AS (SELECT {p[5]} AS mailed_from, {p[6]} AS county, {p[7]} AS other_mail)"""  # noqa: S608 - parameters


def mail_class(label: str) -> str:
    """Return the SQL for how a label is mailed."""
    return f"""CASE WHEN {label}.band = ANY(places.other_mail) THEN '{MailClass.OTHER}'
        WHEN {label}.country = places.mailed_from
            AND {label}.postal_code ^@ ANY(places.county)
        THEN '{MailClass.IN_COUNTY}' ELSE '{MailClass.OUTSIDE_COUNTY}' END"""


# What was paid for a term, with print that was added to it (see app.domain.progress.term_of), less what was returned of it.
# Tax counts only if the plan's price has it, too.
AMOUNT_PAID = f"""coalesce(t.paid_by_balance, 0) + coalesce((
    SELECT sum(greatest(0, p.amount - back.gross - CASE WHEN prices.includes_tax THEN 0 ELSE p.tax - back.tax END))
    FROM payments p CROSS JOIN LATERAL (
        SELECT refunded.gross + lost.amount AS gross, refunded.tax + p.tax * lost.amount / p.amount AS tax
        FROM (SELECT coalesce(sum(amount), 0) AS gross, coalesce(sum(tax), 0) AS tax FROM refunds
                WHERE payment_id = p.id AND status IN ({_listed(COUNTED - {RefundStatus.AWAITING_APPROVAL})})
                  AND basis NOT IN ({_listed(_OF_UNSENT_COPIES)})) refunded,
            LATERAL (SELECT least(p.amount, CASE WHEN t.credited_at IS NULL THEN p.credited ELSE 0 END + coalesce((
                SELECT sum(amount) FROM disputes WHERE payment_id = p.id AND status = 'lost'), 0)) AS amount) lost) back
    WHERE p.subscription_id = t.subscription_id AND p.amount > 0 AND (p.invoice_id = t.invoice_id OR (
        {is_later("p")} AND t.invoice_id = {term_of_later("p")}
        AND NOT EXISTS (SELECT FROM terms o WHERE o.invoice_id = p.invoice_id)))), 0)::bigint"""  # noqa: S608 - names of statuses, bases and billing reasons


# Most terms were paid with one payment, and nothing was returned. Only those of these subscriptions need a closer look.
UNUSUAL = f"""
    in_parts AS (SELECT invoice_id FROM payments GROUP BY invoice_id HAVING count(*) > 1),
    unusual AS (
        SELECT subscription_id FROM payments
        WHERE credited > 0 OR print_from IS NOT NULL OR billing_reason NOT IN ({_listed(OPENING)})
        UNION SELECT p.subscription_id FROM in_parts JOIN payments p USING (invoice_id)
        UNION SELECT p.subscription_id FROM refunds r JOIN payments p ON p.id = r.payment_id
        UNION SELECT p.subscription_id FROM disputes d JOIN payments p ON p.id = d.payment_id WHERE d.status = 'lost')"""  # noqa: S608 - names of billing reasons


def payments_of(term: str, subscription: str) -> str:
    """Return the SQL for the joins that :func:`amount_paid` needs, with :data:`UNUSUAL`."""
    return f"""LEFT JOIN unusual ON unusual.subscription_id = {subscription}
        LEFT JOIN payments paid ON paid.invoice_id = {term} AND paid.amount > 0 AND unusual.subscription_id IS NULL"""


def amount_paid(balance: str, *, exact: str) -> str:
    """
    Return the SQL for what was paid for many terms.

    :param balance: the SQL for what the customer's balance paid.
    :param exact: the SQL for what was paid for an unusual term: :data:`AMOUNT_PAID`, or a statement with it.
    """
    return f"""CASE WHEN unusual.subscription_id IS NOT NULL THEN {exact} ELSE coalesce({balance}, 0)
        + coalesce(paid.amount - CASE WHEN prices.includes_tax THEN 0 ELSE paid.tax END, 0) END"""


def is_paid(amount: str, price: str, percent: str) -> str:
    """Return the SQL for whether an amount makes a copy a paid one. Without a basic price, any amount does."""
    return f"({amount} > 0 AND coalesce({amount} * 100 >= {price} * {percent}, true))"


def had_print(moment: str) -> str:
    """Return the SQL for whether a term had print at the last moment before labels closed."""
    return f"""(t.print_edition AND (t.print_from IS NULL OR t.print_from < {moment})
            AND (t.print_until IS NULL OR t.print_until >= {moment})
        OR t.earlier_print <> '{{}}' AND EXISTS (SELECT FROM generate_series(1, cardinality(t.earlier_print), 2) n
            WHERE t.earlier_print[n] < {moment} AND t.earlier_print[n + 1] >= {moment}))"""


def is_valid(moment: str) -> str:
    """Return the SQL for whether a term was paid for at a moment, and not ended or refunded."""
    return f"""(t.starts_at <= {moment} AND t.ends_at > {moment}
        AND (t.copies_ended_at IS NULL OR t.copies_ended_at > {moment})
        AND (t.refunded_as IS NULL OR t.restored_as IS NOT NULL OR t.refunded_at > {moment}))"""
