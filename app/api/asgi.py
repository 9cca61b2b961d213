"""
Endpoints below FastAPI, as plain ASGI applications, and their description in the OpenAPI document.

FastAPI's routing and models cost more than the answer to an entitlement check (bench: ``check_warm_vs_fastapi``).
"""

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel
from starlette.requests import HTTPConnection
from starlette.types import Message, Receive, Scope, Send

from app.api import problems
from app.api.openapi import ANY_REQUEST
from app.api.problems import MalformedBody
from app.domain.errors import DomainError

JSON_TYPE = (b"content-type", b"application/json")


class JsonEndpoint:
    """Sends the JSON that ``handle`` returns, or the problem document of the error it raises."""

    def __init__(self, handle: Callable[[HTTPConnection, Receive], Awaitable[bytes]]) -> None:
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        try:
            body = await self._handle(HTTPConnection(scope), receive)
        except DomainError as error:
            await problems.response(error)(scope, receive, send)
            return
        await send_response(send, 200, [JSON_TYPE, (b"content-length", b"%d" % len(body))], body)


async def send_response(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> None:
    """Send a whole response."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read_body(receive: Receive) -> bytes:
    """Read the whole request body. The middleware limits its length."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise MalformedBody("The request body is incomplete")
    return body


def receive_again(message: Message, receive: Receive) -> Receive:
    """Return a ``receive`` that first returns ``message``, which was already received."""
    pending: list[Message] = [message]

    async def receive_next() -> Message:
        return pending.pop() if pending else await receive()

    return receive_next


def operation(
    summary: str,
    *,
    response: type[BaseModel] | None,
    response_description: str,
    errors: tuple[type[DomainError], ...],
    **more: Any,
) -> dict[str, Any]:
    """Return an OpenAPI operation, as FastAPI would generate it."""
    responses = {str(status): problem for status, problem in problems.problems(*ANY_REQUEST, *errors).items()}
    if response is not None:
        responses["200"] = {"description": response_description, "content": json_content(response)}
    return {"summary": summary, "responses": dict(sorted(responses.items())), **more}


def json_content(model: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI description of a JSON body."""
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
