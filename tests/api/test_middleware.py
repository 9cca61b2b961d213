"""Each request has an ID, one log line and one metric sample."""

from collections.abc import AsyncIterator

import httpx2
import pytest
import structlog
from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs

from app.api import middleware, problems
from app.api.middleware import REQUESTS


class _Plain:
    """An ASGI application as an object, which Starlette treats differently from a function."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    router = APIRouter(prefix="/v1/things")

    @router.get("/{thing_id}")
    async def thing(thing_id: str, request: Request) -> dict[str, object]:
        request.scope["caller"] = "reader"
        return dict(structlog.contextvars.get_contextvars())

    async def plain(_: Request) -> Response:
        return PlainTextResponse("ok")

    async def direct(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await PlainTextResponse("ok")(scope, receive, send)

    made = FastAPI()
    problems.install(made)
    middleware.install(made, direct=[Route("/v1/direct", _Plain(direct), methods=["POST"])])
    made.include_router(router)
    made.router.routes.append(Route("/v1/readers/{sub}/plain", plain))
    made.router.routes.append(Route("/v1/entitlements/check", plain, methods=["POST"]))
    transport = httpx2.ASGITransport(app=made)
    async with httpx2.AsyncClient(transport=transport, base_url="http://newsstand.test") as client:
        yield client


async def test_a_request_id_is_returned_and_logged_on_every_line(client: httpx2.AsyncClient) -> None:
    response = await client.get("/v1/things/1")
    assert response.headers["x-request-id"].startswith("req_")
    assert response.json() == {"request_id": response.headers["x-request-id"]}


async def test_the_callers_own_request_id_is_kept(client: httpx2.AsyncClient) -> None:
    response = await client.get("/v1/things/1", headers={"X-Request-Id": "trace/7f-1"})
    assert response.headers["x-request-id"] == "trace/7f-1"


@pytest.mark.parametrize("odd", ["", "x" * 129, "two words", "<script>", 'a"b'])
async def test_an_unsafe_request_id_is_replaced(client: httpx2.AsyncClient, odd: str) -> None:
    response = await client.get("/v1/things/1", headers={"X-Request-Id": odd})
    assert response.headers["x-request-id"].startswith("req_")


async def test_a_request_is_logged_with_its_route_but_without_ids_and_queries(client: httpx2.AsyncClient) -> None:
    with capture_logs() as lines:
        await client.get("/v1/things/rdr_secret?token=eyJhbGciOi")
    (line,) = lines
    assert (line["event"], line["method"], line["route"], line["status"], line["caller"]) == (
        "request",
        "GET",
        "/v1/things/{thing_id}",
        200,
        "reader",
    )
    assert line["milliseconds"] >= 0
    assert "secret" not in str(line)
    assert "eyJ" not in str(line)


async def test_a_plain_route_is_logged_by_its_pattern_and_an_unknown_path_without_one(
    client: httpx2.AsyncClient,
) -> None:
    with capture_logs() as lines:
        await client.get("/v1/readers/readers/plain")
        await client.get("/v1/nowhere/4242")
    assert [(line["route"], line["status"], line["caller"]) for line in lines] == [
        ("/v1/readers/{sub}/plain", 200, "anonymous"),
        ("unmatched", 404, "anonymous"),
    ]


async def test_requests_of_every_page_view_are_counted_but_not_logged(client: httpx2.AsyncClient) -> None:
    counted = REQUESTS.labels("POST", "/v1/entitlements/check", 200)
    before = counted._value.get()
    with capture_logs() as lines:
        await client.post("/v1/entitlements/check")
    assert lines == []
    assert counted._value.get() == before + 1


async def test_an_unknown_method_adds_no_metric_label(client: httpx2.AsyncClient) -> None:
    with capture_logs() as lines:
        await client.request("BREW", "/v1/things/1")
    assert lines[0]["method"] == "OTHER"


async def test_a_fast_path_route_has_a_request_id_a_log_line_and_a_body_limit(
    client: httpx2.AsyncClient,
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100_000

    with capture_logs() as lines:
        answer = await client.post("/v1/direct", content=b"{}", headers={"X-Request-Id": "trace-1"})
        refused = await client.post("/v1/direct", content=endless())

    assert (answer.status_code, answer.headers["x-request-id"]) == (200, "trace-1")
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
    assert [(line["route"], line["status"]) for line in lines] == [("/v1/direct", 200), ("/v1/direct", 413)]
