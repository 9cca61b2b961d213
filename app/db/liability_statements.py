"""
The statements of the liability report: what :func:`app.domain.liability.totals` computes, for many payments at once.

Most payments opened a term and were never touched again. Those of the same amount, plan and days earn the same, so the
report of all readers counts them first, and computes each group once. A payment of which something was returned is a
group of its own, and so is one whose print was extended, and one with a rule of its own: print that was added later or
again, grace copies before the term, or no term yet.

The statements run in the publisher's time zone: see :mod:`app.db.engine.long_statements`. ``OFFSET '0'`` keeps PostgreSQL
from computing a column of a subquery wherever it is used; unlike ``OFFSET 0``, it doesn't prevent parallel scans.

Parameters: $1 days (NULL where a month is closed); the issues' $2 numbers, $3 days on which they are served, and copies
before each with double issues counted $4 once and $5 twice; the plans' $6 codes, $7 print shares, $8 their denominators
and $9 copies of a double issue; $10 when each issue's labels close; $11 the grace period in seconds, for terms that were
promised none; $12 closed months; $13 subscriptions, or the month to close.
"""

from collections.abc import Iterable

from app.db.progress import is_later, term_of_later
from app.domain.credits import CreditKind
from app.domain.issues import DOUBLE, ORDINARY
from app.domain.liability import FIGURES
from app.domain.refunds import CONFIRMED, RefundBasis

CREDITED = (CreditKind.OUT_OF_BAND, CreditKind.BALANCE, CreditKind.PRORATION)  # what reduces a payment's ``credited``


def _listed(values: Iterable[str]) -> str:
    return ", ".join(f"'{value}'" for value in sorted(values))


def _copies_before(number: str) -> str:
    """Return the SQL for how many copies the issues before a number are."""
    return (
        f"CASE WHEN coalesce(doubles, {DOUBLE}) = {ORDINARY} THEN ($4::int[])[1 + width_bucket({number} - 1, $2::int[])]"
        f" ELSE ($5::int[])[1 + width_bucket({number} - 1, $2::int[])] END"
    )


def _copies_through(day: str) -> str:
    """Return the SQL for how many copies were served until the end of a day."""
    return (
        f"CASE WHEN coalesce(doubles, {DOUBLE}) = {ORDINARY} THEN ($4::int[])[1 + width_bucket({day}, $3::date[])]"
        f" ELSE ($5::int[])[1 + width_bucket({day}, $3::date[])] END"
    )


_FIRST, _LAST = _copies_before("lower(one)"), _copies_before(f"coalesce(upper(one), {2**31 - 1})")


def _served(day: str) -> str:
    """Return the SQL for how many of the copies are served until the end of a day."""
    return f"""(SELECT coalesce(sum(greatest(0, least({_LAST}, {_copies_through(day)}) - {_FIRST})), 0)::int
        FROM unnest(copies) AS one)"""  # noqa: S608 - expressions


def _grace_served(day: str) -> str:
    """Return the SQL for how many grace copies count as served at the end of a day: they are charged with the payment."""
    return f"CASE WHEN {day} >= grace_on THEN grace ELSE 0 END"


def _earned(day: str, back: str, of_print: str, limit: str) -> str:
    """Return the SQL for what is earned of a payment: see the domain's ``_earned``. Ends before ``limit`` count."""
    sold = f"(CASE WHEN paid_on <= {day} THEN net ELSE 0 END)"
    printed = f"({sold} * part / whole - ({of_print}) - (({back}) - ({of_print})) * part / whole)"
    left = f"({sold} - ({back}))"
    is_over = f"coalesce(ended_on < {limit}, false)"
    print_is_over = f"({is_over} OR coalesce(print_ends_on < {limit}, false))"
    days = (
        f"(CASE WHEN {is_over} THEN days WHEN begins_on IS NULL THEN 0"
        f" ELSE least(days, greatest(0, {day} - begins_on + 1)) END)"
    )
    print_left = f"least({left}, greatest(0, {printed}))"
    copies = (  # print that was dropped has fewer copies than were paid for
        "greatest(1, grace + CASE WHEN goes_on OR planned = 0 OR print_ends_on IS NOT NULL THEN greatest(planned, expected)"
        " ELSE planned END)"
    )
    return (
        f"(CASE WHEN part = 0 THEN 0 WHEN {print_is_over} THEN {print_left}"
        f" WHEN planned IS NULL THEN {print_left} * {days} / days ELSE {print_left} * served_copies / {copies} END"
        f" + ({left} - CASE WHEN part = 0 THEN 0 ELSE {print_left} END) * {days} / days)"
    )


