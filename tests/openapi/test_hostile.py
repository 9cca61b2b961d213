"""
Hostile input in every path, query, header and body: NUL and surrogate characters, out-of-range numbers, long texts, unknown
fields and malformed bodies. No request gets a 500, and every response conforms to the document.
"""

import copy
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import requests
import schemathesis
from starlette.routing import compile_path

from tests.openapi.conftest import RunningService
from tests.openapi.test_contract import SNAPSHOT
from tests.support.timeouts import TIMEOUT

pytestmark = pytest.mark.slow  # dozens of requests for each operation
DOCUMENT: dict[str, Any] = json.loads(SNAPSHOT.read_text())
SCHEMA = schemathesis.openapi.from_path(SNAPSHOT)
OPERATIONS = [(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item]
WITH_BODY = [(method, path) for method, path in OPERATIONS if "requestBody" in DOCUMENT["paths"][path][method.lower()]]

IN_ADDRESSES = [
    "%00",
    "a%00b",
    "%ED%A0%80",
    "%FF",
    "%F0%9F%A6%8A",
    "%2F",
    "..%2F..",
    "'%3B--",
    "%25",
    "x" * 5000,
    "%0D%0A",
]
IN_FIELDS: list[object] = [
    "",
    "\x00",
    "a\x00b",
    "\ud800",
    "\U0001f98a" * 300,
    "x" * 100_000,
    "';--",
    2**31,
    2**63,
    2**64,
    -(2**63) - 1,
    10**400,
    1e308,
    float("nan"),
    -1,
    0,
    0.5,
    True,
    "yes",
    "1",
    None,
    [],
    {},
    [[]],
    {"amount": 2**64, "currency": "usd"},
    {"amount": 1, "currency": "\x00\x00\x00"},
    {"amount": 1, "currency": "usd\n"},
    {"amount": True, "currency": "usd"},
    {"amount": "1", "currency": "usd"},
]
CONTENT_TYPES = ("application/json", "text/plain", "multipart/form-data; boundary=x", "application/json; charset=x")
HEADERS = ("Idempotency-Key", "If-None-Match", "Stripe-Signature", "X-Request-Id", "Accept")
IN_HEADERS = [
    b"",
    b"\xff\xfe",
    b"x" * 5000,
    b"Bearer",
    b"Bearer nsk_\xff",
    b"Bearer a.b.c",
    b"t=1,v1=\xe9",
    b"t=9" * 99,
]
NOWHERE = ["/", "/v1", "/v1/plans/", "/v1/plans//", "/v1/plans/annual/x", "/v2", "/" + quote("☃"), "//", "/v1/../.env"]
BODIES = [
    pytest.param(b"", id="nothing"),
    pytest.param(b"{", id="truncated object"),
    pytest.param(b"\xff\xfe", id="not UTF-8"),
    pytest.param(b"\xef\xbb\xbf{}", id="byte order mark"),
    pytest.param(b"null", id="null"),
    pytest.param(b"[]", id="list"),
    pytest.param(b"NaN", id="NaN"),
    pytest.param(b"9" * 5000, id="number of 5,000 digits"),
    pytest.param(b"[" * 60_000, id="60,000 brackets"),
    pytest.param(b'{"a":' * 10_000 + b"1" + b"}" * 10_000, id="deeply nested objects"),
    pytest.param(b'{"\\ud800": "\\udfff\\u0000"}', id="unpaired surrogate as a name"),
    pytest.param(b'{"when": "now", "when": {}}', id="duplicate name"),
]


def label(operation: tuple[str, str]) -> str:
    """Return the ID of an operation's test."""
    return " ".join(operation)


def caller_of(method: str, path: str) -> str:
    """Return a caller with permission, because other callers are rejected before the input is read."""
    for needed in DOCUMENT["paths"][path][method.lower()].get("security", []):
        if "server" in needed:
            return "server"
        return "agent" if needed["person"] else "reader"
    return "nobody"


def ask(
    service: RunningService, method: str, path: str, *, address: str | None = None, alone: bool = False, **more: Any
) -> requests.Response:
    """
    Send a request with permission, and check that the response conforms to the document.

    :param alone: use a separate connection, because the service closes it.
    """
    headers = {"Idempotency-Key": "k", **service.headers_of(caller_of(method, path)), **more.pop("headers", {})}
    address = address or path.format_map(service.known)
    request = requests.request if alone else service.session.request
    answer = request(method, service.url + address, headers=headers, timeout=TIMEOUT, allow_redirects=False, **more)
    assert answer.status_code < 500, (address[:200], answer.text)
    SCHEMA[path][method].validate_response(answer)
    return answer


@pytest.mark.parametrize("operation", OPERATIONS, ids=label)
def test_no_url_causes_a_server_error(service: RunningService, operation: tuple[str, str]) -> None:
    method, path = operation
    body: dict[str, Any] = {"json": example(method, path)} if operation in WITH_BODY else {}
    names = [
        one["name"] for one in DOCUMENT["paths"][path][method.lower()].get("parameters", []) if one["in"] == "query"
    ]
    for value in IN_ADDRESSES:
        if "{" in path:
            odd = path[: path.index("{")] + value + path[path.index("}") + 1 :]
            ask(service, method, path, address=odd, **body)
        for name in [*names, "unknown"]:
            ask(service, method, path, address=f"{path.format_map(service.known)}?{name}={value}&{value}", **body)


@pytest.mark.parametrize("operation", WITH_BODY, ids=label)
def test_no_field_value_causes_a_server_error(service: RunningService, operation: tuple[str, str]) -> None:
    method, path = operation
    for body in with_one_odd_field(example(method, path)):
        answer = ask(service, method, path, data=json.dumps(body), headers={"Content-Type": "application/json"})
        if "unheard_of" in body:
            assert answer.status_code == (400 if path == "/webhooks/stripe" else 422), answer.text


def fits_nothing(method: str, path: str) -> bool:
    """Return whether an operation requires no field, so that an empty object is valid."""
    body = DOCUMENT["paths"][path][method.lower()]["requestBody"]
    schema = body["content"]["application/json"]["schema"]
    named = schema.get("$ref", "").rpartition("/")[2]
    return not body.get("required") or not DOCUMENT["components"]["schemas"].get(named, schema).get("required")


@pytest.mark.parametrize("body", BODIES)
def test_no_body_causes_a_server_error(service: RunningService, body: bytes) -> None:
    for method, path in WITH_BODY:
        for content_type in CONTENT_TYPES:
            answer = ask(service, method, path, data=body, headers={"Content-Type": content_type})
            expected = (200, 201, 202, 400, 404, 409, 422) if fits_nothing(method, path) else (400, 422)
            assert answer.status_code in expected, (method, path, answer.text)


@pytest.mark.parametrize("operation", OPERATIONS, ids=label)
def test_a_body_over_the_limit_is_rejected_with_or_without_its_length(
    service: RunningService, operation: tuple[str, str]
) -> None:
    method, path = operation
    large = b" " * 1_000_001
    assert ask(service, method, path, data=large, alone=True).status_code == 413
    if operation in WITH_BODY:
        assert ask(service, method, path, data=iter([large[:500_000], large]), alone=True).status_code == 413


@pytest.mark.parametrize("operation", OPERATIONS, ids=label)
def test_no_header_causes_a_server_error(service: RunningService, operation: tuple[str, str]) -> None:
    method, path = operation
    body: dict[str, Any] = {"json": example(method, path)} if operation in WITH_BODY else {}
    for value in IN_HEADERS:
        ask(service, method, path, headers={"Authorization": value}, **body)
        ask(service, method, path, headers=dict.fromkeys(HEADERS, value), **body)


@pytest.mark.parametrize("operation", OPERATIONS, ids=label)
def test_an_unsupported_method_gets_a_problem_document(service: RunningService, operation: tuple[str, str]) -> None:
    _, path = operation
    address = path.format_map(service.known)
    known = {m for m, p in OPERATIONS if compile_path(p)[0].match(address)}
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - known:
        answer = requests.request(method, service.url + address, timeout=TIMEOUT)
        assert (answer.status_code, answer.headers["Content-Type"]) == (405, "application/problem+json")
        assert answer.json()["code"] == "method_not_allowed"
        assert {m for m, p in OPERATIONS if p == path} <= set(answer.headers["Allow"].split(", "))


@pytest.mark.parametrize("address", NOWHERE)
def test_an_unknown_path_gets_a_problem_document(service: RunningService, address: str) -> None:
    answer = requests.get(service.url + address, timeout=TIMEOUT, allow_redirects=False)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_only_signed_webhooks_are_accepted_and_none_causes_a_server_error(service: RunningService) -> None:
    event = example("POST", "/webhooks/stripe")
    path = ("POST", "/webhooks/stripe")
    assert ask(service, *path, json=event).json()["code"] == "not_genuine"
    variants = [json.dumps(one).encode() for one in with_one_odd_field(event)]
    for body in [*variants, *(one.values[0] for one in BODIES)]:
        assert isinstance(body, bytes)
        now = int(time.time())
        mac = hmac.new(service.webhook_secret.encode(), b"%d." % now + body, hashlib.sha256).hexdigest()
        answer = ask(service, *path, data=body, headers={"Stripe-Signature": f"t={now},v1={mac}"})
        assert answer.status_code in (200, 400), answer.text


def example(method: str, path: str) -> dict[str, Any]:
    """Return the document's example of a body."""
    reference = DOCUMENT["paths"][path][method.lower()]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    found: dict[str, Any] = copy.deepcopy(
        DOCUMENT["components"]["schemas"][reference.rpartition("/")[2]]["examples"][0]
    )
    return found


def with_one_odd_field(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return variants of a body: each field replaced by each odd value, a field removed, or one added."""
    for name in body:
        yield {other: value for other, value in body.items() if other != name}
        for value in IN_FIELDS:
            yield {**body, name: value}
    for value in (1, "\x00", {}):
        yield {**body, "unheard_of": value}
    yield {**body, "\x00": 1, "unheard_of": 1}
