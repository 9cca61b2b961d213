"""Every error response is a problem document with a stable code."""

import json
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import FastAPI, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from structlog.testing import capture_logs

from app.api import middleware, problems
from app.api.limits import MAX_BODY
from app.domain.callers import NotAllowed, NotAuthenticated
from app.domain.errors import DomainError, NotFound, StripeUnavailable
from app.domain.refunds import QuoteChanged
from tests.support.domain_errors import all_errors


class Order(BaseModel):
    """A request body for these tests."""

    model_config = ConfigDict(extra="forbid")

    plan: str = Field(min_length=2)
    copies: int = 1


def make() -> FastAPI:
    """Return an application with an endpoint for each kind of error."""
    made = FastAPI()
    problems.install(made)
    middleware.install(made)

    @made.post("/orders")
    async def order(body: Order) -> Order:
        return body

    @made.get("/page")
    async def page(limit: Annotated[int, Query(le=100)]) -> int:
        return limit

    @made.get("/refused/{which}")
    async def refused(which: str) -> None:
        raise REFUSALS[which]

    @made.get("/broken")
    async def broken() -> None:
        raise RuntimeError("the password is hunter2")

    async def plain(request: Request) -> Response:
        try:
            await request.body()
            raise QuoteChanged("it is worth less now", amount=2000, status=999, code="mine")
        except DomainError as refusal:
            return problems.response(refusal)

    made.router.routes.append(Route("/hot", plain, methods=["POST"]))
    return made


REFUSALS: dict[str, Exception] = {
    "gone": NotFound(),
    "changed": QuoteChanged("it is worth 2000 now", amount=2000, expected=4900),
    "nobody": NotAuthenticated("the token has expired"),
    "forbidden": NotAllowed(role="support"),
    "stripe": StripeUnavailable(),
    "odd": type("Odd", (DomainError,), {"code": "odd", "__module__": "tests"})("inside"),
}


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=make())
    async with httpx2.AsyncClient(transport=transport, base_url="http://newsstand.test") as client:
        yield client


