"""Contexts for use cases, with the database of a test."""

from typing import Any

from app.context import DatabaseContext
from app.db.engine.session import Sessions
from app.settings import Settings


def database_context(sessions: Sessions, **settings: Any) -> DatabaseContext:
    """Return the context of use cases that only need the database; ``settings`` replace the defaults."""
    return DatabaseContext(settings=Settings(**settings), sessions=sessions)
