"""The OpenAPI document: the committed one is served, and it is complete enough to write a client."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
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
    assert set(DOCUMENT["components"]["securitySchemes"]) == {"person", "server", "signature"}


@pytest.mark.parametrize(("path", "operation"), OPERATIONS)
def test_each_operation_has_a_summary_that_its_description_does_not_repeat(
    path: str, operation: dict[str, Any]
) -> None:
    summary, description = operation["summary"], operation.get("description", "")
    assert summary
    assert not summary.endswith(".")
    assert description[:1] == description[:1].upper()
    assert summary.lower() not in description.lower()
    assert description.lower().rstrip(".") not in summary.lower() or not description
    assert operation["tags"]
    assert bool(operation.get("security")) == path.startswith(
        (
            "/v1/api-keys",
            "/v1/webhook-endpoints",
            "/v1/check",
            "/v1/ent",
            "/v1/email-bounces",
            "/v1/gate",
            "/v1/issues",
            "/v1/me",
            "/v1/reports",
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
    assert with_key == {
        *("issue_refund", "issue_my_refund", "withdraw", "approve_refund", "approve_request"),
        *("change_my_print_edition", "change_print_edition"),
    }


def test_every_example_of_the_document_fits_its_schema() -> None:
    found = list(examples(DOCUMENT))
    assert len(found) > 500
    for where, value, schema in found:
        try:
            assert_fits(value, schema)
        except jsonschema_rs.ValidationError as wrong:
            raise AssertionError(f"{where}: {wrong.message}") from wrong


def test_examples_keep_their_nulls() -> None:
    (example,) = SCHEMAS["SubscriptionOut"]["examples"]
    assert (example["ends_at"], example["ended_by"]) == (None, None)


@pytest.mark.parametrize("name", ["status", "payment_status", "state", "basis", "kind", "ended_by"])
def test_the_values_of_each_status_are_listed(name: str) -> None:
    fields = [schema["properties"][name] for schema in SCHEMAS.values() if name in schema.get("properties", {})]
    described = [
        [*one.get("anyOf", []), one.get("items", {}), one] for one in fields if "integer" not in str(one)
    ]  # a problem's HTTP status
    assert described
    for alternatives in described:
        assert any("enum" in one or "const" in one or "$ref" in one for one in alternatives), alternatives


@pytest.mark.parametrize(
    ("schema", "name", "value"),
    [
        ("NoticeOut", "code", "payment_disputed"),
        ("NoticeOut", "code", "paused"),
        ("GuaranteeOut", "reason", "guarantee_used"),
        ("QuoteOut", "reason", "refund_in_progress"),
        ("QuoteOut", "reason", "other_currency"),
    ],
)
def test_the_codes_of_notices_and_refusals_are_listed(schema: str, name: str, value: str) -> None:
    field = SCHEMAS[schema]["properties"][name]
    assert value in next(one["enum"] for one in (field, *field.get("anyOf", [])) if "enum" in one)


def examples(part: Any, where: str = "") -> Iterator[tuple[str, object, dict[str, Any]]]:
    """Yield every example below a part of the document: its place, its value and its schema."""
    if isinstance(part, dict):
        yield from ((where, value, schema) for value, schema in _own_examples(part))
    parts = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for name, one in parts:
        if name not in {"example", "examples"}:
            yield from examples(one, f"{where}/{name}")


def _own_examples(part: dict[str, Any]) -> Iterator[tuple[object, dict[str, Any]]]:
    shown = part.get("examples", [])
    if isinstance(shown, list):  # of a schema
        yield from ((one, part) for one in shown)
    elif isinstance(part.get("schema"), dict):  # of a media type
        yield from ((one["value"], part["schema"]) for one in shown.values())
    if "example" in part:  # of a parameter or a header
        yield part["example"], part["schema"]


def assert_fits(value: object, schema: dict[str, Any]) -> None:
    """Check that a value conforms to a schema of the document."""
    _validator(json.dumps(schema)).validate(value)


@cache
def _validator(schema: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for({**json.loads(schema), "components": {"schemas": SCHEMAS}})


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
