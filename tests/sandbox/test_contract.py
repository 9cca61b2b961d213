"""Requests and responses are validated against the SDK's types."""

import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sandbox.app import build
from sandbox.contract import requests, responses
from sandbox.contract.routes import all_routes, match
from sandbox.errors import StripeError
from sandbox.http.forms import decode
from sandbox.http.routing import ROUTES, Endpoint
from tests.sandbox.client import SandboxAccount

CUSTOMERS = "/v1/customers"


async def error_of(account: SandboxAccount, path: str, body: str) -> dict[str, Any]:
    answer = await account.request(
        "POST", path, content=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 400, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    return error


@pytest.mark.parametrize(
    ("path", "body", "param", "code", "message"),
    [
        pytest.param(CUSTOMERS, "nam=x", "nam", "parameter_unknown", "Received unknown parameter: nam", id="unknown"),
        pytest.param(
            CUSTOMERS,
            "shipping[name]=x&shipping[address][line3]=y",
            "shipping[address][line3]",
            "parameter_unknown",
            "Received unknown parameter: shipping[address][line3]",
            id="unknown, deep inside",
        ),
        pytest.param(
            "/v1/prices",
            "unit_amount=1",
            "currency",
            "parameter_missing",
            "Missing required param: currency.",
            id="missing",
        ),
        pytest.param(
            "/v1/products",
            "active=true",
            "name",
            "parameter_missing",
            "Missing required param: name.",
            id="missing name",
        ),
        pytest.param(
            "/v1/products",
            "name=",
            "name",
            "parameter_invalid_empty",
            "You passed an empty string for 'name'",
            id="empty",
        ),
        pytest.param(
            "/v1/prices",
            "currency=usd&unit_amount=4.5",
            "unit_amount",
            "parameter_invalid_integer",
            "Invalid integer: 4.5",
            id="not an integer",
        ),
        pytest.param("/v1/products", "name=x&active=1", "active", None, "Invalid boolean: 1", id="not a boolean"),
        pytest.param(
            "/v1/refunds",
            "reason=because",
            "reason",
            None,
            "Invalid reason: must be one of duplicate, fraudulent, or requested_by_customer",
            id="outside an enum that the SDK leaves open",
        ),
        pytest.param(
            "/v1/products", "name[x]=y", "name", None, "Invalid string: {'x': 'y'}", id="an object for a string"
        ),
        pytest.param(CUSTOMERS, "shipping=x", "shipping", None, "Invalid object", id="a string for an object"),
        pytest.param("/v1/products", "name=x&images=y", "images", None, "Invalid array", id="a string for a list"),
        pytest.param(CUSTOMERS, "name=a&name[b]=c", "name[b]", None, "Invalid request: name[b] is both", id="both"),
        pytest.param(CUSTOMERS, "a[b=c", "a[b", None, "Invalid request: malformed parameter name: a[b", id="malformed"),
    ],
)
async def test_invalid_parameters_return_the_errors_of_stripe(
    account: SandboxAccount, path: str, body: str, param: str, code: str | None, message: str
) -> None:
    error = await error_of(account, path, body)
    assert (error["param"], error.get("code")) == (param, code)
    assert error["message"].startswith(message)


async def test_a_rejected_request_has_no_effect(account: SandboxAccount) -> None:
    await error_of(account, CUSTOMERS, "email=ada@example.com&nonsense=1")
    assert (await account.v1.customers.list_async()).data == []


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        pytest.param("GET", "/v1/nonsense", 404, None, id="no route of Stripe's"),
        pytest.param("GET", "/v1/payouts", 501, "sandbox_not_supported", id="a route that is not served"),
        pytest.param("GET", "/v2/core/events", 501, "sandbox_not_supported", id="another version"),
        pytest.param("PUT", "/v1/customers", 404, None, id="no method of Stripe's"),
        pytest.param("GET", "/v1/customers/cus_none", 404, "resource_missing", id="no such object"),
    ],
)
async def test_unsupported_routes_return_501(
    account: SandboxAccount, method: str, path: str, status: int, code: str | None
) -> None:
    answer = await account.request(method, path)
    assert (answer.status_code, answer.json()["error"].get("code")) == (status, code)


