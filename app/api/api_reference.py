"""
The OpenAPI document as pages need it: operations by tag, fields with readable types, schemas by name.

Both the service's own ``/docs`` and docs/reference/api.md are written from this.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

METHODS = ("get", "put", "post", "patch", "delete")
CALLERS = {"person": "reader", "server": "server"}  # by security scheme, where no role or scope is required
PLACEHOLDERS: dict[Any, Any] = {  # by format, else by type
    "string": "…",
    "integer": 1,
    "number": 1.0,
    "boolean": True,
    "date": "2027-03-01",
    "date-time": "2027-03-01T18:00:00Z",
}
JSON, PROBLEM = "application/json", "application/problem+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Type:
    """A readable type. ``schemas`` are the named schemas that it mentions."""

    text: str
    schemas: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A parameter, or a member of an object."""

    name: str
    type: Type
    required: bool
    description: str
    place: str = "body"


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A response of one status. ``codes`` are the problem codes that it may carry."""

    status: str
    description: str
    type: Type | None
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    id: str
    method: str
    path: str
    tag: str
    summary: str
    description: str
    caller: str
    parameters: tuple[Field, ...]
    body: Type | None
    responses: tuple[Response, ...]

    @property
    def route(self) -> str:
        """Method and path."""
        return f"{self.method} {self.path}"

    @property
    def words(self) -> str:
        """What the operation does: its summary, then its description, which does not repeat it."""
        return f"{self.summary}. {self.description}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """A named object, or a named list of values, with an example."""

    name: str
    description: str
    fields: tuple[Field, ...]
    values: tuple[str, ...]
    example: str  # JSON; empty for a list of values


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error code, with its status and title, as the examples of the document show it."""

    code: str
    status: int
    title: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The whole document."""

    title: str
    version: str
    tags: tuple[tuple[str, str], ...]  # name and description, in the document's order
    operations: tuple[Operation, ...]
    schemas: tuple[Schema, ...]
    problems: tuple[Problem, ...]

    def of_tag(self, tag: str) -> tuple[Operation, ...]:
        """Return the operations of a tag."""
        return tuple(one for one in self.operations if one.tag == tag)


def read(document: Mapping[str, Any]) -> Reference:
    """Return the reference of an OpenAPI document."""
    operations, schemas = tuple(_operations(document)), document["components"]["schemas"]
    return Reference(
        title=document["info"]["title"],
        version=document["info"]["version"],
        tags=tuple((tag["name"], tag.get("description", "")) for tag in document.get("tags", [])),
        operations=operations,
        schemas=tuple(_schema(name, schema, schemas) for name, schema in sorted(schemas.items())),
        problems=tuple(_problems(document)),
    )


def _operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method in (method for method in METHODS if method in methods):
            described = methods[method]
            yield Operation(
                id=described["operationId"],
                method=method.upper(),
                path=path,
                tag=described["tags"][0],
                summary=described["summary"],
                description=described.get("description", ""),
                caller=_caller(described.get("security") or []),
                parameters=tuple(_parameter(one) for one in described.get("parameters", [])),
                body=_content_type(described.get("requestBody", {})),
                responses=tuple(_response(status, one) for status, one in described["responses"].items()),
            )


def _caller(security: list[dict[str, list[str]]]) -> str:
    """Return who may call: a role, a scope of an API key, a reader, or anyone."""
    schemes = [(scheme, needs) for one in security for scheme, needs in one.items()]
    return " or ".join(", ".join(needs) or CALLERS.get(scheme, scheme) for scheme, needs in schemes) or "anyone"


def _parameter(parameter: Mapping[str, Any]) -> Field:
    return Field(
        name=parameter["name"],
        type=type_of(parameter["schema"]),
        required=parameter.get("required", False),
        description=parameter.get("description", ""),
        place=parameter["in"],
    )


def _content_type(body: Mapping[str, Any]) -> Type | None:
    content = body.get("content", {})
    return type_of(content[JSON]["schema"]) if "schema" in content.get(JSON, {}) else None


def _response(status: str, response: Mapping[str, Any]) -> Response:
    examples = response.get("content", {}).get(PROBLEM, {}).get("examples", {})
    return Response(
        status=status,
        description=response.get("description", ""),
        type=_content_type(response),
        codes=tuple(examples),
    )


def _schema(name: str, schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Schema:
    required = schema.get("required", [])
    fields = tuple(
        Field(
            name=member,
            type=type_of(described),
            required=member in required,
            description=described.get("description", ""),
        )
        for member, described in schema.get("properties", {}).items()
    )
    values = tuple(str(value) for value in schema.get("enum", []))
    example = json.dumps(example_of(schema, schemas), indent=2, ensure_ascii=False) if fields else ""
    return Schema(name=name, description=schema.get("description", ""), fields=fields, values=values, example=example)


def _problems(document: Mapping[str, Any]) -> Iterator[Problem]:
    found: dict[str, Problem] = {}
    for methods in document["paths"].values():
        for described in methods.values():
            for response in described["responses"].values():
                examples = response.get("content", {}).get(PROBLEM, {}).get("examples", {})
                for code, example in examples.items():
                    value = example["value"]
                    found[code] = Problem(
                        code=code, status=value["status"], title=value["title"], detail=value.get("detail", "")
                    )
    yield from sorted(found.values(), key=lambda one: (one.status, one.code))


def type_of(schema: Mapping[str, Any]) -> Type:
    """Return the readable type of a JSON schema."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return Type(text=name, schemas=(name,))
    if alternatives := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return _joined(" or ", [type_of(one) for one in alternatives])
    if "enum" in schema or "const" in schema:
        values = schema["enum"] if "enum" in schema else [schema["const"]]
        return Type(text=" or ".join(f'"{value}"' if isinstance(value, str) else str(value) for value in values))
    kind = schema.get("type", "any")
    if kind == "array":
        inner = type_of(schema.get("items", {}))
        return Type(text=f"list of {inner.text}", schemas=inner.schemas)
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        inner = type_of(schema["additionalProperties"])
        return Type(text=f"map of {inner.text}", schemas=inner.schemas)
    return Type(text=schema.get("format", kind) if kind == "string" else str(kind))


def example_of(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """Return a JSON value that fits a schema: its own example, or one made of its members' examples."""
    for member in ("examples", "enum"):
        if schema.get(member):
            return schema[member][0]
    for member in ("example", "const", "default"):
        if schema.get(member) is not None:
            return schema[member]
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if alternatives := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return example_of(alternatives[0], schemas)
    match schema.get("type"):
        case "object" if isinstance(schema.get("additionalProperties"), dict) and "properties" not in schema:
            return {"…": example_of(schema["additionalProperties"], schemas)}
        case "object":
            return {name: example_of(member, schemas) for name, member in schema.get("properties", {}).items()}
        case "array":
            return [example_of(schema.get("items", {}), schemas)]
        case kind:
            return PLACEHOLDERS.get(schema.get("format") or kind)


def _joined(by: str, types: list[Type]) -> Type:
    return Type(text=by.join(one.text for one in types), schemas=tuple(name for one in types for name in one.schemas))
