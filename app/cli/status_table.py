"""``newsstand lives``: the page of the documentation that tells what each state of a subscription means."""

from collections.abc import Iterator

import typer

from app.domain.status_table import STATES, TABLE, Cell, Circumstance
from app.domain.transitions import STEPS, reached_from, why_not

INTRODUCTION = """\
# The life of a subscription

Every state that Stripe can put a subscription in has one answer here. This page is made from the table in
`app/domain/status_table.py` by `make reference`, and a test holds it to the code.

Several things may be true of a subscription at once; the first of these counts:
{circumstances}.

*What is paid for* are the paid terms that were not given back. The **renewal allowance** (`NEWSSTAND_RENEWAL_ALLOWANCE`) and
the **grace period** (`NEWSSTAND_GRACE_PERIOD`) run from the end of the newest of them. A trial gives what is digital to its
end, and the first payment after it is waited for like a renewal's. A dispute suspends or ends the term that it is about,
whatever the state.

A cell that **cannot be** is reported if it is met all the same, and so is a state that this release does not know: what is
paid for stays, nothing beyond it is given, and staff see it with the reason (`GET /v1/support/anomalies`).
"""
MOVES = """\
## From state to state

What brings a subscription from the state on the left into the one above, in one step, or in *several*: between two looks of
ours there may be many. Where there is no road, **–**, it is reported if it is met all the same (`impossible_move`), for as
long as nothing leads from there to where it is: what is paid for stays, and nothing beyond it is given. One that we ended
ourselves and that lives again is ended again.
"""
BY_HAND = """\
## Made by hand in Stripe

| what | what follows |
|---|---|
| a payment refunded, whole | the term and the subscription end at once; a renewal paid in between goes back |
| a payment refunded in part | counts as goodwill: shown to staff, nothing ends; the part that leaves nothing of it counts \
as the whole |
| cancelled at period end, at a time, or at once | followed in each form; the first two are undone by one click here |
| the price changed to another of the same edition | the next term costs what Stripe says; what was paid stays as it is |
| the price changed to one of another product | staff see it; what was paid for stays to its end, and no term follows it |
| a coupon added | the next invoice is smaller; one that is free opens a term as well |
| print added or taken off | counts from the next term that is paid; staff add it within one by the API |
| the plan changed to another of the catalogue | counts from the next term that is paid |
| the period begun anew, or resumed from a pause | a new term, once its invoice is paid |
| paused: its collection, or the subscription | see above; what is paid for stays open |
| the customer deleted | Stripe cancels what they had, which is followed, and the audit log has it; their next checkout \
makes a new customer |
| the customer's address changed | not followed: who a reader is, the identity provider says. Staff see \
that they differ, until they no longer do. Of one who was imported and not met yet, Stripe is followed |
| customers merged | Stripe moves no subscription: what is ended is followed, what is made anew is one made by hand |
| a subscription made for a reader's customer | kept like one of a checkout; beside another paid one it is a double |
| a subscription made for another customer | adopted if its metadata names a reader who has no customer \
(`newsstand_subscriber`); else it grants nothing, and staff see it. Nobody is found by an address, which proves nothing |
| two plans in one, another product beside ours, a quantity, another currency | money stays what it is; staff see it; \
of two plans on one invoice none is granted |
| a state, or a kind of event, that does not exist yet | kept with the reason; what is paid for stays, nothing beyond it is \
given, and staff see the state until it is one we know |
"""


def page() -> str:
    """Return the page."""
    names = ", ".join(f"*{one.value}*" for one in Circumstance)
    return "\n".join([INTRODUCTION.format(circumstances=names), *_states(), MOVES, *_moves(), BY_HAND])


def _moves() -> Iterator[str]:
    yield _row("from", *(f"`{after}`" for after in STATES))
    yield "|---" * (len(STATES) + 1) + "|"
    for before in STATES:
        yield _row(f"`{before}`", *(_move(before, after) for after in STATES))
    yield ""
    for why in dict.fromkeys(why for a in STATES for b in STATES if (why := why_not(a, b)) is not None):
        yield f"- No road: {why}."
    yield ""


def _move(before: str, after: str) -> str:
    step = STEPS[before].get(after)
    if step is not None:
        return f"[{step.what}]({step.source})"
    if before == after:
        return "it stays"
    return "several" if after in reached_from(before) else ""


def _states() -> Iterator[str]:
    for status, words in STATES.items():
        yield f"## `{status}`\n\n{words}\n"
        yield "| | gives | the reader is told | staff are told | source |\n|---|---|---|---|---|"
        for circumstance in Circumstance:
            cell = TABLE[status][circumstance]
            if isinstance(cell, Cell):
                told = cell.reader + (f" (`{cell.action}`)" if cell.action else "")
                yield _row(circumstance.value, cell.access.value, told, cell.staff, _links(cell.source))
            else:
                yield _row(circumstance.value, "**cannot be**", "", cell.why, "")
        yield ""


def _row(*fields: str) -> str:
    return f"| {' | '.join(field or '–' for field in fields)} |"


def _links(source: str) -> str:
    parts = [part.strip() for part in source.split(";")]
    return ", ".join(f"[Stripe]({part})" if part.startswith("https://") else f"our rule: {part}" for part in parts)


def lives() -> None:
    """Print what each state of a subscription means, as a page in Markdown."""
    typer.echo(page(), nl=False)
