"""Stripe's lists are read in ranges at the same time: nothing is missed, at any edge and after any interruption."""

import json
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.sweep_ranges import Listed, ListPage, Range, divide, dump, load, read

PAGE = 3
NOW = 60  # seconds; at most 4 pages fit into a second
ROOT = Range(since=0, until=None)


def listed(objects: dict[str, int], range_: Range, *, size: int = PAGE) -> ListPage[str]:
    """Return the next page of a range as Stripe would: newest first, after the cursor."""
    matching = sorted(((created, name) for name, created in objects.items() if created >= range_.since), reverse=True)
    matching = [one for one in matching if range_.until is None or one[0] < range_.until]
    if range_.after is not None and range_.after in objects:
        matching = matching[matching.index((range_.at or 0, range_.after)) + 1 :]
    elif range_.after is not None:  # the object was deleted: what was created in its second is listed again
        matching = [one for one in matching if one[0] <= (range_.at or 0)]
    return ListPage(
        listed=[Listed(id=name, created=created, item=name) for created, name in matching[:size]],
        has_more=len(matching) > size,
    )


@dataclass
class Sweep:
    """A sweep whose readers take turns in any order."""

    objects: dict[str, int]
    ranges: list[Range] = field(default_factory=lambda: [ROOT])
    requested: dict[int, ListPage[str]] = field(default_factory=dict)  # pages on their way, by index of the range
    seen: Counter[str] = field(default_factory=Counter)
    seconds: Counter[int] = field(default_factory=Counter)

    def step(self, choice: int) -> None:
        index = choice % len(self.ranges)
        if index not in self.requested:
            self.requested[index] = listed(self.objects, self.ranges[index])
            return
        page = read(self.ranges[index], self.requested.pop(index))
        self.seen.update(page.items)
        until = NOW + 10 if page.until is None else page.until
        self.seconds.update(range(page.since, until))
        in_period = {name for name, created in FIRST.items() if page.since <= created < until and name in self.objects}
        assert in_period <= page.ids
        if page.rest is not None:
            self.ranges[index] = page.rest
        else:
            del self.ranges[index]
            self.requested = {i - (i > index): one for i, one in self.requested.items()}

    def divide(self) -> None:
        divided = divide(self.ranges)
        if divided is not None:
            index, newer, older = divided
            self.ranges[index] = newer
            self.ranges.append(older)

    def restart(self) -> None:
        self.requested.clear()
        self.ranges = load(json.loads(json.dumps(dump(self.ranges)))) or []


FIRST: dict[str, int] = {}
seconds = st.one_of(st.integers(0, NOW), st.sampled_from([7, 8, 30]))  # often several in the same second
steps = st.lists(st.one_of(st.integers(0, 30), st.sampled_from(["divide", "restart", "create"])), max_size=120)


@given(st.lists(seconds, max_size=60), steps)
def test_every_object_is_read_once_in_any_order_of_pages_and_restarts(
    created: list[int], order: list[int | str]
) -> None:
    sweep = Sweep({f"{number:03}": at for number, at in enumerate(created)})
    FIRST.clear()
    FIRST.update(sweep.objects)
    for step in order:
        if not sweep.ranges:
            break
        if step == "divide":
            sweep.divide()
        elif step == "restart":
            sweep.restart()
        elif step == "create":
            sweep.objects[f"new{len(sweep.objects):03}"] = NOW + 1
        else:
            sweep.step(int(step))
    while sweep.ranges:
        sweep.step(len(sweep.seen))
    assert {name: sweep.seen[name] for name in FIRST} == dict.fromkeys(FIRST, 1)
    assert {at: sweep.seconds[at] for at in range(NOW)} == dict.fromkeys(range(NOW), 1)


@given(st.lists(seconds, min_size=1, max_size=60), st.lists(st.integers(0, 100), max_size=40), st.data())
def test_nothing_is_missed_if_the_object_at_the_cursor_was_deleted(
    created: list[int], order: list[int], data: st.DataObject
) -> None:
    sweep = Sweep({f"{number:03}": at for number, at in enumerate(created)})
    FIRST.clear()
    FIRST.update(sweep.objects)
    for step in order:
        sweep.divide()
        if not sweep.ranges:
            break
        sweep.step(step)
        if step % 3 == 0:
            gone = data.draw(st.sampled_from(sorted(FIRST)))
            sweep.objects.pop(gone, None)
            sweep.requested.clear()
    while sweep.ranges:
        sweep.step(0)
    assert set(sweep.objects) <= set(sweep.seen)


def test_a_range_is_divided_where_most_pages_are_left() -> None:
    sparse = Range(since=0, until=1000, pace=100)  # 10 pages
    dense = Range(since=5000, until=6000, at=5800, after="x", tied=("x",), pace=10)  # 80 pages

    assert divide([sparse, dense]) == (
        1,
        Range(since=5400, until=6000, at=5800, after="x", tied=("x",), pace=10),
        Range(since=5000, until=5400, pace=10),
    )


@pytest.mark.parametrize(
    "range_",
    [
        pytest.param(ROOT, id="nothing is known about it"),
        pytest.param(Range(since=0, until=200, pace=100), id="two pages are left"),
        pytest.param(Range(since=7, until=8, pace=1), id="one second"),
    ],
)
def test_a_range_is_not_divided_without_a_reason(range_: Range) -> None:
    assert divide([range_]) is None


def test_a_page_that_reaches_below_a_divided_range_ends_it() -> None:
    page = ListPage(listed=[Listed(id=str(at), created=at, item=at) for at in (9, 7, 5)], has_more=True)

    found = read(Range(since=6, until=10, at=9, after="x", tied=("x", "y")), page)

    assert (list(found.items), found.since, found.until, found.rest) == ([9, 7], 6, 10, None)
    assert found.ids == {"9", "7", "x", "y"}


def test_the_cursor_of_an_older_release_has_no_ranges() -> None:
    assert load({"after": "sub_1", "bound": "2026-03-01T00:00:00+00:00", "tied": ["sub_1"]}) is None
