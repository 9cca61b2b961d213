"""
Finding readers: the list of them with its filters, and the search.

The database finds candidates, a bounded number of them, and they are ranked here: those whose name is most like what was
typed come first. If a search finds nobody, words are corrected that are one or two letters away from a name.
"""

import contextlib
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from rapidfuzz import fuzz
from rapidfuzz.distance import DamerauLevenshtein

from app.aggregates import reader_views
from app.context import Context
from app.db import audit, comps, reader_filters, reader_search, subscriptions, terms
from app.db.engine.fast_reads import FastReads
from app.db.reader_search import Candidate, Found
from app.db.subscribers import Subscriber
from app.domain import reader_summary
from app.domain.current_subscription import current_subscription
from app.domain.pages import BadCursor, Page
from app.domain.reader_names import anywhere, misspellings, terms_of
from app.domain.reader_names import words_of as words_in
from app.domain.reader_search import Filters, Position, card_digits, value_of
from app.domain.reader_views import Place, Viewer
from app.domain.subscriptions import OVER, Subscription, SubscriptionStatus

SHORTEST_CORRECTED = 3  # letters
LONG = 7  # letters; such a word may have two mistakes
BEGINNING = 3  # letters of a long word with two mistakes, which must be right
MOST_DIFFERENT = 1000  # parts of names with that beginning
MOST_CORRECTIONS = 10  # of one word
EXPORT_SLICE = 500  # readers
# Scores. A name gets up to 300, by its similarity to the search.
BY_VALUE = {
    "id": 2000.0,
    "sign_in_id": 1800.0,
    "invoice": 1500.0,
    "email": 1000.0,
    "former_email": 900.0,
    "email_beginning": 350.0,
}
BY_CARD = 400.0
BY_ADDRESS = 310.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundReader:
    """A reader in the list. ``subscription`` is the current one."""

    subscriber: Subscriber
    subscription: Subscription | None
    summary: str  # about their access, in one sentence

    @property
    def status(self) -> str | None:
        """The status of the subscription, as the filters know it: one that was ended here is canceled."""
        if self.subscription is None:
            return None
        is_over = self.subscription.status in OVER or self.subscription.access_ended_at is None
        return self.subscription.status if is_over else SubscriptionStatus.CANCELED


@dataclass(frozen=True, slots=True, kw_only=True)
class Results(Page[FoundReader]):
    """A page of readers. ``exact`` is the reader with the ID of Newsstand or Stripe that was searched for."""

    exact: str | None = None
    is_cut: bool = False  # more readers may match than the list has


@dataclass(slots=True)
class _Ranking:
    """Candidates with their best score, and whether there may be more."""

    scores: dict[str, float] = field(default_factory=dict)
    is_cut: bool = False

    def add(self, reader_id: str, score: float) -> None:
        """Add a candidate. Scores are rounded as in the cursor."""
        self.scores[reader_id] = max(round(score, 3), self.scores.get(reader_id, 0.0))

    def add_found(self, found: Found, score: Callable[[Candidate], float]) -> None:
        """Add what a search has found."""
        for one in found.candidates:
            self.add(one.id, score(one))
        self.is_cut = self.is_cut or found.is_cut

    def page(self, after: str | None, limit: int) -> tuple[list[str], str | None]:
        """Return the IDs of a page, the best first, and the cursor of the next page."""
        ranked = sorted(self.scores.items(), key=lambda item: (-item[1], item[0]))
        if after is not None:
            start = _parse_rank(after)
            ranked = [one for one in ranked if (-one[1], one[0]) > start]
        shown = ranked[:limit]
        more = f"{shown[-1][1]:.3f}~{shown[-1][0]}" if len(ranked) > limit else None
        return [reader for reader, _ in shown], more


def _parse_rank(cursor: str) -> tuple[float, str]:
    score, _, reader = cursor.partition("~")
    with contextlib.suppress(ValueError):
        if math.isfinite(found := float(score)):
            return -found, reader
    raise BadCursor("Use the `next` value of a page of the same list")


async def find(
    ctx: Context, query: str, filters: Filters, *, after: str | None, limit: int, viewer: Viewer, now: datetime
) -> Results:
    """
    Return readers that match a search and filters: the best matches first, and without a search the newest.

    :raises BadCursor: ``after`` is not the cursor of a page of this list.
    """
    read, query = ctx.reads, query.strip()
    exact, is_cut = None, False
    if query:
        ranking, exact = await _search(read, query, filters, now=now)
        ids, more = ranking.page(after, limit)
        is_cut = ranking.is_cut
    else:
        start = Position.parse(after) if after is not None else None
        listed = await reader_filters.newest(read, filters, after=start, limit=limit + 1, now=now)
        ids = [one.id for one in listed[:limit]]
        more = str(listed[limit - 1].position) if len(listed) > limit else None
    await reader_views.record(ctx.reads, ids, replace(viewer, place=Place.SEARCH))
    return Results(items=await _details(ctx, read, ids, now=now), next=more, exact=exact, is_cut=is_cut)


async def export(ctx: Context, filters: Filters, *, by: str, now: datetime) -> AsyncIterator[Sequence[FoundReader]]:
    """
    Yield all readers that match filters, in slices. Who exported which readers is recorded.

    :param by: the person, as in the audit log.
    """
    async with ctx.sessions.begin() as session:
        await audit.record(
            session, actor=by, action="readers.exported", object_id="readers", after={"filters": described(filters)}
        )
    read, start = ctx.reads, None
    while True:
        listed = await reader_filters.newest(read, filters, after=start, limit=EXPORT_SLICE, now=now)
        ids = [one.id for one in listed]
        await reader_views.record(ctx.reads, ids, Viewer(actor=by, place=Place.EXPORT))
        yield await _details(ctx, read, ids, now=now)
        if len(listed) < EXPORT_SLICE:
            return
        start = listed[-1].position


