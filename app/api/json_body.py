"""Reads JSON bodies. One with very many fields is refused before each of them is checked and reported."""

import json
from typing import Any

from starlette.requests import Request

from app.api.problems import TooManyFields

MAX_FIELDS = 100  # of all objects in a body together


def parse(body: bytes) -> Any:
    """
    Return the value of a JSON text.

    :raises ValueError: it is not JSON.
    :raises TooManyFields: its objects have too many fields.
    """
    fields = 0

    def count(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal fields
        fields += len(pairs)
        if fields > MAX_FIELDS:
            raise TooManyFields
        return dict(pairs)

    return json.loads(body, object_pairs_hook=count)


class JsonRequest(Request):
    """A request whose JSON has a limited number of fields."""

    async def json(self) -> Any:
        """Return the body's value; raises as :func:`parse`."""
        if not hasattr(self, "_json"):
            self._json = parse(await self.body())
        return self._json
