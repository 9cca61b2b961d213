"""
Idempotency keys: the first response to a key is stored and replayed, with any status.

Requests that fail validation, or conflict with a running request of the same key, are not stored.
"""

import hashlib
import json
from dataclasses import dataclass, field

from sandbox.errors import StripeError
from sandbox.json_types import JsonObject


@dataclass(kw_only=True)
class Reply:
    """A stored response: status, JSON body, and the ID of the request that caused it."""

    status: int
    body: JsonObject
    request_id: str


@dataclass
class _Record:
    endpoint: str
    fingerprint: str
    reply: Reply | None = None


@dataclass
class IdempotencyKeys:
    """The idempotency keys of one account."""

    _records: dict[str, _Record] = field(default_factory=dict)

    def begin(self, key: str, *, endpoint: str, params: JsonObject) -> Reply | None:
        """
        Start using a key, or return its stored response.

        :raises StripeError: 400 `idempotency_error` if the key was used for a different request, 409
            `idempotency_key_in_use` if its first request is still in progress.
        """
        if len(key) > 255:
            raise StripeError(400, "idempotency_error", "Idempotency keys may have at most 255 characters.")
        fingerprint = hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()
        record = self._records.get(key)
        if record is None:
            self._records[key] = _Record(endpoint, fingerprint)
            return None
        if record.endpoint != endpoint:
            raise StripeError(
                400,
                "idempotency_error",
                "Keys for idempotent requests can only be used for the same endpoint they were first used for "
                f"('{record.endpoint}' vs '{endpoint}'). Try using a key other than '{key}' if you meant to execute "
                "a different request.",
            )
        if record.fingerprint != fingerprint:
            raise StripeError(
                400,
                "idempotency_error",
                "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                f"Try using a key other than '{key}' if you meant to execute a different request.",
            )
        if record.reply is None:
            raise StripeError(
                409,
                "idempotency_error",
                f"There is currently another in-progress request using this Idempotent Key: {key}. This can happen if "
                "a request is retried before the first one has finished.",
                code="idempotency_key_in_use",
            )
        return record.reply

    def finish(self, key: str, reply: Reply) -> None:
        """Store the response of a key."""
        self._records[key].reply = reply

    def release(self, key: str) -> None:
        """Forget a key whose request had no effect."""
        record = self._records.get(key)
        if record is not None and record.reply is None:
            del self._records[key]
