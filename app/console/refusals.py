"""Records refused requests in the log and the audit log."""

import structlog
from starlette.requests import Request

from app.console.request import console_of
from app.console.sessions import StaffSession
from app.console.state import CONSOLE
from app.services import staff_sessions

log = structlog.get_logger()


async def record_refusal(
    request: Request, staff: StaffSession, action: str, reason: str, *, path: str, subscriber_id: str | None = None
) -> None:
    """
    Record that a request was refused.

    :param path: the route's template. The path of the request itself could have any content.
    """
    log.warning("console_request_refused", action=action, by=staff.actor, method=request.method, reason=reason)
    await staff_sessions.record(
        console_of(request).ctx,
        by=staff.actor,
        action=action,
        what=f"{request.method} {CONSOLE}{path}",
        reason=reason,
        about=subscriber_id,
    )
