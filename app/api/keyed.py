"""Requests that may carry an ``Idempotency-Key``, with which they take effect at most once."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse

from app.context import Context
from app.db.engine.session import new_id
from app.services import idempotency

Work = Callable[[str], Awaitable[tuple[int, dict[str, Any]]]]


async def answer_once(
    ctx: Context, request: Request, work: Work, *, caller: str, key: str | None, prefix: str
) -> JSONResponse:
    """
    Do the work of a request, at most once for its key, and return the response.

    :param work: receives the ID of the object it creates, and returns the status and the body of the response.
    :param prefix: the beginning of that ID, such as ``cmp``.
    """
    kept = await idempotency.once_if_keyed(
        ctx,
        caller=caller,
        route=f"{request.method} {request.url.path}",
        key=key,
        body=await request.body(),
        new_object_id=new_id(prefix),
        work=work,
    )
    return JSONResponse(kept.body, kept.status)
