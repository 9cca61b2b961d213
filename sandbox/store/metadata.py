"""Metadata: up to 50 keys of 40 characters, with values of 500 characters. An empty value deletes its key."""

from sandbox.errors import invalid
from sandbox.json_types import JsonObject

_MAX_KEYS, _MAX_KEY_LENGTH, _MAX_VALUE_LENGTH = 50, 40, 500


def merged(current: JsonObject | None, changes: JsonObject | str | None) -> dict[str, str]:
    """
    Return metadata after an update. `""` clears all of it; None leaves it unchanged.

    :raises StripeError: 400 if a limit is exceeded.
    """
    result = dict(current or {})
    if changes == "":
        return {}
    if isinstance(changes, dict):
        for key, value in changes.items():
            _check(key, value)
            if value == "":
                result.pop(key, None)
            else:
                result[key] = value
    if len(result) > _MAX_KEYS:
        raise invalid(f"You can only have up to {_MAX_KEYS} metadata keys; you have {len(result)}.", param="metadata")
    return result


def _check(key: str, value: str) -> None:
    if len(key) > _MAX_KEY_LENGTH:
        message = f"Metadata keys can have up to {_MAX_KEY_LENGTH} characters; the key '{key}' has {len(key)}."
        raise invalid(message, param="metadata")
    if len(value) > _MAX_VALUE_LENGTH:
        message = f"Metadata values can have up to {_MAX_VALUE_LENGTH} characters; the one of '{key}' has {len(value)}."
        raise invalid(message, param=f"metadata[{key}]")
