"""docs/concepts/subscription-states.md, from the status table."""

from app.cli.status_table import page

__all__ = ["page"]