_HAS_PRINT = "t.print_edition AND t.print_from IS NULL"  # that its own payment paid for
_CONFIRMED_REFUNDS = f"refunds WHERE status IN ({_listed(CONFIRMED)})"
_LOST_DISPUTES = "disputes WHERE status = 'lost' AND payment_id IS NOT NULL"
# What the dated parts of a credit lack was recorded by an earlier release, and is dated at the next change at Stripe.
_RETURNED = f"""
    credited AS (
        SELECT own.id, own.net, own.tax, each.subscription_id, each.credited - recorded.amount AS undated,
            CASE WHEN recorded.amount > 0 THEN each.credited_at ELSE '{{{{}}}}' END AS known_at,
            CASE WHEN recorded.amount > 0 THEN each.credited_parts ELSE '{{{{}}}}' END AS known_parts
        FROM single own CROSS JOIN LATERAL (SELECT * FROM payments p WHERE p.id = own.id OFFSET 0) each
            CROSS JOIN LATERAL (
                SELECT CASE WHEN sum(part) <= each.credited THEN sum(part)::bigint ELSE 0 END AS amount
                FROM unnest(each.credited_parts) AS part) recorded
        WHERE own.credited > 0),
    returned AS MATERIALIZED (
        SELECT payment_id, on_day, sum(given)::bigint AS given, sum(given_print)::bigint AS given_print FROM (
            SELECT payment_id, coalesce(made_at, created_at)::date AS on_day, amount - tax AS given,
                CASE WHEN basis = '{RefundBasis.PRINT_DROPPED}' THEN amount - tax ELSE 0 END AS given_print
            FROM {_CONFIRMED_REFUNDS} {{of_chosen}}
            UNION ALL
            SELECT payment_id, coalesce(closed_at, opened_at)::date, lost - p.tax * lost / (p.net + p.tax), 0
            FROM (SELECT * FROM {_LOST_DISPUTES} {{of_chosen}}) d JOIN single p ON p.id = d.payment_id
                CROSS JOIN LATERAL (SELECT CASE WHEN d.currency = p.currency THEN least(d.amount, p.net + p.tax)
                    ELSE p.net + p.tax END AS lost) part
            UNION ALL
            SELECT own.id, part.at::date, part.amount - own.tax * part.through / (own.net + own.tax)
                + own.tax * (part.through - part.amount) / (own.net + own.tax), 0
            FROM credited own CROSS JOIN LATERAL (
                SELECT at, amount, sum(amount) OVER (ORDER BY place)::bigint AS through
                FROM unnest(
                    known_at || CASE WHEN undated > 0 THEN (SELECT max(created_at) FROM credits c
                        WHERE c.subscription_id = own.subscription_id AND kind IN ({_listed(CREDITED)})) END,
                    known_parts || undated
                ) WITH ORDINALITY AS each (at, amount, place) WHERE amount > 0 AND at IS NOT NULL) part
        ) each_return GROUP BY payment_id, on_day
    )"""  # noqa: S608 - names of statuses, kinds and bases
_EXTENDED = """(SELECT invoice_id, sum(issues)::bigint AS issues
        FROM issue_adjustments p WHERE true {chosen} GROUP BY invoice_id) extended"""
_TERM_ENDED_AT = """coalesce(t.copies_ended_at, t.credited_at,
        CASE WHEN t.refunded_as IS NOT NULL AND t.restored_as IS NULL THEN t.refunded_at END)"""

# What any payment bought.
_SENT_IN_GRACE = "(SELECT subscription_id FROM terms WHERE grace_sent > 0)"
# The terms that were paid after the grace period, charged for the grace copies before: see app.domain.issues.schedule_terms.
_GRACED = """
    graced AS MATERIALIZED (
        SELECT t.invoice_id, least(before.grace_sent, t.issues_owed)::int AS grace, paid.last_at::date AS grace_on
        FROM terms before CROSS JOIN LATERAL (
                SELECT * FROM terms n WHERE n.subscription_id = before.subscription_id
                    AND (n.starts_at, n.invoice_id) > (before.starts_at, before.invoice_id)
                ORDER BY n.starts_at, n.invoice_id LIMIT 1) t
            LEFT JOIN offers ON offers.id = t.offer
            CROSS JOIN LATERAL (SELECT max(paid_at) AS last_at FROM payments p WHERE p.invoice_id = t.invoice_id) paid
        WHERE before.grace_sent > 0 AND t.print_edition {graced} AND paid.last_at > t.starts_at
            + make_interval(secs => coalesce((offers.content ->> 'grace_period')::float8, $11::float8)))"""
