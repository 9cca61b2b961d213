"""docs/reference/template-variables.md, from the kinds of notifications."""

from app.domain.notifications import COMMON_VARIABLES, KINDS
from tests.docs.reference.markdown import NOTE, table

INTRODUCTION = """\
# Template variables

What the [templates of notifications](../concepts/notifications.md#templates) can use. A variable that is not known is empty.
Amounts, dates and times are written in the reader's locale.
"""


def page() -> str:
    """Return the page."""
    rows = [("all", _names(COMMON_VARIABLES)), *((f"`{kind}`", _names(its.variables)) for kind, its in KINDS.items())]
    return "\n".join([NOTE, INTRODUCTION, table(["template", "variables"], rows)])


def _names(variables: frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(variables))
