"""A connection that does not wait long for a silent server."""

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg

from app.db.engine.outages import outages

if TYPE_CHECKING:
    _Base = asyncpg.Connection[asyncpg.Record]
else:
    _Base = asyncpg.Connection

CONNECT_TIMEOUT = 5.0  # seconds
CANCEL_TIMEOUT = 1.0  # seconds in which the server must confirm that it canceled a statement
COMMAND_TIMEOUT = 60.0  # seconds, after which a statement of a session is canceled here: a frozen server doesn't do it


class Connection(_Base):
    """
    A connection that is closed if the server does not confirm a cancellation.

    When a statement takes too long or its task is canceled, asyncpg asks the server to cancel it, and every later use of
    the connection waits for the reply, its release included. A silent server sends none.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        outages.connected()

    def _cancel_current_command(self, waiter: Any, *rest: Any) -> None:  # asyncpg's own hook
        super()._cancel_current_command(waiter, *rest)  # type: ignore[misc]  # not in the stubs
        asyncio.get_running_loop().call_later(CANCEL_TIMEOUT, self._terminate_if_unconfirmed)

    def _terminate_if_unconfirmed(self) -> None:
        if not self.is_closed() and self._protocol._is_cancelling():  # type: ignore[attr-defined]
            self.terminate()
