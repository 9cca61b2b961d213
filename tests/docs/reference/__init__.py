"""The pages of docs/reference that are generated from the code, and .env.example: ``make reference`` writes them."""

from collections.abc import Callable
from pathlib import Path

from tests.docs.reference import (
    api,
    cli,
    events,
    outbox_events,
    personal_data,
    settings,
    staff_actions,
    states,
    template_variables,
)

ROOT = Path(__file__).parents[3]
PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/api.md": api.page,
    "docs/reference/errors.md": api.errors,
    "docs/reference/cli.md": cli.page,
    "docs/reference/settings.md": settings.page,
    "docs/reference/events.md": events.page,
    "docs/reference/outbox-events.md": outbox_events.page,
    "docs/reference/template-variables.md": template_variables.page,
    "docs/reference/personal-data.md": personal_data.page,
    "docs/concepts/subscription-states.md": states.page,
    "docs/staff/actions.md": staff_actions.page,
    ".env.example": settings.example,
}


def stale() -> list[str]:
    """Return the pages whose text differs from what the code says."""
    return [path for path, page in PAGES.items() if not (ROOT / path).exists() or (ROOT / path).read_text() != page()]


def write() -> list[str]:
    """Write the pages that are stale; return their paths."""
    changed = stale()
    for path in changed:
        (ROOT / path).write_text(PAGES[path]())
    return changed