async def test_unsupported_parameters_return_501_and_are_never_ignored(
    account: SandboxAccount,
) -> None:
    answer = await account.request("POST", CUSTOMERS, data={"tax[validate_location]": "deferred"})
    assert answer.status_code == 501
    assert "the parameter tax on POST /v1/customers" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        pytest.param({"id": "acct_1"}, "Account.object: missing", id="a field that must be there"),
        pytest.param(
            {"id": "acct_1", "object": "account", "paid": 1}, "Account.paid: Account has no such field", id="extra"
        ),
        pytest.param({"id": 7, "object": "account"}, "Account.id: expected a string, found 7", id="another type"),
        pytest.param(
            {"id": "acct_1", "object": "account", "type": "huge"},
            "Account.type: 'huge' is none of",
            id="outside an enum",
        ),
    ],
)
async def test_an_invalid_response_fails_with_a_contract_violation(
    monkeypatch: pytest.MonkeyPatch, reply: dict[str, Any], fault: str
) -> None:
    monkeypatch.setitem(ROUTES, ("GET", "/v1/account"), Endpoint(lambda call: reply, frozenset()))
    app = build()
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://sandbox", auth=("sk_test_x", "")) as client:
        answer = await client.get("/v1/account")
        recorded = (await client.get("/_sandbox/violations")).json()["data"]
    assert answer.status_code == 500
    assert fault in answer.json()["error"]["message"]
    assert fault in recorded[0]["faults"][0]


async def test_response_validation_can_be_disabled_for_benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ROUTES, ("GET", "/v1/account"), Endpoint(lambda call: {"id": "acct_1"}, frozenset()))
    transport = httpx2.ASGITransport(app=build(validate=False))
    async with httpx2.AsyncClient(transport=transport, base_url="http://sandbox", auth=("sk_test_x", "")) as client:
        assert (await client.get("/v1/account")).json() == {"id": "acct_1"}


def test_the_route_table_is_complete_and_prefers_literal_paths() -> None:
    assert len(all_routes()) > 500
    preview = match("POST", "/v1/invoices/create_preview")
    assert preview is not None
    assert preview[0].params == ("stripe.params._invoice_create_preview_params", "InvoiceCreatePreviewParams")


@pytest.mark.parametrize("route", sorted(ROUTES), ids=lambda route: " ".join(route))
def test_the_types_of_all_supported_routes_compile(route: tuple[str, str]) -> None:
    contract = all_routes()[route]
    with pytest.raises(StripeError, match=r"unknown parameter: _none\b"):
        requests.check(contract, {"_none": ""})
    assert responses.response_errors(contract, {})


def test_metadata_with_numeric_keys_is_not_a_list() -> None:
    contract = all_routes()["POST", CUSTOMERS]
    typed = requests.check(contract, decode("metadata[0]=a&metadata[1]=b&expand[]=x&expand[]=y"))
    assert typed == {"metadata": {"0": "a", "1": "b"}, "expand": ["x", "y"]}


def test_the_sandbox_does_not_import_the_service() -> None:
    for file in Path("sandbox").rglob("*.py"):
        assert "import app" not in file.read_text(), file
        assert "from app" not in file.read_text(), file


def test_only_one_module_reads_the_system_time() -> None:
    for file in Path("sandbox").rglob("*.py"):
        if file.name != "clock.py":
            assert not re.search(r"time\.time\(|import time|datetime\.now|utcnow", file.read_text()), file


async def test_the_health_check_lists_the_supported_routes(account: SandboxAccount) -> None:
    health = (await account.control.get("/_sandbox/health")).json()
    assert health["status"] == "ok"
    assert len(health["routes"]) == len(ROUTES)
    assert json.dumps(health["routes"]).count("POST /v1/refunds") == 3
