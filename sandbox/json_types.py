"""Names for JSON as it comes and goes. What is inside is checked by `sandbox.contract`, not by the type checker."""

from typing import Any, TypeAlias

Json: TypeAlias = Any
"""Any JSON value."""

JsonObject: TypeAlias = dict[str, Any]
"""A JSON object: one of Stripe's resources, or decoded parameters."""
