"""Around a request: one id, one line, one count."""

from collections.abc import AsyncIterator

import httpx2
import pytest
import structlog
from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from structlog.testing import capture_logs

from app.api import middleware, problems
from app.api.middleware import REQUESTS


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    router = APIRouter(prefix="/v1/things")

    @router.get("/{thing_id}")
    async def thing(thing_id: str, request: Request) -> dict[str, object]:
        request.scope["caller"] = "reader"
        return dict(structlog.contextvars.get_contextvars())

    async def plain(_: Request) -> Response:
        return PlainTextResponse("ok")

    made = FastAPI()
    problems.install(made)
    middleware.install(made)
    made.include_router(router)
    made.router.routes.append(Route("/v1/readers/{sub}/plain", plain))
    made.router.routes.append(Route("/v1/entitlements/check", plain, methods=["POST"]))
    transport = httpx2.ASGITransport(app=made)
    async with httpx2.AsyncClient(transport=transport, base_url="http://newsstand.test") as client:
        yield client


async def test_a_request_gets_an_id_that_is_echoed_and_bound_to_every_line(client: httpx2.AsyncClient) -> None:
    response = await client.get("/v1/things/1")
    assert response.headers["x-request-id"].startswith("req_")
    assert response.json() == {"request_id": response.headers["x-request-id"]}


async def test_the_callers_own_id_is_kept(client: httpx2.AsyncClient) -> None:
    response = await client.get("/v1/things/1", headers={"X-Request-Id": "trace/7f-1"})
    assert response.headers["x-request-id"] == "trace/7f-1"


@pytest.mark.parametrize("odd", ["", "x" * 129, "two words", "<script>", 'a"b'])
async def test_an_id_that_could_do_harm_is_replaced(client: httpx2.AsyncClient, odd: str) -> None:
    response = await client.get("/v1/things/1", headers={"X-Request-Id": odd})
    assert response.headers["x-request-id"].startswith("req_")


async def test_a_request_is_one_line_with_the_route_and_without_ids_and_queries(client: httpx2.AsyncClient) -> None:
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


async def test_a_plain_routes_line_has_its_pattern_too_and_an_unknown_path_has_none(client: httpx2.AsyncClient) -> None:
    with capture_logs() as lines:
        await client.get("/v1/readers/readers/plain")
        await client.get("/v1/nowhere/4242")
    assert [(line["route"], line["status"], line["caller"]) for line in lines] == [
        ("/v1/readers/{sub}/plain", 200, "nobody"),
        ("unmatched", 404, "nobody"),
    ]


async def test_what_is_asked_on_every_page_view_is_counted_and_not_logged(client: httpx2.AsyncClient) -> None:
    counted = REQUESTS.labels("POST", "/v1/entitlements/check", 200)
    before = counted._value.get()
    with capture_logs() as lines:
        await client.post("/v1/entitlements/check")
    assert lines == []
    assert counted._value.get() == before + 1


async def test_an_invented_method_does_not_multiply_the_metrics(client: httpx2.AsyncClient) -> None:
    with capture_logs() as lines:
        await client.request("BREW", "/v1/things/1")
    assert lines[0]["method"] == "OTHER"