_LATER = f"""
    later AS MATERIALIZED (  -- what was paid within a term, such as for print: see app.domain.progress.term_of
        SELECT p.id, {term_of_later("p")} AS term FROM payments p
        WHERE {is_later("p")} AND NOT EXISTS (SELECT FROM terms t WHERE t.invoice_id = p.invoice_id) {{paying}}
    )"""  # noqa: S608 - expressions
_BEGINS_AT = """CASE WHEN p.invoice_id = t.invoice_id THEN t.starts_at
    WHEN t.invoice_id IS NOT NULL THEN greatest(t.starts_at, coalesce(p.print_from, p.paid_at)) END"""
_ENDED_AT = f"""CASE WHEN t.invoice_id IS NULL
    THEN (SELECT coalesce(s.ended_here_at, s.ended_at) FROM subscriptions s WHERE s.id = p.subscription_id)
    ELSE {_TERM_ENDED_AT} END"""  # noqa: S608 - expressions
# Print that was dropped and added again was paid by different payments, each for its own period.
_LATER_COPIES = (
    "t.copies * int4multirange(int4range("
    f"coalesce(($2::int[])[1 + width_bucket(p.print_from, $10::timestamptz[])], {2**31 - 1}), NULL))"
)
_IS_PAID_AGAIN = "p.print_from IS NOT NULL AND p.invoice_id <> t.invoice_id AND t.earlier_print <> '{{}}'"
_COPIES = f"""CASE WHEN t.print_edition THEN CASE WHEN {_IS_PAID_AGAIN} THEN {_LATER_COPIES} ELSE t.copies END END"""
_PRINT_ENDS_AT = """CASE WHEN t.earlier_print = '{{}}' THEN t.print_until ELSE coalesce((
    SELECT t.earlier_print[n + 1] FROM generate_series(1, cardinality(t.earlier_print), 2) n
    WHERE greatest(t.starts_at, coalesce(p.print_from, t.starts_at)) >= t.earlier_print[n]
        AND greatest(t.starts_at, coalesce(p.print_from, t.starts_at)) < t.earlier_print[n + 1]), t.print_until) END"""
_EACH = f"""
        SELECT p.id, p.subscription_id, p.currency, p.amount - p.tax AS net, p.tax, p.credited,
            p.paid_at::date AS paid_on, t.plan, plans.doubles, {_COPIES} AS copies,
            CASE WHEN p.print_from IS NOT NULL THEN 1
                 WHEN t.print_edition AND coalesce(t.earlier_print[1] <= t.starts_at, t.print_from IS NULL)
                 THEN coalesce(p.print_part, plans.part, 0) ELSE 0 END AS part,
            CASE WHEN p.print_from IS NOT NULL THEN 1 ELSE coalesce(p.print_whole, plans.whole, 1) END AS whole,
            ({_BEGINS_AT})::date AS begins_on, greatest(1, t.ends_at::date - ({_BEGINS_AT})::date) AS days,
            CASE WHEN p.print_from IS NULL OR p.invoice_id = t.invoice_id OR t.ends_at <= t.starts_at
                 THEN t.issues_owed + coalesce(extended.issues, 0) - coalesce(graced.grace, 0)
                 ELSE ceil(t.issues_owed * extract(epoch FROM t.ends_at - greatest(p.print_from, t.starts_at))
                     / extract(epoch FROM t.ends_at - t.starts_at))::bigint END AS expected,
            ({_PRINT_ENDS_AT})::date AS print_ends_on, ({_ENDED_AT})::date AS ended_on,
            coalesce(graced.grace, 0) AS grace, graced.grace_on
        FROM payments p LEFT JOIN later ON later.id = p.id
            LEFT JOIN terms t ON t.invoice_id = coalesce(later.term, p.invoice_id)
            LEFT JOIN plans ON plans.plan = t.plan
            LEFT JOIN {_EXTENDED} ON extended.invoice_id = t.invoice_id
            LEFT JOIN graced ON graced.invoice_id = p.invoice_id
        WHERE p.amount > 0 {{paying}}"""  # noqa: S608 - expressions

