"""Type aliases for JSON. `sandbox.contract` validates the contents, not the type checker."""

from typing import Any, TypeAlias

Json: TypeAlias = Any
"""Any JSON value."""

JsonObject: TypeAlias = dict[str, Any]
"""A JSON object: a resource or decoded parameters."""
