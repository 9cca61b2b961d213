"""The OpenAPI document: the committed one is served, and it is complete enough to write a client."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis

from app.api.problems import status_of
from tests.support.domain_errors import all_errors

SNAPSHOT = Path(__file__).with_name("openapi.json")
DOCUMENT: dict[str, Any] = json.loads(SNAPSHOT.read_text())
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
OPERATIONS = [
    pytest.param(path, operation, id=f"{method.upper()} {path}")
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
]
STATUSES = {error.code: status_of(error) for error in all_errors()}
PROBLEM = {"$ref": "#/components/schemas/Problem"}


def test_the_committed_document_is_up_to_date() -> None:
    without = {name: value for name, value in os.environ.items() if not name.startswith("NEWSSTAND_")}
    made = subprocess.run([sys.executable, "-m", "app", "openapi"], env=without, capture_output=True, check=True)
    assert json.loads(made.stdout) == DOCUMENT, (
        "The OpenAPI document has changed. If this is intended and compatible with existing clients, update the snapshot:\n"
        "    newsstand openapi > tests/openapi/openapi.json"
    )


def test_the_document_is_valid_openapi() -> None:
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    assert DOCUMENT["openapi"].startswith("3.1.")
    for schema in SCHEMAS.values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
    for reference in references(DOCUMENT):
        assert reference.removeprefix("#/components/schemas/") in SCHEMAS, reference


def test_names_suit_generated_clients() -> None:
    ids = [operation["operationId"] for item in DOCUMENT["paths"].values() for operation in item.values()]
    assert len(set(ids)) == len(ids)
    for name in ids:
        assert re.fullmatch("[a-z]+(_[a-z]+)*", name), name
    for name in [*SCHEMAS, *DOCUMENT["components"]["securitySchemes"]]:
        assert re.fullmatch("[A-Za-z]+", name), name
    assert set(DOCUMENT["components"]["securitySchemes"]) == {"person", "server"}


@pytest.mark.parametrize(("path", "operation"), OPERATIONS)
def test_each_operation_has_a_summary_and_a_description(path: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["description"]
    assert operation["tags"]
    assert bool(operation.get("security")) == path.startswith(
        (
            "/v1/api-keys",
            "/v1/check",
            "/v1/ent",
            "/v1/gate",
            "/v1/issues",
            "/v1/me",
            "/v1/print",
            "/v1/revocations",
            "/v1/subs",
            "/v1/support",
        )
    )
    named = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
    assert named == set(re.findall("{(.*?)}", path))


@pytest.mark.parametrize(("path", "operation"), OPERATIONS)
def test_each_operation_documents_its_errors(path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    expected = {"400", "413"}
    if operation.get("security"):
        expected |= {"401"}
    if any(scopes for needed in operation.get("security", []) for scopes in needed.values()):
        expected |= {"403"}
    if "{" in path:
        expected |= {"404"}
    if "requestBody" in operation and path != "/webhooks/stripe":  # an invalid event gets 400
        expected |= {"422"}
    assert expected <= set(responses)
    for status, response in responses.items():
        if status >= "400" and (path, status) != ("/readyz", "503"):
            (media_type, content), *others = response["content"].items()
            assert (media_type, content["schema"], others) == ("application/problem+json", PROBLEM, [])
            for code, shown in content["examples"].items():
                assert (shown["value"]["code"], shown["value"]["status"]) == (code, int(status))
                assert STATUSES[code] == int(status)
                assert_fits(shown["value"], PROBLEM)


@pytest.mark.parametrize(("path", "operation"), OPERATIONS)
def test_each_body_of_an_operation_has_a_valid_example(path: str, operation: dict[str, Any]) -> None:
    successful = [response for status, response in operation["responses"].items() if status < "300"]
    bodies = [
        content for one in [operation.get("requestBody", {}), *successful] for content in one.get("content", {}).items()
    ]
    assert bodies or "204" in operation["responses"]
    for media_type, content in bodies:
        if path == "/metrics":  # text in the Prometheus format
            assert media_type.startswith("text/plain")
            continue
        if path.endswith(".csv"):
            assert media_type == "text/csv"
            continue
        assert media_type == "application/json"
        examples = SCHEMAS[content["schema"]["$ref"].rpartition("/")[2]]["examples"]
        assert examples
        for example in examples:
            assert_fits(example, content["schema"])


def test_operations_that_move_money_require_an_idempotency_key() -> None:
    with_key = {
        operation["operationId"]
        for item in DOCUMENT["paths"].values()
        for operation in item.values()
        if any(one["name"] == "Idempotency-Key" and one["required"] for one in operation.get("parameters", []))
    }
    assert with_key == {"issue_refund", "issue_my_refund", "approve_refund", "approve_request"}


def assert_fits(value: object, schema: dict[str, Any]) -> None:
    """Check that a value conforms to a schema of the document."""
    components = {"schemas": {name: _null_left_out(one) for name, one in SCHEMAS.items()}}
    jsonschema_rs.validator_for({**schema, "components": components}).validate(value)


def _null_left_out(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with nullable fields optional, because FastAPI omits nulls from examples."""
    fields = schema.get("properties", {})
    needed = [name for name in schema.get("required", []) if {"type": "null"} not in fields[name].get("anyOf", [])]
    return {**schema, "required": needed}


def references(part: object) -> Iterator[str]:
    """Return every reference in a part of the document."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for one in part.values():
            yield from references(one)
    elif isinstance(part, list):
        for one in part:
            yield from references(one)