# The payments that opened a term, counted by what they bought. Those that are not alike have an ID.
_IS_RETURNED = f"""p.id IN (SELECT payment_id FROM {_CONFIRMED_REFUNDS}
                    UNION ALL SELECT payment_id FROM {_LOST_DISPUTES})"""  # noqa: S608 - names of statuses
_ALIKE = """currency, net, paid_on, plan, print_part, print_whole, copies, begins_on, ends_on, expected, print_ends_on,
            ended_on"""
_COUNTED = f"""
    counted AS MATERIALIZED (
        SELECT count(*) AS payments, id, count(*) FILTER (WHERE has_own_rule) AS own_rules,
            min(invoice_id) FILTER (WHERE id IS NOT NULL) AS invoice_id, max(tax) AS tax, max(credited) AS credited,
            {_ALIKE}
        FROM (
            SELECT CASE WHEN of_payment.has_own_rule OR p.credited > 0 OR {_IS_RETURNED} OR CASE WHEN {_HAS_PRINT}
                    THEN p.invoice_id IN (SELECT invoice_id FROM issue_adjustments) END THEN p.id END AS id,
                of_payment.has_own_rule, p.invoice_id, p.tax, p.credited,
                currency, net, paid_on, t.starts_at::date AS begins_on, t.ends_at::date AS ends_on,
                ({_TERM_ENDED_AT})::date AS ended_on,
                CASE WHEN {_HAS_PRINT} THEN t.plan END AS plan,
                CASE WHEN {_HAS_PRINT} THEN p.print_part END AS print_part,
                CASE WHEN {_HAS_PRINT} THEN p.print_whole END AS print_whole,
                CASE WHEN {_HAS_PRINT} THEN t.copies END AS copies,
                CASE WHEN {_HAS_PRINT} THEN t.issues_owed END AS expected,
                CASE WHEN {_HAS_PRINT} THEN t.print_until::date END AS print_ends_on
            FROM (SELECT id, invoice_id, currency, amount - tax AS net, tax, credited, paid_at::date AS paid_on,
                    print_part, print_whole, print_from IS NOT NULL AS is_later
                FROM payments WHERE amount > 0 OFFSET '0') p
                LEFT JOIN terms t ON t.invoice_id = p.invoice_id
                CROSS JOIN LATERAL (SELECT p.is_later OR t.invoice_id IS NULL
                    OR (t.print_from IS NOT NULL AND t.earlier_print <> '{{{{}}}}')
                    OR CASE WHEN t.print_edition THEN t.subscription_id IN {_SENT_IN_GRACE} END IS TRUE
                    AS has_own_rule) of_payment
            OFFSET '0') each_payment
        GROUP BY id, {_ALIKE}),
"""  # noqa: S608 - expressions
_ENDS = "print_ends_on, ended_on"
_SHARE_OF_GROUP = "coalesce(print_part, plans.part, 0) AS part, coalesce(print_whole, plans.whole, 1) AS whole"
_GRACE = "grace, grace_on"
_NO_GRACE = "0 AS grace, NULL::date AS grace_on"
_ALONE = f"""
        SELECT id, NULL AS subscription_id, currency, net, tax, credited, paid_on, c.plan, plans.doubles, copies,
            {_SHARE_OF_GROUP}, begins_on,
            greatest(1, ends_on - begins_on) AS days, expected + coalesce(extended.issues, 0) AS expected, {_ENDS},
            {_NO_GRACE}
        FROM counted c LEFT JOIN plans ON plans.plan = c.plan LEFT JOIN {_EXTENDED} ON extended.invoice_id = c.invoice_id
        WHERE id IS NOT NULL AND own_rules = 0
        UNION ALL {_EACH}"""  # noqa: S608 - expressions
_EVERY = f"""
        SELECT 1::bigint AS payments, id, subscription_id, currency, net, paid_on, plan, doubles, copies, part, whole,
            begins_on, days, expected, {_ENDS}, {_GRACE} FROM single"""  # noqa: S608 - names
_GROUPS = f"""
        SELECT payments, NULL AS id, NULL AS subscription_id, currency, net, paid_on, c.plan, plans.doubles, copies,
            {_SHARE_OF_GROUP}, begins_on,
            greatest(1, ends_on - begins_on) AS days, expected, {_ENDS}, {_NO_GRACE}
        FROM counted c LEFT JOIN plans ON plans.plan = c.plan WHERE id IS NULL
        UNION ALL {_EVERY}"""  # noqa: S608 - expressions


