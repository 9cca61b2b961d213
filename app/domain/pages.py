"""Pages of long lists."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.domain.errors import Invalid

T = TypeVar("T")


class BadCursor(Invalid):
    """The cursor must be the `next` value of the previous page."""

    code = "bad_cursor"
    title = "Invalid cursor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some items of a list, and the cursor of the next page; None if it is the last one."""

    items: Sequence[T]
    next: str | None


def page_of(found: Sequence[T], limit: int, *, cursor: Callable[[T], str]) -> Page[T]:
    """
    Return the first ``limit`` items as a page.

    :param found: one item more than that, if there are more.
    :param cursor: returns the cursor of an item: the next page begins after it.
    """
    items = found[:limit]
    return Page(items=items, next=cursor(items[-1]) if len(found) > limit else None)
