"""``newsstand status-table``: the documentation page about every subscription status."""

from collections.abc import Iterator
from dataclasses import replace

import typer

from app.domain.status_cells import AccessRule, Cell, Circumstance
from app.domain.status_table import STATES, TABLE
from app.domain.subscriptions import SubscriptionStatus
from app.domain.transitions import TRANSITIONS, reachable_from, unreachable_reason

INTRODUCTION = """\
# Subscription status table

For every status of a Stripe subscription, this table says what access it gives and what readers and staff see. The page is
generated from `app/domain/status_table.py` by `make reference`; a test keeps it current.

A subscription can be in several circumstances at once; the first of these counts:
{circumstances}.

A *paid term* is a term whose payment was not refunded. The **renewal allowance** (`NEWSSTAND_RENEWAL_ALLOWANCE`) and the
**grace period** (`NEWSSTAND_GRACE_PERIOD`) start at the end of the newest paid term. For an invoice sent by email, the grace
period starts at its due date. A trial gives digital access until it ends; after that, the first payment is awaited like a
renewal. A dispute suspends or ends its own term, in any status.

The *renewal* is the unpaid invoice for the next term. Its payment is *processing* while a bank debit is on its way.
It is *held back* if Stripe does nothing until somebody acts: its invoice is kept as a draft, could not be finalized, is open
but not collected, or was voided or marked as uncollectible. Rows that begin with *after that* say what applies once the
access of the row above has ended. Then the reader can subscribe again, and the old subscription is ended first.

If an **impossible** combination occurs anyway, or a status that this release doesn't know, it is reported: paid terms keep
their access, nothing beyond them is granted, and staff see the reason (`GET /v1/support/anomalies`).
"""
TRANSITIONS_TEXT = """\
## Transitions

Each cell says what takes a subscription from the status on the left to the status above in one step, or that it takes
*several*. Newsstand fetches a subscription only now and then, so several steps may happen between two fetches. A transition
marked **–** is impossible. If it occurs anyway, it is reported (`impossible_move`) until the subscription reaches a status
that is possible again; paid terms keep their access, and nothing beyond them is granted. A subscription that Newsstand ended
and that becomes active again is ended again.
"""
MANUAL_CHANGES = """\
## Manual changes at Stripe

| change | effect |
|---|---|
| payment refunded in full | the term and the subscription end at once; a renewal paid in between is refunded |
| payment refunded in part | counts as goodwill: staff see it, nothing ends; when nothing is left of the payment, it counts \
as refunded in full |
| canceled at period end, at a time, or at once | followed in each form; the first two can be undone by the reader |
| price changed to another price of the same edition | the next term costs the new price; paid terms stay as they are |
| price changed to a price of another product | staff see it; paid terms stay to their end, and no term follows |
| coupon added | the next invoice is smaller; a free invoice opens a term as well |
| print added | with an invoice for the rest of the term: from when that is paid; otherwise from the next paid term |
| print removed | not in the next term; if the rest of the term was credited, until then |
| plan changed to another plan of the catalogue | the current term continues with it once the change is paid for; otherwise \
it counts from the next paid term |
| interval changed | a new term, once its invoice is paid; the old one ends where its rest is credited, or is served \
to its end |
| price of our product with another interval | each term owes its share of the plan's issues; staff see an interval that \
splits issues |
| billing date moved with a trial | the paid term stays, and a trial fills the time until the new date |
| invoice paid by bank transfer, outside Stripe or in parts | each part is a payment; what was paid outside Stripe can't be \
refunded by Stripe |
| billing period restarted, or resumed from a pause | a new term, once its invoice is paid |
| collection or subscription paused | see above; paid terms keep their access |
| customer deleted | Stripe cancels their subscriptions, which is followed and recorded in the audit log; their next \
checkout creates a new customer |
| customer's email address changed | not followed, because the identity provider says who a reader is. Staff see the \
difference while it exists. For an imported customer who has not signed in yet, the change is followed |
| customers merged | Stripe moves no subscription: ended ones are followed; new ones count as created manually |
| subscription created for a reader's customer | treated like one from checkout; beside another paid one it is a duplicate |
| subscription created for another customer | adopted if its metadata names a reader who has no customer \
(`newsstand_subscriber`); otherwise it grants nothing and staff see it. Email addresses are not used for matching, because \
they prove nothing |
| two plans in one, a foreign product, a quantity, another currency | the payment stays as it is; staff see it; of two \
plans on one invoice, neither is granted |
| a status or event type that doesn't exist yet | stored with the reason; paid terms keep their access, nothing beyond them \
is granted, and staff see the status until it is a known one |
"""


def page() -> str:
    """Return the page in Markdown."""
    names = ", ".join(f"*{one.value}*" for one in Circumstance)
    return "\n".join(
        [INTRODUCTION.format(circumstances=names), *_states(), TRANSITIONS_TEXT, *_transitions(), MANUAL_CHANGES]
    )


def _transitions() -> Iterator[str]:
    yield _row("from", *(f"`{after}`" for after in STATES))
    yield "|---" * (len(STATES) + 1) + "|"
    for before in STATES:
        yield _row(f"`{before}`", *(_transition(before, after) for after in STATES))
    yield ""
    for why in dict.fromkeys(why for a in STATES for b in STATES if (why := unreachable_reason(a, b)) is not None):
        yield f"- Impossible: {why}."
    yield ""


def _transition(before: SubscriptionStatus, after: SubscriptionStatus) -> str:
    step = TRANSITIONS[before].get(after)
    if step is not None:
        return f"[{step.what}]({step.source})"
    if before == after:
        return "unchanged"
    return "several" if after in reachable_from(before) else ""


def _states() -> Iterator[str]:
    for status, words in STATES.items():
        yield f"## `{status}`\n\n{words}\n"
        yield "| | access | the reader sees | staff see | source |\n|---|---|---|---|---|"
        impossible: dict[str, list[str]] = {}
        for circumstance in Circumstance:
            cell = TABLE[status][circumstance]
            if isinstance(cell, Cell):
                yield _cell(circumstance.value, cell)
                if cell.after is not None:
                    yield _cell("*after that*", replace(cell.after, access=AccessRule.NOTHING))
            else:
                impossible.setdefault(cell.why, []).append(circumstance.value)
        for why, names in impossible.items():
            yield _row(", ".join(names), "**impossible**", "", why, "")
        yield ""


def _cell(name: str, cell: Cell) -> str:
    reader = cell.reader + (f" (`{cell.action}`)" if cell.action else "")
    return _row(name, cell.access.value, reader, cell.staff, _links(cell.source))


def _row(*fields: str) -> str:
    return f"| {' | '.join(field or '–' for field in fields)} |"


def _links(source: str) -> str:
    parts = [part.strip() for part in source.split(";")]
    return ", ".join(f"[Stripe]({part})" if part.startswith("https://") else f"rule: {part}" for part in parts)


def status_table() -> None:
    """Print the subscription status table as a Markdown page."""
    typer.echo(page(), nl=False)