def _cumulative(single: str, paid: str, counted: str = "") -> str:
    """Return the SQL for the totals of payments until each moment, each times its ``payments``."""
    return f"""
    moments AS MATERIALIZED (
        SELECT day, point::int, row_number() OVER (ORDER BY point)::int AS position
        FROM unnest($1::date[]) WITH ORDINALITY AS each (day, point) WHERE day IS NOT NULL),
    plans AS MATERIALIZED (
        SELECT * FROM unnest($6::text[], $7::bigint[], $8::bigint[], $9::int[]) AS each (plan, part, whole, doubles)),
    {counted} {_LATER}, {_GRACED}, single AS MATERIALIZED ({single}), {_RETURNED}, paid AS MATERIALIZED ({paid}),
    spans AS MATERIALIZED (  -- few, because many terms owe the same copies
        SELECT DISTINCT copies, plan, doubles FROM paid WHERE copies IS NOT NULL AND part > 0),
    progress AS MATERIALIZED (  -- how many copies are on the calendar, and served until each moment; and whether more follow
        SELECT copies, plan, on_calendar.*, ARRAY(SELECT {_served("m.day")} FROM moments m ORDER BY m.point) AS served
        FROM spans CROSS JOIN LATERAL (
            SELECT coalesce(sum({_LAST} - {_FIRST}), 0)::int AS planned, coalesce(bool_or(upper_inf(one)), true) AS goes_on
            FROM unnest(copies) AS one) on_calendar),
    sums AS (
        SELECT payment_id, on_day, lead(on_day) OVER earlier AS until_day,
            sum(given) OVER earlier AS back, sum(given_print) OVER earlier AS print,
            sum(given) OVER earlier - given AS back_before, sum(given_print) OVER earlier - given_print AS print_before
        FROM returned WINDOW earlier AS (PARTITION BY payment_id ORDER BY on_day)),
    returns AS (
        SELECT single.*, sums.*, progress.planned, progress.goes_on, progress.served,
            CASE WHEN progress.planned IS NOT NULL THEN {_served("on_day")} + {_grace_served("on_day")} END AS served_copies
        FROM sums JOIN single ON single.id = sums.payment_id
            LEFT JOIN progress USING (copies, plan)
        OFFSET '0'),
    reversals AS MATERIALIZED (  -- what is reversed on each day on which something was returned
        SELECT subscription_id, currency, net, paid_on, part, whole, begins_on, days, expected, {_ENDS}, {_GRACE},
            on_day, until_day, planned, goes_on, served, returns.back::bigint, returns.print::bigint, greatest(0,
                {_earned("on_day", "was.back", "was.print", "on_day")}
                - {_earned("on_day", "became.back", "became.print", "on_day + 1")})::bigint AS reversed
        FROM returns CROSS JOIN LATERAL (SELECT CASE WHEN paid_on <= on_day THEN net ELSE 0 END) AS sold (amount)
            CROSS JOIN LATERAL (SELECT least(back_before, sold.amount)::bigint,
                least(print_before, sold.amount)::bigint) AS was (back, print)
            CROSS JOIN LATERAL (SELECT least(returns.back, sold.amount)::bigint,
                least(returns.print, sold.amount)::bigint) AS became (back, print)),
    cumulative AS NOT MATERIALIZED (  -- each payment until something is returned of it, and after each return
        SELECT subscription_id, currency, m.point, payments * sold.amount AS sold,
            CASE WHEN m.day < first_return.on_day OR first_return.on_day IS NULL
                THEN payments * {_earned("m.day", "0", "0", "m.day + 1")} ELSE 0 END AS earned,
            0::bigint AS reversed, 0::bigint AS refunded
        FROM paid LEFT JOIN progress USING (copies, plan)
            LEFT JOIN (SELECT payment_id AS id, min(on_day) AS on_day FROM returned GROUP BY payment_id) first_return
            USING (id)
            CROSS JOIN moments m
            CROSS JOIN LATERAL (SELECT progress.served[m.position] + {_grace_served("m.day")}) AS progress_on (served_copies)
            CROSS JOIN LATERAL (SELECT CASE WHEN paid_on <= m.day THEN net ELSE 0 END) AS sold (amount)
        UNION ALL
        SELECT subscription_id, currency, m.point, 0, reversed + CASE WHEN m.day < until_day OR until_day IS NULL
                THEN {_earned("m.day", "became.back", "became.print", "m.day + 1")} ELSE 0 END,
            reversed, CASE WHEN m.day < until_day OR until_day IS NULL THEN became.back ELSE 0 END
        FROM reversals JOIN moments m ON on_day <= m.day
            CROSS JOIN LATERAL (SELECT served[m.position] + {_grace_served("m.day")}) AS progress_on (served_copies)
            CROSS JOIN LATERAL (SELECT CASE WHEN paid_on <= m.day THEN net ELSE 0 END) AS sold (amount)
            CROSS JOIN LATERAL (SELECT least(reversals.back, sold.amount),
                least(reversals.print, sold.amount)) AS became (back, print))
"""  # noqa: S608 - expressions