def read(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Return a problem document after checking its common members."""
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"]
    document: dict[str, Any] = response.json()
    assert (response.status_code, document["status"], document["code"]) == (status, status, code)
    assert document["type"] == f"/problems/{code}"
    assert document["title"]
    assert document["detail"]
    return document


ERRORS = all_errors()


def test_each_category_has_a_status() -> None:
    assert set(DomainError.__subclasses__()) >= set(problems.STATUSES)
    assert {problems.status_of(error) for error in ERRORS} == {400, 401, 403, 404, 409, 413, 422, 429, 503}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_each_error_has_a_category_a_code_and_a_plain_title(error: type[DomainError]) -> None:
    assert len([category for category in problems.STATUSES if issubclass(error, category)]) == 1
    assert re.fullmatch("[a-z]+(_[a-z]+)*", error.code)
    assert error.title[0].isupper()
    assert not error.title.endswith((".", "?", "!"))
    assert not error.title.startswith(("Whose", "What", "Who ", "Nobody", "Not like", "There is no", "It "))
    assert len(error.title) <= 60
    assert error.default_detail()[0].isupper()


def test_codes_and_titles_are_unique() -> None:
    errors = [error for error in ERRORS if "code" in vars(error)]
    assert len({error.code for error in errors}) == len({error.title for error in errors}) == len(errors)
    assert len(errors) > 50


@pytest.mark.parametrize(
    ("which", "status", "code", "header"),
    [
        pytest.param("gone", 404, "not_found", None, id="not found"),
        pytest.param("changed", 409, "quote_changed", None, id="conflict"),
        pytest.param("nobody", 401, "not_authenticated", ("www-authenticate", "Bearer"), id="not authenticated"),
        pytest.param("forbidden", 403, "not_allowed", None, id="forbidden"),
        pytest.param("stripe", 503, "stripe_unavailable", ("retry-after", "2"), id="Stripe unavailable"),
    ],
)
async def test_an_error_response_has_its_code_and_a_detail(
    client: httpx2.AsyncClient, which: str, status: int, code: str, header: tuple[str, str] | None
) -> None:
    response = await client.get(f"/refused/{which}")
    read(response, status, code)
    if header is not None:
        assert response.headers[header[0]] == header[1]


async def test_an_errors_attributes_are_members_of_the_document(client: httpx2.AsyncClient) -> None:
    document = read(await client.get("/refused/changed"), 409, "quote_changed")
    assert (document["amount"], document["expected"]) == (2000, 4900)
    assert document["detail"] == "it is worth 2000 now"


async def test_no_attribute_overrides_a_standard_member_on_a_plain_route(client: httpx2.AsyncClient) -> None:
    document = read(await client.post("/hot"), 409, "quote_changed")
    assert document["amount"] == 2000


async def test_a_malformed_request_names_each_field(client: httpx2.AsyncClient) -> None:
    response = await client.post("/orders", json={"plan": "x", "copies": "many", "colour": "red"})
    document = read(response, 422, "validation_failed")
    assert {error["field"] for error in document["errors"]} == {"body.plan", "body.copies", "body.colour"}
    assert all(error["message"] for error in document["errors"])
    query = read(await client.get("/page?limit=1000"), 422, "validation_failed")
    assert query["errors"][0]["field"] == "query.limit"


async def test_a_validation_error_does_not_repeat_the_input(client: httpx2.AsyncClient) -> None:
    response = await client.post("/orders", json={"plan": "annual", "copies": "4242424242424242x"})
    assert "4242424242" not in response.text


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{", id="truncated object"),
        pytest.param(b"plan=annual", id="form data"),
        pytest.param(b'{"plan": "\xff"}', id="not UTF-8"),
        pytest.param(b"[" * 900, id="nested too deeply"),
    ],
)
async def test_a_body_that_is_not_json_gets_400(client: httpx2.AsyncClient, body: bytes) -> None:
    response = await client.post("/orders", content=body, headers={"Content-Type": "application/json"})
    read(response, 400, "malformed_body")


async def test_an_unknown_path_or_method_gets_a_problem_document(client: httpx2.AsyncClient) -> None:
    read(await client.get("/nowhere"), 404, "not_found")
    response = await client.delete("/orders")
    read(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/orders", "/hot"])
async def test_a_body_over_the_limit_gets_413_with_or_without_its_length(client: httpx2.AsyncClient, path: str) -> None:
    read(await client.post(path, content=b"x" * (MAX_BODY + 1)), 413, "body_too_large")

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"x" * (MAX_BODY // 10)

    read(await client.post(path, content=parts()), 413, "body_too_large")


async def test_an_unexpected_error_is_logged_but_not_revealed(
    client: httpx2.AsyncClient,
) -> None:
    with capture_logs() as lines:
        response = await client.get("/broken", headers={"X-Request-Id": "from-the-proxy"})
    read(response, 500, "unexpected")
    assert "hunter2" not in response.text
    assert "RuntimeError" not in response.text
    assert response.headers["x-request-id"] == "from-the-proxy"
    (line,) = [line for line in lines if line["event"] == "unexpected_error"]
    assert isinstance(line["exc_info"], RuntimeError)


async def test_an_error_without_a_category_gets_500_without_details(client: httpx2.AsyncClient) -> None:
    with capture_logs() as lines:
        response = await client.get("/refused/odd")
    read(response, 500, "unexpected")
    assert "inside" not in response.text
    assert "unexpected_error" in {line["event"] for line in lines}


def test_the_openapi_document_has_an_example_of_each_error() -> None:
    responses = problems.problems(NotFound, QuoteChanged, NotAllowed)
    assert set(responses) == {403, 404, 409}
    example = responses[409]["content"]["application/problem+json"]["examples"]["quote_changed"]["value"]
    assert example["code"] == "quote_changed"
    assert json.dumps(responses)