def described(filters: Filters) -> dict[str, object]:
    """Return the filters that are set, for the audit log."""
    found = {
        "status": filters.status,
        "plan": filters.plan,
        "edition": {None: None, True: "print", False: "digital"}[filters.print_edition],
        "ends_soon": filters.ends_soon,
        "unpaid": filters.unpaid,
        "disputed": filters.disputed,
        "complimentary": filters.complimentary,
    }
    return {name: value for name, value in found.items() if value not in {None, False}}


async def _details(ctx: Context, read: FastReads, ids: Sequence[str], *, now: datetime) -> list[FoundReader]:
    """Return readers with their current subscriptions, in the order of the IDs."""
    if not ids:
        return []
    found = await reader_search.details(read, ids)
    owned = await subscriptions.of_subscribers(read, ids)
    paid = await terms.of_subscriptions(read, [one.id for its in owned.values() for one in its])
    given = await comps.of_subscribers(read, ids)
    readers = []
    for reader_id in ids:
        held = [(one, paid.get(one.id, [])) for one in owned.get(reader_id, ())]
        current = current_subscription(held)
        until = max((one.until for one in given.get(reader_id, ()) if one.removed_at is None), default=None)
        if reader_id in found:
            summary = reader_summary.summary_of(held, policy=ctx.rules.access, guest_until=until, now=now)
            own = current[0] if current is not None else None
            readers.append(FoundReader(subscriber=found[reader_id], subscription=own, summary=summary.text))
    return readers


async def _search(read: FastReads, query: str, filters: Filters, *, now: datetime) -> tuple[_Ranking, str | None]:
    """Return the ranked candidates, and the reader with an ID."""
    ranking, words = _Ranking(), terms_of(query)
    value = value_of(query)
    by_value = await reader_search.by_value(read, value) if value is not None else []
    exact = next((reader for reader, found_by in by_value if found_by == "id"), None)
    ranking.is_cut = len(by_value) >= reader_search.EMAILS
    fitting = {reader for reader, _ in by_value}
    if by_value and filters.is_set:
        ids = sorted(fitting)
        fitting = {one.id for one in await reader_search.by_ids(read, ids, filters, now=now)}
    for reader, found_by in by_value:
        if reader in fitting:
            ranking.add(reader, BY_VALUE[found_by])
    exact = exact if exact in fitting else None  # the filters count for an ID, too
    if exact is None and words:
        await _search_names(read, query, words, filters, ranking, now=now)
    return ranking, exact


async def _search_names(
    read: FastReads, query: str, words: list[str], filters: Filters, ranking: _Ranking, *, now: datetime
) -> None:
    digits = card_digits(words)
    names = [word for word in words if word != digits]
    if digits is not None:
        found = (
            await reader_search.by_names(read, [[word] for word in names], filters, card=digits, now=now)
            if names
            else await reader_search.by_card(read, digits, filters, now=now)
        )
        ranking.add_found(found, lambda one: BY_CARD + (_similarity(names, one.name) if names else 0.0))
    found = await reader_search.by_names(read, [[word] for word in words], filters, card=None, now=now)
    ranking.add_found(found, lambda one: _similarity(words, one.name))
    if not ranking.scores or any(letter.isdigit() for letter in query):
        found = await reader_search.by_names(read, [anywhere(word) for word in words], filters, card=None, now=now)
        ranking.add_found(found, lambda _: BY_ADDRESS)
    if ranking.scores or "@" in query:
        return
    alternatives = [await _alternatives(read, word) for word in words]
    if all(alternatives):
        found = await reader_search.by_names(read, alternatives, filters, card=None, now=now)
        ranking.add_found(found, lambda one: _similarity(words, one.name))


async def _alternatives(read: FastReads, word: str) -> list[str]:
    """Return what a word may stand for, the most similar first."""
    tried = misspellings(word) if len(word) >= SHORTEST_CORRECTED else frozenset()
    known: Mapping[str, str] = await reader_search.known_parts(read, [word, *sorted(tried)])
    found = {one: 1 for one, part in known.items() if one == part or len(one) > SHORTEST_CORRECTED}
    found |= {word: 0} if word in known else {}
    if len(word) >= LONG:
        for part in await reader_search.different_parts(read, word[:BEGINNING], limit=MOST_DIFFERENT):
            distance = DamerauLevenshtein.distance(word, part, score_cutoff=2)
            if distance <= 2:
                found.setdefault(part, distance)
    ranked = sorted(found, key=lambda one: (found[one], known.get(one, one) != one, one))
    return ranked[:MOST_CORRECTIONS]


def _similarity(words: Sequence[str], name: str | None) -> float:
    """Return how like a search a name is, from 0 to 300: whole words count most, then beginnings of words."""
    own = words_in(name or "")
    if not own:
        return 0.0  # found by a former name
    exact = sum(word in own for word in words) / len(words)
    begun = sum(any(one.startswith(word) for one in own) for word in words) / len(words)
    alike = fuzz.token_sort_ratio(" ".join(words), " ".join(own)) / 100
    return 100 * (exact + begun + alike)