_GROUPED = _cumulative(_ALONE, _GROUPS, _COUNTED).format(
    chosen="", of_chosen="", graced="", paying="AND p.id IN (SELECT id FROM counted WHERE own_rules = 1)"
)
_ONE_BY_ONE = _cumulative(_EACH, _EVERY)
_ALL = _ONE_BY_ONE.format(chosen="", of_chosen="", graced="", paying="")
_CHOSEN = _ONE_BY_ONE.format(
    chosen="AND p.subscription_id = ANY($13::text[])",
    of_chosen="AND payment_id IN (SELECT id FROM payments WHERE subscription_id = ANY($13::text[]))",
    graced="AND before.subscription_id = ANY($13::text[])",
    paying="AND p.subscription_id = ANY($13::text[])",
)
_SUMS = ", ".join(f"sum({name})::bigint AS {name}" for name in FIGURES)
TOTALS = f"WITH {_GROUPED} SELECT currency, point, {_SUMS} FROM cumulative GROUP BY currency, point"  # noqa: S608 - names


def _added(figure: str) -> str:
    return f"coalesce(sum({figure}) FILTER (WHERE point = 2), 0) - coalesce(sum({figure}) FILTER (WHERE point = 1), 0)"


def _by_subscription(cumulative: str, columns: str, chosen: str = "") -> str:
    """Return a statement for the figures of each subscription between two moments, which may be those of closed months."""
    return f"""
        WITH {cumulative}, found AS (
            SELECT subscription_id, currency, point, {", ".join(FIGURES)} FROM cumulative
            UNION ALL
            SELECT p.subscription_id, p.currency, closed.point, {", ".join(f"p.{name}" for name in FIGURES)}
            FROM liability_entries p JOIN unnest($12::date[]) WITH ORDINALITY AS closed (month, point)
                ON p.month <= closed.month WHERE true {chosen})
        SELECT {columns} FROM found GROUP BY subscription_id, currency"""  # noqa: S608 - expressions


_OWED = "sold - earned + reversed - refunded"
_COLUMNS = f"""
    subscription_id AS subscription, currency,
    coalesce(sum({_OWED}) FILTER (WHERE point = 1), 0)::bigint AS opening, ({_added("sold")})::bigint AS sales,
    ({_added("earned")})::bigint AS earned, ({_added("reversed")})::bigint AS earned_reversed,
    ({_added("refunded")})::bigint AS refunds,
    coalesce(sum({_OWED}) FILTER (WHERE point = 2), 0)::bigint AS closing"""
_NOT_EMPTY = f"""
    HAVING coalesce(sum({_OWED}) FILTER (WHERE point = 1), 0) <> 0
        OR {" OR ".join(f"{_added(name)} <> 0" for name in FIGURES)}"""
SUBSCRIPTIONS = (
    _by_subscription(_CHOSEN, _COLUMNS, "AND p.subscription_id = ANY($13::text[])") + _NOT_EMPTY + " ORDER BY 1, 2"
)
FILE = _by_subscription(_ALL, _COLUMNS) + _NOT_EMPTY + " ORDER BY 1, 2"
_ADDED = ", ".join(f"({_added(name)})::bigint" for name in FIGURES)
CLOSE = f"""
    INSERT INTO liability_entries (subscription_id, month, currency, {", ".join(FIGURES)})
    {_by_subscription(_ALL, f"subscription_id, $13::date, currency, {_ADDED}")}
    HAVING {" OR ".join(f"{_added(name)} <> 0" for name in FIGURES)}
"""
