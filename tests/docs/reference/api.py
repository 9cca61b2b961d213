"""docs/reference/api.md and errors.md, from the OpenAPI document."""

from collections.abc import Iterator
from functools import cache

from app import main
from app.api.api_reference import Field, Operation, Reference, Schema, Type, read
from app.settings import Settings
from tests.docs.reference.markdown import NOTE, prose, table

INTRODUCTION = """\
# API

Every route of the REST API. The service itself shows the same at `/docs`, and `newsstand openapi` prints the OpenAPI
document. [Integrate](../integrate/index.md) explains how to use it: credentials, money, times, lists, errors and
idempotency.

In the column “caller”, *reader* is the access token of any reader; `support`, `supervisor`, `circulation`, `privacy` and
`admin` are roles of staff; `entitlements:read` is the scope of a server's API key.
"""
ERRORS = """\
# Errors

An error is a problem document (RFC 9457) with the media type `application/problem+json`. Its `code` is stable; titles and
details may change. Facts of the problem, such as amounts, are further members. With `validation_failed`, `errors` names each
field.
"""


@cache
def reference() -> Reference:
    """Return the reference of this release."""
    return read(main.document(main.application(Settings())))


def page() -> str:
    """Return the page of the API."""
    return "\n".join([NOTE, INTRODUCTION, *_tags(reference()), "## Schemas\n", *_schemas(reference())])


def errors() -> str:
    """Return the page of the errors."""
    rows = ((str(one.status), f"`{one.code}`", one.title, prose(one.detail)) for one in reference().problems)
    return "\n".join([NOTE, ERRORS, table(["status", "code", "title", "detail (example)"], rows)])


def _tags(found: Reference) -> Iterator[str]:
    for tag, description in found.tags:
        operations = found.of_tag(tag)
        yield f"## {tag.capitalize()}\n\n{prose(description)}\n"
        rows = ((f"[`{one.route}`](#{one.id})", _caller(one), prose(one.summary)) for one in operations)
        yield table(["route", "caller", "what it does"], rows)
        for one in operations:
            yield from _operation(one)


def _caller(operation: Operation) -> str:
    return operation.caller if operation.caller in {"anyone", "reader"} else f"`{operation.caller}`"


def _operation(operation: Operation) -> Iterator[str]:
    yield f"### `{operation.route}` {{ #{operation.id} }}\n"
    yield prose(operation.words) + "\n"
    rows = (
        (f"`{one.name}`", one.place, _type(one.type), _need(one), prose(one.description))
        for one in operation.parameters
    )
    if text := table(["parameter", "in", "type", "required", "description"], rows):
        yield text
    if operation.body is not None:
        yield f"Body: {_type(operation.body)}\n"
    yield table(
        ["status", "response"],
        (
            (
                one.status,
                ", ".join(f"`{code}`" for code in one.codes) or (_type(one.type) if one.type else one.description),
            )
            for one in operation.responses
        ),
    )


def _schemas(found: Reference) -> Iterator[str]:
    for schema in found.schemas:
        yield f"### {schema.name} {{ #{schema.name} }}\n"
        yield from _schema(schema)


def _schema(schema: Schema) -> Iterator[str]:
    if schema.description:
        yield prose(schema.description) + "\n"
    if schema.values:
        yield ", ".join(f"`{value}`" for value in schema.values) + "\n"
    rows = ((f"`{one.name}`", _type(one.type), _need(one), prose(one.description)) for one in schema.fields)
    if text := table(["field", "type", "required", "description"], rows):
        yield text


def _need(field: Field) -> str:
    return "yes" if field.required else "no"


def _type(named: Type) -> str:
    """Return a type with links to the schemas that it mentions."""
    words = [f"[{word}](#{word})" if word in named.schemas else word for word in named.text.split(" ")]
    return " ".join(words)
